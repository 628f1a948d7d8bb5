"""A fleet whose servers are fakes in the test's own loop, started by a runner with gates.

Everything above the runner is real: fleet, deployment, upstream. Each step of a server waits at a
`Gate`, so that a test sets the order of events.
"""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from server.core.placement import Capacity
from server.core.protocol import Model, Progress
from server.dialects.base import Endpoint
from server.dialects.connector import Connector
from server.dialects.http.client import Timeouts
from server.models.capacity.gpus import gpu_takes
from server.models.catalogue.catalog import ModelSpec
from server.models.catalogue.found_servers import FoundServers
from server.models.fleet import Fleet
from server.models.lifecycle import state
from server.models.lifecycle.limits import LifecycleLimits
from server.models.lifecycle.ready_server import Lease
from server.models.logbook import LogBook, LogLine
from server.models.runners.base import Condition, Observation, Replica, Report
from server.models.runners.remote import RemoteRunner
from server.models.state_changed import StateChanged
from server.settings.tables import DockerSettings
from tests.fakes.tgi import Fake, serve
from tests.fakes.tgi_options import FakeOptions
from tests.support.gates import Gate
from tests.support.specs import catalog

CEILING_SECONDS = 20.0
LIMITS = LifecycleLimits(
    download=CEILING_SECONDS,
    start=CEILING_SECONDS,
    drain=CEILING_SECONDS,
    stop_grace=1.0,
    health_interval=CEILING_SECONDS,
    restarts=0,
)


@dataclass
class Server:
    """One server that was started: its log, and how it ended if it has."""

    endpoint: Endpoint
    options: FakeOptions
    log: LogBook = field(default_factory=LogBook)
    exit_code: int | None = None
    sent_signals: frozenset[int] = frozenset()
    is_muted: bool = False
    fake: Fake | None = None
    changed: StateChanged = field(default_factory=StateChanged)

    @property
    def is_silent_or_ended(self) -> bool:
        return self.is_muted or self.exit_code is not None


class FakeRunner:
    """Run each replica as a fake TGI in this loop."""

    is_managed: ClassVar[bool] = True
    outlives_us: ClassVar[bool] = False
    lockout: None = None
    loss_seconds = 0.0

    def __init__(self, **options: Any) -> None:
        self.options = FakeOptions(**options)
        self.starting, self.loading, self.stopping = Gate(), Gate(), Gate()
        self.pulling, self.pulls = Gate(), False
        self.start_error: Exception | None = None
        self.servers: dict[Replica, Server] = {}
        self.starts = 0
        self._tasks: dict[Replica, asyncio.Task[None]] = {}

    # --- what a test does to a server -------------------------------------------------------

    def server(self, model: str, number: int = 1) -> Server:
        """Return the model's server as it is now."""
        return self.servers[Replica("test", model, number)]

    def crash(self, model: str, code: int, *last_words: str, number: int = 1) -> None:
        """Have the server exit with that code after saying that."""
        server = self.server(model, number)
        for text in last_words:
            server.log.add(LogLine(time.time(), "stdout", text))
        server.exit_code = code
        server.changed.notify_all()

    def stop_by_hand(self, model: str, code: int) -> None:
        """Have somebody tell the engine to stop the server, as `docker stop` does."""
        self.server(model).sent_signals = frozenset({signal.SIGTERM})
        self.crash(model, code)

    def mute(self, model: str) -> None:
        """Have the server live on without answering anybody."""
        server = self.server(model)
        server.is_muted = True
        server.changed.notify_all()

    def say(self, model: str, *lines: str) -> None:
        """Have the server write lines into its log."""
        for text in lines:
            self.server(model).log.add(LogLine(time.time(), "stdout", text))

    # --- what a runner does -----------------------------------------------------------------

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        known = self.servers.get(replica)
        if known is not None and known.exit_code is None:
            return known.endpoint
        self.starts += 1
        if self.pulls:
            report(Progress("pulling", 0.5, "pulling the fake"))
            await self.pulling.pass_through()
        report(Progress("starting", None, "starting the fake"))
        await self.starting.pass_through()
        if self.start_error is not None:
            raise self.start_error
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        options = replace(self.options, model_id=spec.id)
        server = Server(Endpoint(f"http://127.0.0.1:{port}"), options)
        self.servers[replica] = server
        self._tasks[replica] = asyncio.create_task(self._live(server, port))
        return server.endpoint

    async def _live(self, server: Server, port: int) -> None:
        loading = asyncio.create_task(self.loading.pass_through())
        ended = asyncio.create_task(server.changed.wait_for(lambda: server.exit_code is not None))
        try:
            await asyncio.wait([loading, ended], return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                async with serve(server.options, port=port) as server.fake:
                    await server.changed.wait_for(lambda: server.is_silent_or_ended)
            await ended
        finally:
            loading.cancel()
            ended.cancel()
            server.log.close()

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        if replica not in self.servers:
            return
        try:
            await self.stopping.pass_through()
        finally:
            server = self.servers.pop(replica)
            if server.exit_code is None:
                server.exit_code = 0
                server.changed.notify_all()
            await asyncio.wait([self._tasks.pop(replica)])

    async def inspect(self, replica: Replica) -> Observation:
        server = self.servers.get(replica)
        if server is None:
            return Observation(replica, Condition.MISSING)
        if server.exit_code is None:
            return Observation(replica, Condition.RUNNING, server.endpoint)
        tail = tuple(server.log.tail(20))
        return Observation(
            replica,
            Condition.EXITED,
            exit_code=server.exit_code,
            sent_signals=server.sent_signals,
            tail=tail,
        )

    async def wait(self, replica: Replica) -> Observation:
        server = self.servers.get(replica)
        if server is not None:
            await server.changed.wait_for(lambda: server.exit_code is not None)
        return await self.inspect(replica)

    async def list(self) -> list[Observation]:
        return [await self.inspect(replica) for replica in self.servers]

    async def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        if replica in self.servers:
            async for lines in self.servers[replica].log.read(tail=tail, follow=follow):
                for line in lines:
                    yield line

    async def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        nothing: tuple[Progress, ...] = ()
        for progress in nothing:
            yield progress

    async def close(self) -> None:
        self.stopping.open()
        for replica in [*self.servers]:
            await self.stop(replica, grace_seconds=0)


class FakeFleet:
    """A fleet whose runner is a fake, and everything its subscribers were told."""

    def __init__(self, fleet: Fleet, runner: FakeRunner) -> None:
        self.fleet = fleet
        self.runner = runner
        self.changes: list[Model] = []
        self._changed = StateChanged()
        fleet.subscribe(self._on_change)

    def _on_change(self, model: Model) -> None:
        self.changes.append(model)
        self._changed.notify_all()

    def states(self, model_id: str = "a") -> list[str]:
        """Return the model's states in the order in which they came, each named once."""
        states = [model.state for model in self.changes if model.id == model_id]
        return [s for n, s in enumerate(states) if n == 0 or states[n - 1] != s]

    async def sees(self, is_true: Callable[[Model], bool], model_id: str = "a") -> Model:
        """Return the model as soon as it is like that."""
        try:
            async with asyncio.timeout(CEILING_SECONDS):
                await self._changed.wait_for(lambda: is_true(self.fleet.snapshot(model_id)))
        except TimeoutError:
            raise AssertionError(f"waited in vain: {self.fleet.snapshot(model_id)}") from None
        return self.fleet.snapshot(model_id)

    async def state(self, state: str, model_id: str = "a") -> Model:
        """Return the model as soon as it is in that state."""
        return await self.sees(lambda model: model.state == state, model_id)

    async def gone(self, model_id: str = "a") -> None:
        """Return once nothing is left of a model that the catalogue has no more."""
        retiring = self.fleet._deployments._retiring.get(model_id)
        if retiring is not None:
            await asyncio.wait([retiring], timeout=CEILING_SECONDS)
        assert model_id not in [server.spec.id for server in self.fleet.servers()]

    async def use(self, model_id: str = "a") -> Lease:
        """Lease the model for a moment; the lease is given back."""
        async with asyncio.timeout(CEILING_SECONDS), self.fleet.lease(model_id) as lease:
            return lease


@asynccontextmanager
async def fake_fleet(
    runner: FakeRunner | None = None,
    *,
    capacity: Capacity | None = None,
    models: dict[str, dict[str, Any]] | None = None,
    upstreams: dict[str, dict[str, Any]] | None = None,
    found: FoundServers | None = None,
    has_gpus: bool = False,
    **limits: Any,
) -> AsyncIterator[FakeFleet]:
    """Run a fleet whose runner is a fake, with one model `a` unless told otherwise.

    `upstreams` has servers with many models, which are those that the settings name. `has_gpus`
    tells whether containers could get GPUs.
    """
    runner = runner or FakeRunner()

    async def takes_of_gpus(spec: ModelSpec) -> Mapping[str, float]:
        return gpu_takes(spec, DockerSettings(), has_gpus=has_gpus)

    if models is None and not upstreams:
        models = {"a": {"weights": "x", "name": "Ay"}}
    fleet = Fleet(
        catalog(upstreams, **(models or {})),
        {"process": runner, "docker": runner, "remote": RemoteRunner()},
        Connector(Timeouts(connect=5.0, read=20.0)).connect,
        lambda spec: replace(LIMITS, **limits),
        instance="test",
        capacity=capacity or Capacity(),
        found=found,
        takes_of_gpus=takes_of_gpus,
    )
    bugs: list[str] = []
    listener = logging.Handler(logging.ERROR)
    listener.emit = lambda record: bugs.append(record.getMessage())  # type: ignore[method-assign]
    state.logger.addHandler(listener)
    try:
        yield FakeFleet(fleet, runner)
    finally:
        for gate in (runner.pulling, runner.starting, runner.loading, runner.stopping):
            gate.open()
        await fleet.close(keeps_servers=False)
        state.logger.removeHandler(listener)
    assert not runner.servers
    assert not bugs, bugs
