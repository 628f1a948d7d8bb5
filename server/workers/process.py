"""A process that can be killed, whatever it works on.

It is asked with a frame and answers with a frame: four bytes of length, then JSON. It has nothing
of ours: no environment, no folder, no terminal. `server/workers/fences.py` is its other half.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, cast

from server.workers.fences import FRAME

_ROOT: Final = str(Path(__file__).resolve().parents[2])
# How long one may live on after it closed its output, which only one that ends does.
_ENDING_SECONDS: Final = 5.0
_PIECE_BYTES: Final = 64 * 1024
_PROGRAM: Final = (
    "import importlib, sys; sys.path.insert(0, sys.argv[1]);"
    " importlib.import_module(sys.argv[2]).main()"
)


class WorkerProcess:
    """One process, which runs `main` of a module; asked once at a time.

    `ask` that raises or is cancelled leaves it in an unknown state: `end` it then.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._requests = cast(asyncio.StreamWriter, process.stdin)
        self._answers = cast(asyncio.StreamReader, process.stdout)

    @classmethod
    async def start(cls, module: str, *arguments: str) -> Self:
        """Start a process; the arguments are in `fences.arguments()` there. Raises `OSError`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            _PROGRAM,
            _ROOT,
            module,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
        return cls(process)

    async def ask(self, request: bytes, *, max_bytes: int) -> bytes:
        """Return the answer; raises `asyncio.IncompleteReadError` if it dies or says too much."""
        await self._write(request)
        return await self._read(max_bytes)

    async def stream(self, *requests: bytes, max_bytes: int) -> AsyncGenerator[bytes]:
        """Yield the frames that answer, up to the first empty one, each of so many bytes at most.

        The process waits while nobody takes them. Raises what `ask` does.
        """
        for request in requests:
            await self._write(request)
        while frame := await self._read(max_bytes):
            yield frame

    async def _write(self, frame: bytes) -> None:
        with suppress(ConnectionError):  # A worker that died: reading tells.
            self._requests.write(FRAME.pack(len(frame)))
            self._requests.write(frame)
            await self._requests.drain()

    async def _read(self, max_bytes: int) -> bytes:
        (length,) = FRAME.unpack(await self._answers.readexactly(FRAME.size))
        if length > max_bytes:
            raise asyncio.IncompleteReadError(b"", length)
        return await self._answers.readexactly(length)

    def leave(self) -> None:
        """Let it end by itself, as its input does."""
        self._requests.close()

    async def end(self) -> int:
        """Kill it, wait until it is gone, and return its exit status: minus a signal's number.

        One that was gone already, or is ending, keeps the status it ended with.
        """
        self._requests.close()
        if self._answers.at_eof():
            # It is ending. `kill` would look whether it has, and so take its status away from
            # `wait`, which then makes one up.
            with suppress(TimeoutError):
                async with asyncio.timeout(_ENDING_SECONDS):
                    return await self._process.wait()
        with suppress(ProcessLookupError):
            self._process.kill()
        # What it wrote last is thrown away: while it is not read, its end is not noticed either.
        while await self._answers.read(_PIECE_BYTES):
            pass
        return await self._process.wait()
