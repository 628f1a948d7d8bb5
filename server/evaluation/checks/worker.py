"""A few processes that do the checks which may take long or crash; each is killed when it does.

A process works on one check at a time, is started when it is needed, and replaced when it ended.
"""

import asyncio
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from server.evaluation.checks import worker_program
from server.evaluation.checks.result import CheckResult
from server.workers.fences import OUT_OF_TIME
from server.workers.process import WorkerProcess

MAX_TEXT_CHARS: Final = 4 * 1024 * 1024
"""How long an answer may be to be checked here; longer ones fail."""
_MODULE: Final = worker_program.__name__
# A process ends itself by its own time; this is for one that cannot, on whatever busy machine.
_PATIENCE_SECONDS: Final = 60.0
_MAX_ANSWER_BYTES: Final = 64 * 1024


class CheckWorkers:
    """Do checks in up to `count` processes at once; an asynchronous context that ends them.

    A check may take so many seconds of a processor's time; real ones take milliseconds.
    """

    def __init__(self, count: int = 2, seconds: float = 2.0) -> None:
        self._count = count
        self._seconds = seconds
        self._slots = asyncio.Semaphore(count)
        self._idle: list[WorkerProcess] = []
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def check(self, declared: dict[str, Any], text: str) -> CheckResult:
        """Do one check of `worker_program`; waits for a free process.

        A check that takes too long or crashes its process is a result: failed, with the reason.
        Cancelling kills the process. Raises `OSError` where none can be started, `RuntimeError`
        after `close`.
        """
        if len(text) > MAX_TEXT_CHARS:
            return CheckResult(False, f"has more than {MAX_TEXT_CHARS:,} characters")
        request = msgspec.json.encode({**declared, "text": _without_halves(text)})
        async with self._slots:
            if self._is_closed:
                raise RuntimeError("checks are asked for after their workers were closed")
            return await self._ask(request)

    async def close(self) -> None:
        """Wait for the checks under way, and end all processes; nothing is left behind."""
        self._is_closed = True
        for _ in range(self._count):
            await self._slots.acquire()
        idle, self._idle = self._idle, []
        for worker in idle:
            await worker.end()
        for _ in range(self._count):
            self._slots.release()

    async def _ask(self, request: bytes) -> CheckResult:
        worker = self._idle.pop() if self._idle else await self._start()
        is_done = False
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                answer = await worker.ask(request, max_bytes=_MAX_ANSWER_BYTES)
            is_done = True
        except TimeoutError:
            return CheckResult(False, f"took longer than {_PATIENCE_SECONDS:g} s")
        except asyncio.IncompleteReadError:
            return self._why(await worker.end())
        finally:
            # What it says later would be taken for the result of the next check.
            if not is_done:
                await worker.end()
        self._idle.append(worker)
        return msgspec.json.decode(answer, type=CheckResult)

    async def _start(self) -> WorkerProcess:
        return await WorkerProcess.start(_MODULE, str(self._seconds))

    def _why(self, status: int) -> CheckResult:
        if status == OUT_OF_TIME:
            return CheckResult(False, f"took longer than {self._seconds:g} s")
        return CheckResult(False, f"crashed the check's process (status {status})")


def _without_halves(text: str) -> str:
    """Return a text that can be sent: half of a surrogate pair becomes a question mark."""
    return text.encode(errors="replace").decode()
