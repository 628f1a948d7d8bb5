"""Processes that answer one request each and end: the gateway's half, and theirs.

A process answers with a frame that says whether it can, then frames of what is asked for, then an
empty one. Rules:

1. A process ends with its request: also when who asked is gone, and when the gateway closes.
2. So many work at once; others wait.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Final

import msgspec

from server.core.errors import (
    InvalidCommand,
    InvalidPromptSet,
    SidestreamError,
    StorageFailed,
    UnknownRun,
)
from server.core.protocol import ErrorInfo
from server.workers.fences import OUT_OF_TIME, write_frame
from server.workers.process import WorkerProcess

_CAN: Final = b"{}"
# What streams comes first.
_NICE: Final = 5
# What a process may fail with in words of ours; any other failure is ours to explain.
_KINDS: Final[dict[str, type[SidestreamError]]] = {
    kind.code: kind for kind in (InvalidCommand, InvalidPromptSet, StorageFailed, UnknownRun)
}


class SingleUseWorkers:
    """Start processes of one module; `about` is what cannot be done where one fails."""

    def __init__(self, module: str, *arguments: str, about: str) -> None:
        self._module = module
        self._arguments = arguments
        self._about = about
        self._workers: set[WorkerProcess] = set()
        self._is_closed = False

    async def close(self) -> None:
        """End all processes; what they write breaks off."""
        self._is_closed = True
        for worker in list(self._workers):
            await worker.end()

    async def frames(self, *requests: bytes, max_bytes: int) -> AsyncGenerator[bytes]:
        """Yield what a new process answers, in frames of so many bytes at most.

        Closed or cancelled, it ends the process. Raises what the process tells, `StorageFailed`
        where it cannot be started or dies, also amid what it writes.
        """
        worker = await self._started()
        try:
            async with aclosing(worker.stream(*requests, max_bytes=max_bytes)) as frames:
                first = await anext(frames, b"")
                if first != _CAN:
                    raise _error(first)
                async for frame in frames:
                    yield frame
        except asyncio.IncompleteReadError:
            status = await worker.end()
            why = "it takes too long" if status == OUT_OF_TIME else f"its process ended ({status})"
            raise StorageFailed(f"{self._about}: {why}") from None
        finally:
            await worker.end()
            self._workers.discard(worker)

    async def _started(self) -> WorkerProcess:
        if self._is_closed:
            raise StorageFailed("the server is stopping")
        try:
            worker = await WorkerProcess.start(self._module, *self._arguments)
        except OSError as error:
            raise StorageFailed(f"{self._about}: {error.strerror}") from None
        self._workers.add(worker)
        return worker


def step_back() -> None:
    """Let what streams come first, in a process that works."""
    os.nice(_NICE)


def answer(make: Callable[[], Iterable[bytes]]) -> None:
    """Answer with what `make` returns, or with the error of ours that it raises.

    An error amid it ends the process, so that what was asked for breaks off.
    """
    try:
        frames = iter(make())
        first = next(frames, b"")
    except SidestreamError as error:
        write_frame(msgspec.json.encode(ErrorInfo.of(error)))
        return
    write_frame(_CAN)
    if first:
        write_frame(first)
        for frame in frames:
            write_frame(frame)
    write_frame(b"")


def _error(frame: bytes) -> SidestreamError:
    """Return the error that a process tells in its first frame."""
    told = msgspec.json.decode(frame, type=ErrorInfo)
    kind = _KINDS.get(told.code, StorageFailed)
    return kind(told.message, hint=told.hint, details=told.details)
