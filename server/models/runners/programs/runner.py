"""Run model servers that are programs on this machine: the embedded engine, or any command.

Rules:

1. A supervisor (`supervisor.py`) runs the program and ends all of its processes: when the program
   is stopped, when it ends by itself and leaves some behind, and when the gateway dies.
2. A program gets SIGTERM and, after its grace period, SIGKILL. It is never adopted: the programs of
   an earlier gateway ended with that gateway.
3. The program binds its port itself. Until then the port is claimed, so that other starts, also of
   other gateways, do not take it. On Linux a program that listens at another port is reported.
4. Its output is read as fast as it comes and kept within bounds (`output.py`). Its secrets are
   hidden.
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.models.catalogue.catalog import ModelSpec
from server.models.logbook import LogLine
from server.models.runners.base import TAIL_LINES, Condition, Observation, Replica, Report
from server.models.runners.ports import Claim, PortRange
from server.models.runners.programs.launch import Launcher
from server.models.runners.programs.listening import listening_ports
from server.models.runners.programs.program import Program

logger = logging.getLogger(__name__)

_SUPERVISOR: Final = Path(__file__).with_name("supervisor.py")
_LOOK_SECONDS: Final = 3.0


class ProgramRunner:
    """Run each replica as a program of the kind that `launcher` starts."""

    is_managed: ClassVar[bool] = True
    outlives_us: ClassVar[bool] = False
    lockout: None = None
    loss_seconds: ClassVar[float] = 0.0

    def __init__(
        self, launcher: Launcher, *, ports: tuple[int, int], held_ports: set[int] | None = None
    ) -> None:
        """`held_ports` is shared by all runners that take ports from the same range."""
        self._launcher = launcher
        self._ports = PortRange(ports, held_ports if held_ports is not None else set())
        self._programs: dict[Replica, Program] = {}

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        """Start the program unless it runs, and return its endpoint.

        Raises `ModelFailed` if no port is free, or the program cannot be executed.
        """
        program = self._programs.get(replica)
        if program is not None and not program.ended.done():
            return program.endpoint
        report(Progress("starting", None, "starting the program"))
        if program is not None:
            self._forget(replica, program)
        claim = self._launcher.claim(spec, self._ports)
        try:
            program = await self._spawn(spec, claim)
        except BaseException:
            claim.release()
            raise
        self._programs[replica] = program
        logger.info("%s runs as process %d at %s", spec.id, program.pid, program.endpoint.url)
        return program.endpoint

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """Send SIGTERM, kill after `grace_seconds`, and return when all processes have ended."""
        program = self._programs.get(replica)
        if program is None:
            return
        try:
            program.ask_to_end()
            await asyncio.wait([program.ended], timeout=grace_seconds)
        finally:
            if not program.ended.done():
                program.kill()
                await asyncio.shield(program.ended)
            self._forget(replica, program)

    async def inspect(self, replica: Replica) -> Observation:
        """Report whether the program runs and where it listens, or how it ended."""
        program = self._programs.get(replica)
        if program is None:
            return Observation(replica, Condition.MISSING)
        if not program.ended.done():
            elsewhere = await self._ports_elsewhere(program)
            return Observation(
                replica, Condition.RUNNING, program.endpoint, ports_elsewhere=elsewhere
            )
        return Observation(
            replica,
            Condition.EXITED,
            exit_code=program.exit_code,
            left_behind=program.left_behind,
            tail=tuple(program.log.tail(TAIL_LINES)),
        )

    async def wait(self, replica: Replica) -> Observation:
        """Wait until all processes of the program have ended and its last line is read."""
        program = self._programs.get(replica)
        if program is not None:
            await asyncio.wait([program.ended])
        return await self.inspect(replica)

    async def list(self) -> list[Observation]:
        """Report the programs of this gateway; none of an earlier one can be alive."""
        return [await self.inspect(replica) for replica in list(self._programs)]

    async def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Yield the last lines, then each new line; a slow reader misses lines."""
        program = self._programs.get(replica)
        if program is None:
            return
        async for lines in program.log.read(tail=tail, follow=follow):
            for line in lines:
                yield line

    async def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        """Yield a report if the program listens at other ports instead of its own."""
        told: frozenset[int] = frozenset()
        while (program := self._programs.get(replica)) is not None and not program.ended.done():
            await asyncio.wait([program.ended], timeout=_LOOK_SECONDS)
            elsewhere = await self._ports_elsewhere(program)
            if elsewhere and elsewhere != told:
                told = elsewhere
                where = ", ".join(map(str, sorted(elsewhere)))
                port = program.claim.port
                yield Progress("starting", None, f"listens on port {where}, not yet on {port}")

    async def close(self) -> None:
        """Kill the programs that still run."""
        await asyncio.gather(*(self.stop(r, grace_seconds=0) for r in list(self._programs)))

    # --- inside -----------------------------------------------------------------------------

    def _forget(self, replica: Replica, program: Program) -> None:
        if self._programs.get(replica) is program:
            del self._programs[replica]
            program.claim.release()

    async def _spawn(self, spec: ModelSpec, claim: Claim) -> Program:
        """Start the program; if cancelled or failed, nothing of it is left."""
        launch = await self._launcher.launch(spec, claim.port)
        order = json.dumps({"command": launch.words, "environment": dict(launch.environment)})
        program = Program(launch, claim)
        # Without the script's folder (-I) and packages (-S) in its path, it starts in milliseconds.
        supervisor = [sys.executable, "-I", "-S", str(_SUPERVISOR)]
        starting = asyncio.create_task(program.start(supervisor, order))
        try:
            problem = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _undo(program, starting)
            raise
        if problem:
            raise ModelFailed(
                f"the model server cannot be executed: {problem}: {launch.words[0]}",
                hint=launch.hint,
            )
        return program

    async def _ports_elsewhere(self, program: Program) -> frozenset[int]:
        """Return the ports at which the program listens, if its own is not among them."""
        ports = await asyncio.to_thread(listening_ports, program.pid)
        return frozenset() if program.claim.port in ports else ports


async def _undo(program: Program, starting: "asyncio.Task[str]") -> None:
    """Let a start finish, then kill the program: a cancelled start could lose the process."""

    async def undo() -> None:
        with suppress(ModelFailed):
            if not await starting:
                program.kill()
                await program.ended

    undoing = asyncio.create_task(undo())
    while not undoing.done():
        # Repeated cancellation must not leave a process behind.
        with suppress(asyncio.CancelledError):
            await asyncio.shield(undoing)
