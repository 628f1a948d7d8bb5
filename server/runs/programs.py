"""Run a program of the operator's once, with an input, and bound all that it does.

Rules:

1. It runs under a supervisor that ends all that it has started: when it ends, when it takes too
   long, when it writes too much, when nobody waits for it any more, and when the gateway dies.
2. It gets PATH, LANG and what its section says, no other variable of the gateway's, and the folder
   `/`. No shell runs it.
3. What it writes beyond the bound ends it, and is not kept. Its errors are kept in short.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from server.models.runners.programs import supervisor

_SUPERVISOR: Final = str(Path(supervisor.__file__))
_ERROR_BYTES: Final = 2048
_PIECE_BYTES: Final = 64 * 1024
# A process of another user cannot be killed, and may hold the pipes open for ever.
_LAST_WORDS_SECONDS: Final = 1.0


class ProgramFailed(Exception):
    """The program told nothing that can be used: the message says why, `errors` what it wrote."""

    def __init__(self, why: str, errors: str = "") -> None:
        super().__init__(why)
        self.errors = errors


@dataclass(frozen=True)
class Bounds:
    """How long a program may take, and how many bytes it may write."""

    seconds: float
    output_bytes: int


async def run_program(
    words: Sequence[str], data: bytes, environment: Mapping[str, str], bounds: Bounds
) -> bytes:
    """Return what a program writes to its output; `data` is its input, which it may leave unread.

    Raises `ProgramFailed`, also for an exit code that is not 0. Cancelled, it is killed with all
    that it has started.
    """
    run = _Run(bounds.output_bytes)
    # To the end, whatever happens: what was started is there to be ended.
    starting = asyncio.create_task(run.start(words, environment))
    try:
        await asyncio.shield(starting)
        async with asyncio.timeout(bounds.seconds):
            return await run.finish(data)
    except TimeoutError:
        why = f"it took longer than {bounds.seconds:g} s"
        raise ProgramFailed(why, run.errors) from None
    except OSError as error:
        raise ProgramFailed(f"no process can be started ({error.strerror})") from None
    finally:
        await _to_its_end(run.end(starting))


async def _to_its_end(work: Any) -> None:
    """Wait for something that cancelling must not cut short."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class _Run:
    """One run of a program under its supervisor."""

    def __init__(self, output_bytes: int) -> None:
        self._output_bytes = output_bytes
        self._process: asyncio.subprocess.Process | None = None
        self._ours: list[asyncio.BaseTransport] = []
        self._errors = bytearray()
        self._reading: asyncio.Task[None] | None = None

    @property
    def errors(self) -> str:
        """Return the last lines of its standard error."""
        return self._errors.decode(errors="replace").strip()

    async def start(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start supervisor and program; raises `OSError`."""
        loop = asyncio.get_running_loop()
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", _SUPERVISOR),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(theirs_in, theirs_out),
                start_new_session=True,
                cwd="/",
                env={},
            )
        except BaseException:
            os.close(ours_in)
            os.close(ours_out)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._output = asyncio.StreamReader(limit=_PIECE_BYTES)
        reader, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._output), os.fdopen(ours_out, "rb", 0)
        )
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop), os.fdopen(ours_in, "wb", 0)
        )
        self._input = asyncio.StreamWriter(transport, protocol, None, loop)
        self._ours = [reader, transport]
        order = {
            "command": list(words),
            "environment": dict(environment),
            "input": theirs_in,
            "output": theirs_out,
        }
        self._messages = cast(asyncio.StreamReader, process.stdout)
        cast(asyncio.StreamWriter, process.stdin).write(json.dumps(order).encode() + b"\n")
        errors = cast(asyncio.StreamReader, process.stderr)
        self._reading = asyncio.create_task(self._read_errors(errors), name="errors of a check")

    async def finish(self, data: bytes) -> bytes:
        """Give it its input and return its output; raises `ProgramFailed`."""
        begun = await _message(self._messages)
        if "error" in begun:
            raise ProgramFailed(f"it cannot be started ({begun['error']})")
        feeding = asyncio.create_task(self._feed(data), name="input of a check")
        try:
            output = await self._read()
        finally:
            feeding.cancel()
        if output is None:
            raise ProgramFailed(f"it wrote more than {self._output_bytes:,} bytes", self.errors)
        code = (await _message(self._messages)).get("code")
        if code != 0:
            await self._until_errors_are_read()
            why = "its process was killed" if code is None else _ending(int(code))
            raise ProgramFailed(why, self.errors)
        return output

    async def end(self, starting: "asyncio.Task[None]") -> None:
        """Kill what is left of it, and return when all is gone."""
        await asyncio.wait([starting])
        starting.exception()  # It was raised already, unless the wait for it was cancelled.
        if self._process is not None:
            cast(asyncio.StreamWriter, self._process.stdin).close()
            await self._process.wait()
            await self._until_errors_are_read()
        if self._reading is not None:
            self._reading.cancel()
        for transport in self._ours:
            transport.close()

    # --- inside -----------------------------------------------------------------------------

    async def _feed(self, data: bytes) -> None:
        # One that reads no more, or nothing, says what it says all the same.
        with suppress(ConnectionError):
            self._input.write(data)
            await self._input.drain()
        self._input.close()

    async def _read(self) -> bytes | None:
        """Return its output, None once that is too long."""
        output = bytearray()
        while piece := await self._output.read(_PIECE_BYTES):
            output += piece
            if len(output) > self._output_bytes:
                return None
        return bytes(output)

    async def _read_errors(self, source: asyncio.StreamReader) -> None:
        while piece := await source.read(_PIECE_BYTES):
            self._errors += piece
            del self._errors[:-_ERROR_BYTES]

    async def _until_errors_are_read(self) -> None:
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=_LAST_WORDS_SECONDS)


async def _message(source: asyncio.StreamReader) -> dict[str, Any]:
    """Return the supervisor's next message; empty when it has ended."""
    line = await source.readline()
    said: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
    return said


def _ending(code: int) -> str:
    return f"it ended with code {code}" if code >= 0 else f"it was ended by signal {-code}"
