"""One program under its supervisor, and the messages between gateway and supervisor."""

import asyncio
import json
import os
import signal
from contextlib import suppress
from typing import Any, Final

from server.core.errors import ModelFailed
from server.models.logbook import LogBook, LogLine
from server.models.runners.ports import Claim
from server.models.runners.programs.launch import Launch
from server.models.runners.programs.output import Output
from server.models.runners.redaction import Redactor

# The last output of a program that has ended is in the pipe already. The wait is bounded, because a
# process of another user, which cannot be killed, may hold the pipe open for ever.
_LAST_WORDS_SECONDS: Final = 1.0
_TERMINATE: Final = b"t"


class Program:
    """A program that runs or has ended; `ended` is done once all its processes have ended."""

    def __init__(self, launch: Launch, claim: Claim) -> None:
        self.endpoint = launch.endpoint
        self.claim = claim
        self.log = LogBook()
        self.pid = 0
        self.exit_code: int | None = None
        self.left_behind = 0
        """The number of processes that outlived the program and were killed."""
        self.ended: asyncio.Task[None]
        self._redactor = Redactor(launch.secrets)
        self._output = Output(self._add)
        self._supervisor: asyncio.subprocess.Process

    async def start(self, supervisor: list[str], order: str) -> str:
        """Have the supervisor start the program; return its error, empty if the program runs.

        Must not be cancelled. Raises `ModelFailed` if the supervisor cannot be started.
        """
        reading, writing = os.pipe()
        try:
            self._supervisor = await asyncio.create_subprocess_exec(
                *supervisor,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=writing,
                start_new_session=True,
            )
        except OSError as error:
            os.close(reading)
            raise ModelFailed(f"the model server cannot be started: {error.strerror}") from None
        finally:
            os.close(writing)
        await self._output.follow(reading)
        # A large environment makes it longer than a pipe holds; the loop writes the rest.
        self._send(order.encode() + b"\n")
        said = await self._receive()
        self.pid = said.get("pid", 0)
        self.ended = asyncio.create_task(self._watch(), name=f"program {self.pid}")
        if self.pid:
            return ""
        await self.ended
        last = self.log.tail(1)
        return str(said.get("error") or (last[0].text if last else "the supervisor ended"))

    def ask_to_end(self) -> None:
        """Send SIGTERM to the program and its process group."""
        self._send(_TERMINATE)

    def kill(self) -> None:
        """Kill the program and all its descendants."""
        if self._supervisor.stdin is not None:
            self._supervisor.stdin.close()

    # --- inside -----------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Wait until supervisor and program have ended and all output is read."""
        try:
            if self.pid and (said := await self._receive()):
                self.exit_code, self.left_behind = said["code"], said["left"]
            await self._supervisor.wait()
            if self.pid and self.exit_code is None:
                # The supervisor was killed. The program died with it; its group may not have.
                self.exit_code = -signal.SIGKILL
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_SECONDS):
                    await self._output.ended.wait()
        finally:
            self._output.close()
            self.log.close()

    async def _receive(self) -> dict[str, Any]:
        """Return the supervisor's next message; empty when it has ended."""
        stdout = self._supervisor.stdout
        line = b"" if stdout is None else await stdout.readline()
        said: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
        return said

    def _send(self, message: bytes) -> None:
        stdin = self._supervisor.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(message)

    def _add(self, line: LogLine) -> None:
        self.log.add(LogLine(line.time, line.stream, self._redactor.clean(line.text)))
