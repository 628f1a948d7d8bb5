"""One program under its keeper: what is said to that one, and what it says."""

import asyncio
import json
import os
import signal
from contextlib import suppress
from typing import Any, Final

from server.core.errors import ModelFailed
from server.dialects.base import Endpoint
from server.models.logbook import LogBook
from server.models.runners.base import LogLine
from server.models.runners.command.output import Output
from server.models.runners.ports import Claim
from server.models.runners.redaction import Redactor
from server.settings import ModelSettings, Secret

# What a program wrote before its end is in the pipe already; one that could not be killed, as
# somebody else's, may hold the pipe open for ever.
_LAST_WORDS_SECONDS: Final = 1.0
_TERMINATE: Final = b"t"
_TELLS_A_SECRET: Final = ("key", "token", "secret", "password")


class Program:
    """A program that runs, or has ended: `ended` is done once nothing is left of it."""

    def __init__(self, endpoint: Endpoint, claim: Claim, said: ModelSettings) -> None:
        self.endpoint = endpoint
        self.claim = claim
        self.log = LogBook()
        self.pid = 0
        self.exit_code: int | None = None
        self.left_behind = 0
        """How many processes went on when it had ended; those are gone, too."""
        self.ended: asyncio.Task[None]
        self._redactor = Redactor(_secrets(said))
        self._output = Output(self._add)
        self._keeper: asyncio.subprocess.Process

    async def start(self, keeper: list[str], order: str) -> str:
        """Have the keeper carry out the order; return why that cannot be, nothing if it runs.

        Not to be cancelled. Raises `ModelFailed` when there is no keeper to be had.
        """
        reading, writing = os.pipe()
        try:
            self._keeper = await asyncio.create_subprocess_exec(
                *keeper,
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
        # It is longer than a pipe holds where the environment is large; the loop sees it through.
        self._tell(order.encode() + b"\n")
        said = await self._hear()
        self.pid = said.get("pid", 0)
        self.ended = asyncio.create_task(self._watch(), name=f"program {self.pid}")
        if self.pid:
            return ""
        await self.ended
        last = self.log.tail(1)
        return str(said.get("error") or (last[0].text if last else "the keeper ended"))

    def ask_to_end(self) -> None:
        """Ask the program and all of its group to end."""
        self._tell(_TERMINATE)

    def kill(self) -> None:
        """Kill everything that the program is."""
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()

    # --- inside -----------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Return when the keeper has ended, and with it the program, and all is read."""
        try:
            if self.pid and (said := await self._hear()):
                self.exit_code, self.left_behind = said["code"], said["left"]
            await self._keeper.wait()
            if self.pid and self.exit_code is None:
                # Somebody killed the keeper: the program goes with it, others of its group may not.
                self.exit_code = -signal.SIGKILL
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_SECONDS):
                    await self._output.ended.wait()
        finally:
            self._output.close()
            self.log.close()

    async def _hear(self) -> dict[str, Any]:
        """Return the keeper's next word; nothing when it has ended."""
        stdout = self._keeper.stdout
        line = b"" if stdout is None else await stdout.readline()
        said: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
        return said

    def _tell(self, word: bytes) -> None:
        stdin = self._keeper.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(word)

    def _add(self, line: LogLine) -> None:
        self.log.add(LogLine(line.time, line.stream, self._redactor.clean(line.text)))


def _secrets(said: ModelSettings) -> list[str]:
    """Return what the program may know and its log's readers may not."""
    variables = [
        value
        for name, value in said.env.items()
        if (isinstance(value, Secret) and value.is_from_elsewhere)
        or any(word in name.lower() for word in _TELLS_A_SECRET)
    ]
    return [said.api_key, *variables]
