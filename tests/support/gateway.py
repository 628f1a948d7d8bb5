"""The real gateway as a process of its own."""

import asyncio
import os
import re
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.dialogue import CEILING_SECONDS
from tests.support.processes import Watched
from tests.support.supervisor import descendants

ROOT = Path(__file__).resolve().parents[2]

_SERVER = """\
[server]
port = 0
instance = {instance}
state_dir = {directory}
shutdown_grace = {grace}
"""


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs: where it is, and its process."""

    address: str
    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        """Return the gateway's process id."""
        return self.process.pid

    def engine(self, model: str) -> int:
        """Return the process that serves a model, which is below its supervisor."""
        (pid,) = [
            pid
            for pid, command in descendants(self.pid).items()
            if f"--model-id {model} " in f"{command} "
        ]
        return pid

    def embedded(self, model: str) -> tuple[str, str]:
        """Return the address of a model's embedded server, and the key that it asks for."""
        process = Path(f"/proc/{self.engine(model)}")
        words = (process / "cmdline").read_text().split("\0")
        variables = (process / "environ").read_text().split("\0")
        (key,) = [said.partition("=")[2] for said in variables if said.startswith("LLAMA_API_KEY=")]
        return f"http://127.0.0.1:{words[words.index('--port') + 1]}", key

    async def kill(self) -> None:
        """Kill it as nothing else would."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """End it by SIGTERM; it says that all is well, and no child of it is left."""
        if self.process.returncode is not None:
            return
        engines = [Watched(pid) for pid in descendants(self.pid)]
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(CEILING_SECONDS):
            assert await self.process.wait() == 0
        for engine in engines:
            await engine.gone()


@asynccontextmanager
async def gateway(
    settings: str,
    directory: Path,
    *,
    instance: str = "",
    log: Path | None = None,
    program: str = "server",
    shutdown_grace: float = 0,
    options: tuple[str, ...] = (),
) -> AsyncIterator[Gateway]:
    """Run a gateway with `[server]` of ours and the rest of the settings given.

    `instance` is one that no other test uses unless it is named. `program` may be
    `tests.support.fake_engines`. Servers are looked for only by settings with `[discovery]`.
    """
    directory.mkdir(exist_ok=True)
    file = directory / "settings.ini"
    name = instance or f"test-{uuid.uuid4().hex[:8]}"
    ours = _SERVER.format(instance=name, directory=directory, grace=shutdown_grace)
    file.write_text(ours + "\n" + settings)
    with (log or directory / "server.log").open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", program, "--settings", str(file), *options),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
            env=_environment(settings),
        )
    running: Gateway | None = None
    try:
        assert process.stdout is not None
        async with asyncio.timeout(CEILING_SECONDS):
            found = None
            while found is None and (line := await process.stdout.readline()):
                found = re.search(r"https?://(\S+)", line.decode())
        assert found is not None, "the gateway did not start"
        running = Gateway(found[1], process)
        yield running
    finally:
        if running is not None:
            await running.stop()
        elif process.returncode is None:
            process.kill()
            await process.wait()


def _environment(settings: str) -> dict[str, str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if "[discovery]" in settings:
        # What stands there goes before what the file says.
        environment.pop("SIDESTREAM_DISCOVERY__ENABLED", None)
    return environment
