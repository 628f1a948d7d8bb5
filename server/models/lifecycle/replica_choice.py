"""Which replica of a model writes an answer, and how many answers each is writing.

Rules:

1. A replica is chosen when the answer's turn has come, by how many answers each is writing then
   (`whom_to_ask`). An answer counts until its stream has ended.
2. A replica that lost an answer is doubted: while others are ready it is asked for nothing until
   its health has been checked.
3. One that is being drained, or is leaving, is asked for nothing more. Stopped as a whole, a crew
   still writes what waits, as long as it runs; nothing that waits starts it again.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Final, Protocol

from server.core.errors import ModelFailed
from server.core.placement import ReplicaLoad, whom_to_ask
from server.models.catalogue.catalog import ModelSpec
from server.models.lifecycle.deployment import Deployment
from server.models.lifecycle.readiness_probe import PROBE_TIMEOUT_SECONDS
from server.models.lifecycle.ready_server import Lease, ReadyServer

# Conversations whose replica is remembered, the last ones used.
_MAX_HOMES: Final = 10_000


class Chosen(Protocol):
    """The crew that is chosen from."""

    @property
    def spec(self) -> ModelSpec:
        """Return the model."""

    @property
    def is_single(self) -> bool:
        """Tell whether there is one replica only."""

    @property
    def is_stopped(self) -> bool:
        """Tell whether it was stopped as a whole, and nobody has asked for it since."""

    def get(self, number: int) -> Deployment | None:
        """Return the replica of that number, None if there is none."""

    def staying(self) -> list[Deployment]:
        """Return the replicas that are not leaving."""

    async def ensure_ready(self) -> tuple[Deployment, ReadyServer]:
        """Start the servers if necessary, and return one as soon as it is ready."""

    def use_changed(self) -> None:
        """Recheck what depends on how many answers are written."""

    def replica_changed(self) -> None:
        """Announce that the status of a replica has changed."""


class ReplicaChoice:
    """Divide the answers of one model among its replicas (`Replicas`)."""

    def __init__(self, crew: Chosen) -> None:
        self.answers: Counter[int] = Counter()
        """How many answers each replica is writing, by its number."""
        self._crew = crew
        self._asked = count(1)
        self._last_asked: Counter[int] = Counter()
        self._doubted: dict[int, asyncio.Task[None]] = {}
        self._homes: OrderedDict[str, int] = OrderedDict()
        self._last_capacity: int | None = None

    @property
    def is_single(self) -> bool:
        """Tell whether there is one replica only."""
        return self._crew.is_single

    def askable(self) -> list[Deployment]:
        """Return the replicas that are ready; doubted ones only if there are no others."""
        staying = self._crew.staying()
        if self._crew.is_stopped:
            return [one for one in staying if one.ready is not None]
        # One that is being drained is there, but takes no new answers.
        ready = [one for one in staying if one.status.state == "ready"]
        return [one for one in ready if one.number not in self._doubted] or ready

    def capacity(self, model: ModelSpec) -> int | None:
        """Return how many answers are written at once, None for any number.

        Those that other replicas still write are added, which keep no ready one from writing. While
        none is ready, it is as it was last.
        """
        ready = self.askable()
        if ready:
            known = [capacity_of(model, one.ready) for one in ready]
            others = self.answers.total() - sum(self.answers[one.number] for one in ready)
            self._last_capacity = None if None in known else sum(filter(None, known)) + others
        return self._last_capacity

    def checks(self) -> list[asyncio.Task[None]]:
        """Return the checks of doubted replicas that are under way."""
        return list(self._doubted.values())

    @asynccontextmanager
    async def choose(
        self, lease: Lease, *, tried: Collection[int] = (), prefix: str = ""
    ) -> AsyncIterator[Lease]:
        """Choose the replica for one answer, and count the answer while the context lasts.

        `lease` is what was ready when the answer was asked for; `tried` are the replicas that are
        not to be chosen. What begins with the same `prefix` is likely to be in a replica's cache.
        If none is ready any more, one is waited for: raises `ModelFailed` if none comes up.
        """
        if not self._crew.is_single or self._is_past(lease):
            lease = await self._lease_of_one(lease, tried, prefix)
        number = lease.replica
        self.answers[number] += 1
        self._last_asked[number] = next(self._asked)
        try:
            yield lease
        finally:
            self.answers[number] -= 1
            self._crew.use_changed()
            if number not in [one.number for one in self.askable()]:
                # Its answers count towards the capacity.
                self._crew.replica_changed()

    def has_other(self, tried: Collection[int]) -> bool:
        """Tell whether there is a replica that is ready and not in `tried`."""
        return any(one.number not in tried for one in self.askable())

    def doubt(self, lease: Lease) -> None:
        """Have the replica of a lost answer asked for nothing until it was checked."""
        number = lease.replica
        if number in self._doubted or self._crew.get(number) is None:
            return
        name = f"doubting {self._crew.spec.id} {number}"
        self._doubted[number] = asyncio.create_task(self._check(lease), name=name)
        self._crew.replica_changed()

    def _is_past(self, lease: Lease) -> bool:
        """Tell whether the server that was ready has left, or was restarted, meanwhile."""
        one = self._crew.get(lease.replica)
        return one is None or (one.is_managed and one.upstream is not lease.upstream)

    async def _check(self, lease: Lease) -> None:
        def is_there() -> bool:
            one = self._crew.get(lease.replica)
            return one is not None and one.upstream is lease.upstream

        try:
            await lease.cause_of_loss()
            # Its cause is waited for only so long; until its end is known it stays doubted.
            while is_there() and not await lease.upstream.is_healthy(
                timeout_seconds=PROBE_TIMEOUT_SECONDS
            ):
                await lease.cause_of_loss()
        finally:
            self._doubted.pop(lease.replica, None)
            self._crew.replica_changed()

    async def _lease_of_one(self, lease: Lease, tried: Collection[int], prefix: str) -> Lease:
        while True:
            ready = self.askable()
            able = [one for one in ready if one.number not in tried] or ready
            loads = [
                ReplicaLoad(
                    one.number,
                    self.answers[one.number],
                    capacity_of(self._crew.spec, one.ready),
                    self._last_asked[one.number],
                )
                for one in able
                if one.ready is not None
            ]
            if loads:
                break
            if self._crew.is_stopped:
                raise ModelFailed(f"{self._crew.spec.name} was stopped")
            await self._crew.ensure_ready()
        bound = self._crew.spec.settings.affinity
        number = whom_to_ask(loads, preferred=self._homes.get(prefix), bound=bound)
        if bound:
            self._homes[prefix] = number
            self._homes.move_to_end(prefix)
            if len(self._homes) > _MAX_HOMES:
                self._homes.popitem(last=False)
        chosen = self._crew.get(number)
        if chosen is None or chosen.ready is None:
            raise ModelFailed(f"replica {number} of {self._crew.spec.name} was stopped")
        return replace(
            lease,
            upstream=chosen.ready.upstream,
            info=chosen.ready.info,
            replica=number,
            server_cause=chosen.cause_of_loss,
        )


def capacity_of(model: ModelSpec, ready: ReadyServer | None) -> int | None:
    """Return how many answers one replica writes at once, None for any number."""
    if ready is None:
        return None
    return model.max_concurrent or ready.info.max_concurrent_requests
