"""The gateway that is asked: a running one, or one that is started for as long as it is needed."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

from server.core.ip import parse_ip
from server.instance import InstanceLock
from server.settings.tables import Settings

_ADDRESS: Final = re.compile(r"Sidestream \S+ is at (https?://\S+)")
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_STOP_SECONDS: Final = 30.0


class NoGateway(Exception):
    """No gateway can be asked; the message says why."""


@asynccontextmanager
async def gateway(url: str | None, file: Path, settings: Settings) -> AsyncIterator[str]:
    """Yield the address of a gateway; one that is started is stopped at the end.

    Without `url` it is the running one of these settings, else one of our own. Raises `NoGateway`.
    """
    if url is not None:
        url = url.rstrip("/")
        print(f"asks the gateway at {url}", file=sys.stderr)
        yield url
        return
    server = settings.server
    if not InstanceLock(server.state_dir.expanduser(), server.instance).is_free():
        scheme = "https" if settings.access.tls_certificate else "http"
        url = f"{scheme}://{_reached_at(server.host)}:{server.port}"
        print(f"asks the gateway at {url}", file=sys.stderr)
        yield url
        return
    print(f"starts a gateway of {file}", file=sys.stderr)
    async with _started(file) as address:
        yield address


@asynccontextmanager
async def _started(file: Path) -> AsyncIterator[str]:
    words = ["-m", "server", "--settings", str(file), "--host", "127.0.0.1", "--port", "0"]
    # What is worth knowing of it is in the results.
    quiet = {"SIDESTREAM_SERVER__LOG_LEVEL": "warning", **os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdout=asyncio.subprocess.PIPE,
        env=quiet,
        # Ctrl-C pauses the run first: the gateway is stopped once that is stored.
        start_new_session=True,
    )
    output = cast("asyncio.StreamReader", process.stdout)
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    for number in _ENDING:
        # As at Ctrl-C: the gateway is in a session of its own, and would be left behind.
        loop.add_signal_handler(number, cast("asyncio.Task[object]", task).cancel)
    try:
        while (line := await output.readline()) and not _ADDRESS.match(line.decode()):
            sys.stderr.write(line.decode())
        found = _ADDRESS.match(line.decode())
        if found is None:
            raise NoGateway(f"the gateway did not start (exit code {await process.wait()})")
        # What it says later would fill the pipe, and hold it up.
        reading = asyncio.create_task(_drain(output))
        try:
            yield found[1]
        finally:
            reading.cancel()
    finally:
        for number in _ENDING:
            loop.remove_signal_handler(number)
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(1 << 16):
        pass


def _reached_at(host: str) -> str:
    """Return how this machine reaches a gateway that listens there."""
    found = parse_ip(host)
    if found is not None and found.is_unspecified:
        return "127.0.0.1" if found.version == 4 else "[::1]"
    return f"[{host}]" if ":" in host else host
