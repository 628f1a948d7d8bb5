"""Run model servers as child processes.

Rules:

1. A child leads its own process group, so that one signal reaches all of it and none of
   the terminal's Ctrl-C does.
2. No child outlives us, however we die: it holds the read end of a pipe whose write end
   only we hold, and exits when the pipe ends.
3. We bind the port and hand the bound socket over. Two starts cannot choose the same port,
   nobody can take it in between, and until the child listens a connection is refused.
4. A child has ended when its process has. Its output is a pipe of our own, since asyncio
   takes a process for running as long as anybody, a grandchild for one, holds its pipe open.
"""

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from typing import ClassVar

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.models.catalog import ModelSpec
from server.models.logbook import LogBook
from server.models.runners.base import (
    TAIL_LINES,
    Condition,
    LogLine,
    Observation,
    Replica,
    Report,
)

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 64 * 1024
# What a child wrote before its end is in the pipe already; a process that left the group may
# hold the pipe open for ever.
LAST_WORDS_SECONDS = 1.0

CommandFor = Callable[[ModelSpec, int, int], list[str]]
"""Give the command line for a model, a bound socket's and a lifeline's file descriptor."""


class _Child:
    """A process, what it writes, and what keeps it alive."""

    def __init__(
        self, process: asyncio.subprocess.Process, port: int, lifeline: int, output: int
    ) -> None:
        self.process = process
        self.port = port
        self.endpoint = Endpoint(f"http://127.0.0.1:{port}")
        self.log = LogBook()
        self._lifeline = lifeline
        self._output = output
        self.ended = asyncio.create_task(self._watch(), name=f"child {process.pid}")

    def signal(self, number: int) -> None:
        """Signal the whole group; a group that is gone already is no error."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    async def _watch(self) -> None:
        """Keep what the child writes until it has exited and all is read."""
        reading = asyncio.create_task(self._read())
        try:
            await self.process.wait()
            # What the child may have started goes with it, and lets go of its output.
            self.signal(signal.SIGKILL)
            await asyncio.wait([reading], timeout=LAST_WORDS_SECONDS)
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            os.close(self._lifeline)
            self.log.close()

    async def _read(self) -> None:
        reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._output, "rb", 0)
        )
        with closing(transport):
            async for line in _lines(reader):
                self.log.add(LogLine(time.time(), "stdout", line))


class ProcessRunner:
    """Run each replica as a child process on a port of its own."""

    is_managed: ClassVar[bool] = True
    outlives_us: ClassVar[bool] = False

    def __init__(
        self, command_for: CommandFor, *, ports: tuple[int, int], held_ports: set[int] | None = None
    ) -> None:
        """`held_ports` are those of runners that share the range; ours are added to them."""
        self._command_for = command_for
        self._ports = ports
        self._held_ports = held_ports if held_ports is not None else set()
        self._children: dict[Replica, _Child] = {}

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        """Start the process unless it runs, and return its address.

        Raises `ModelFailed` when no port is free or the program cannot be executed.
        """
        child = self._children.get(replica)
        if child is not None and not child.ended.done():
            return child.endpoint
        report(Progress("starting", None, "starting the model server"))
        if child is not None:
            self._forget(replica, child)
        with self._bind() as listener:
            spawning = asyncio.create_task(self._spawn(spec, listener))
            try:
                child = await asyncio.shield(spawning)
            except asyncio.CancelledError:
                await self._undo(spawning)
                raise
        self._children[replica] = child
        logger.info("%s runs as process %d at %s", spec.id, child.process.pid, child.endpoint.url)
        return child.endpoint

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """End the process: politely, and after `grace_seconds` by force."""
        child = self._children.get(replica)
        if child is None:
            return
        try:
            child.signal(signal.SIGTERM)
            await asyncio.wait([child.ended], timeout=grace_seconds)
        finally:
            if not child.ended.done():
                child.signal(signal.SIGKILL)
                await asyncio.shield(child.ended)
            self._forget(replica, child)

    async def inspect(self, replica: Replica) -> Observation:
        """Report whether the process runs, and how it ended if it does not."""
        child = self._children.get(replica)
        if child is None:
            return Observation(replica, Condition.MISSING)
        if not child.ended.done():
            return Observation(replica, Condition.RUNNING, child.endpoint)
        tail = tuple(child.log.tail(TAIL_LINES))
        return Observation(replica, Condition.EXITED, exit_code=child.process.returncode, tail=tail)

    async def wait(self, replica: Replica) -> Observation:
        """Return once the process has ended and its last line is read."""
        child = self._children.get(replica)
        if child is not None:
            await asyncio.wait([child.ended])
        return await self.inspect(replica)

    async def list(self) -> list[Observation]:
        """Report the children; none of an earlier gateway can be alive."""
        return [await self.inspect(replica) for replica in list(self._children)]

    async def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Give the last lines, then each new one; lines that a slow reader missed are skipped."""
        child = self._children.get(replica)
        if child is None:
            return
        async for lines in child.log.read(tail=tail, follow=follow):
            for line in lines:
                yield line

    async def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        """Give nothing: the embedded engine's log tells everything."""
        nothing: tuple[Progress, ...] = ()
        for seen in nothing:
            yield seen

    async def close(self) -> None:
        """Kill what still runs."""
        await asyncio.gather(*(self.stop(r, grace_seconds=0) for r in list(self._children)))

    def _forget(self, replica: Replica, child: _Child) -> None:
        if self._children.get(replica) is child:
            del self._children[replica]
            self._held_ports.discard(child.port)

    def _bind(self) -> socket.socket:
        """Return a socket bound, not yet listening, to the first free port of the range.

        A first round binds exclusively. A second one takes ports on which only closed
        connections linger; it passes over our own children, since Linux would let two
        sockets share a port on which neither listens yet. So, too, over the ports of others
        that share the range.
        """
        first, last = self._ports
        held = self._held_ports
        for is_exclusive in (True, False):
            for port in range(first, last + 1):
                if port not in held and (listener := _bound(port, is_exclusive=is_exclusive)):
                    held.add(port)
                    return listener
        raise ModelFailed(
            f"no free port between {first} and {last}",
            hint="stop a model, or widen `ports` in [engines]",
        )

    async def _undo(self, spawning: "asyncio.Task[_Child]") -> None:
        """See a spawn through and end its child: cut off in the middle, a loop may forget it."""

        async def undo() -> None:
            with suppress(ModelFailed):
                child = await spawning
                child.signal(signal.SIGKILL)
                await child.ended
                self._held_ports.discard(child.port)

        undoing = asyncio.create_task(undo())
        while not undoing.done():
            # Cancelled again and again, the start still leaves nothing behind.
            with suppress(asyncio.CancelledError):
                await asyncio.shield(undoing)

    async def _spawn(self, spec: ModelSpec, listener: socket.socket) -> _Child:
        lifeline_read, lifeline_write = os.pipe()
        output_read, output_write = os.pipe()
        inherited = (listener.fileno(), lifeline_read)
        command = self._command_for(spec, *inherited)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output_write,
                stderr=output_write,
                start_new_session=True,
                pass_fds=inherited,
            )
        except BaseException as error:
            os.close(lifeline_write)
            os.close(output_read)
            self._held_ports.discard(listener.getsockname()[1])
            if isinstance(error, OSError):
                reason = f"{error.strerror}: {command[0]}"
                raise ModelFailed(f"the model server cannot be executed: {reason}") from None
            raise
        finally:
            os.close(lifeline_read)
            os.close(output_write)
        return _Child(process, listener.getsockname()[1], lifeline_write, output_read)


def _bound(port: int, *, is_exclusive: bool) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if not is_exclusive:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        return None
    # Connections inherit this, and so leave the port free for the second round.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """Split output into lines; an overlong one is cut, not an error."""
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as overrun:
            line = await reader.readexactly(max(overrun.consumed, 1))
        except asyncio.IncompleteReadError as end:
            if not end.partial:
                return
            line = end.partial
        yield line.decode(errors="replace").rstrip("\r\n")
