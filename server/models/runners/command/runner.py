"""Run model servers that are any program, each by a command from the settings.

Rules:

1. A keeper (`keeper.py`) runs the program and ends all of it: when it is stopped, when it ends by
   itself and leaves something behind, and when we die, however that comes.
2. A program is asked to end and, after its grace, killed. It is never adopted: what an earlier
   gateway started is gone with that one.
3. The program binds its port itself. Until it does, the port is claimed against other starts, also
   of other gateways; that it listens elsewhere is seen where Linux tells, and said.
4. What it writes is read as fast as it comes, and kept within bounds (`output.py`), without the
   secrets that we gave it.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import urlsplit

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.models.catalog import ModelSpec
from server.models.runners.base import (
    TAIL_LINES,
    Condition,
    LogLine,
    Observation,
    Replica,
    Report,
)
from server.models.runners.command.listening import listening_ports
from server.models.runners.command.program import Program
from server.models.runners.conversing import read_template
from server.models.runners.ports import Claim, PortRange
from server.settings import (
    ModelSettings,
    command_words,
    is_this_machine,
    resolve_address,
    with_port,
)

logger = logging.getLogger(__name__)

_KEEPER: Final = Path(__file__).with_name("keeper.py")
_LOOK_SECONDS: Final = 3.0
# Threads of OpenMP that wait spin for 100 ms otherwise: on a machine with several model servers
# that halts the others.
_GOMP_SPINCOUNT: Final = "1000"
# What systemd says to us, and our own settings, keys among them.
_OURS_ALONE: Final = ("SIDESTREAM_", "NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_")


class CommandRunner:
    """Run each replica as the program that its model's settings name."""

    is_managed: ClassVar[bool] = True
    outlives_us: ClassVar[bool] = False

    def __init__(
        self,
        ports: tuple[int, int],
        held_ports: set[int] | None = None,
        hub_cache: str = "",
        *,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`held_ports` are those of runners that share the range; ours are added to them.

        `hub_cache` is the hub's folder on this machine, which the programs read too, and
        `environment` what they get beside the variables in their settings.
        """
        self._ports = PortRange(ports, held_ports if held_ports is not None else set())
        self._hub_cache = hub_cache
        self._environment = environment
        self._programs: dict[Replica, Program] = {}

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        """Start the program unless it runs, and return its address.

        Raises `ModelFailed` when no port is free, or the program cannot be executed.
        """
        program = self._programs.get(replica)
        if program is not None and not program.ended.done():
            return program.endpoint
        report(Progress("starting", None, "starting the program"))
        if program is not None:
            self._forget(replica, program)
        template = await read_template(spec.settings.chat_template)
        claim = self._claim(spec.settings)
        try:
            endpoint = self._endpoint(spec.settings, claim.port, template)
            program = await self._spawn(spec, endpoint, claim)
        except BaseException:
            claim.release()
            raise
        self._programs[replica] = program
        logger.info("%s runs as process %d at %s", spec.id, program.pid, endpoint.url)
        return endpoint

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """End the program: politely, and after `grace_seconds` by force; all of it in any case."""
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
        """Return once the program has ended, nothing is left of it, and its last line is read."""
        program = self._programs.get(replica)
        if program is not None:
            await asyncio.wait([program.ended])
        return await self.inspect(replica)

    async def list(self) -> list[Observation]:
        """Report the programs; none of an earlier gateway can be alive."""
        return [await self.inspect(replica) for replica in list(self._programs)]

    async def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Give the last lines, then each new one; lines that a slow reader missed are skipped."""
        program = self._programs.get(replica)
        if program is None:
            return
        async for lines in program.log.read(tail=tail, follow=follow):
            for line in lines:
                yield line

    async def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        """Tell when the program listens elsewhere than at its port, and not there."""
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
        """Kill what still runs."""
        await asyncio.gather(*(self.stop(r, grace_seconds=0) for r in list(self._programs)))

    # --- inside -----------------------------------------------------------------------------

    def _forget(self, replica: Replica, program: Program) -> None:
        if self._programs.get(replica) is program:
            del self._programs[replica]
            program.claim.release()

    def _claim(self, said: ModelSettings) -> Claim:
        """Return a free port, or the one of an address on this machine that has no `{port}`."""
        if not said.url or with_port(said.url, 0) != said.url:
            return self._ports.claim()
        url = resolve_address(said.url).url
        port = urlsplit(url).port or (443 if url.startswith("https:") else 80)
        # What is elsewhere, as at the end of an SSH command, takes no port here.
        return self._ports.take(port) if is_this_machine(url) else Claim(port, set())

    def _endpoint(self, said: ModelSettings, port: int, chat_template: str) -> Endpoint:
        address = resolve_address(with_port(said.url, port) or f"http://127.0.0.1:{port}")
        return Endpoint(
            address.url,
            address.api,
            api_key=said.api_key,
            dialect=said.dialect,
            flavour=said.flavour,
            model=said.model_id,
            headers=tuple(said.headers.items()),
            ca_file=said.ca_file,
            chat_template=chat_template,
            hub_cache=self._hub_cache if is_this_machine(address.url) else "",
            flags=said.flags,
        )

    async def _spawn(self, spec: ModelSpec, endpoint: Endpoint, claim: Claim) -> Program:
        """Start the program; cancelled or refused, nothing of it is left."""
        words = command_words(spec.settings.command, claim.port)
        environment = {
            "GOMP_SPINCOUNT": _GOMP_SPINCOUNT,
            **{k: v for k, v in self._environment.items() if not k.startswith(_OURS_ALONE)},
            **{k: with_port(v, claim.port) for k, v in spec.settings.env.items()},
        }
        order = json.dumps({"command": words, "environment": environment})
        program = Program(endpoint, claim, spec.settings)
        # Without its own modules' path (-I) and packages (-S), it starts in milliseconds.
        keeper = [sys.executable, "-I", "-S", str(_KEEPER)]
        starting = asyncio.create_task(program.start(keeper, order))
        try:
            problem = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _undo(program, starting)
            raise
        if problem:
            raise ModelFailed(
                f"the model server cannot be executed: {problem}: {words[0]}",
                hint="correct `command` in the model's section, or PATH in its `env`",
            )
        return program

    async def _ports_elsewhere(self, program: Program) -> frozenset[int]:
        """Return where the program listens if it does not where it is to."""
        ports = await asyncio.to_thread(listening_ports, program.pid)
        return frozenset() if program.claim.port in ports else ports


async def _undo(program: Program, starting: "asyncio.Task[str]") -> None:
    """See a start through and end it: cut off in the middle, a loop may forget the process."""

    async def undo() -> None:
        with suppress(ModelFailed):
            if not await starting:
                program.kill()
                await program.ended

    undoing = asyncio.create_task(undo())
    while not undoing.done():
        # Cancelled again and again, the start still leaves nothing behind.
        with suppress(asyncio.CancelledError):
            await asyncio.shield(undoing)
