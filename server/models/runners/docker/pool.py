"""Several Docker engines, and where each replica is on them.

Rules:

1. Where a replica is, is remembered from its start or from a look at the engines, and can be
   forgotten without harm.
2. An engine that answers again is looked through before it is used. Of one replica only the
   container at its place stays; what was given up while the engine was away is removed.
3. `[docker]` is the last of the engines, under an empty name. It may be one of the others, too:
   containers are told apart by their ids, which no two have.
4. Of the other sections for one engine only the first of those that answer is used, in the order
   of the settings. Where a later one has answered sooner, its servers become those of the first.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from server.core.errors import ModelFailed
from server.dialects.base import Endpoint
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.base import Condition, Observation, Replica
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.docker.member import Member
from server.models.runners.machines import PlacedServer
from server.settings.docker_engines import hosts_of
from server.settings.tables import DockerEngineSettings

logger = logging.getLogger(__name__)

# An engine that takes longer to answer is looked through later.
_LOOK_SECONDS: Final = 10.0


class EnginePool:
    """Hold the engines, watch them, and keep one container of each replica."""

    def __init__(
        self, instance: str, sections: Mapping[str, DockerEngineSettings], members: Iterable[Member]
    ) -> None:
        self.instance = instance
        self._sections = sections
        self.members = {member.name: member for member in members}
        self.specs: dict[Replica, ModelSpec] = {}
        self.places: dict[Replica, str] = {}
        self.chosen: dict[Replica, str] = {}
        """Where replicas are to be started."""
        self.endpoints: dict[Replica, Endpoint] = {}
        self._abandoned: defaultdict[str, set[Replica]] = defaultdict(set)
        self._sorting = asyncio.Lock()
        self.was_listed = False
        self.on_change: Callable[[bool], None] = lambda is_back: None
        """Called when an engine has gone away or is back."""
        self.on_found: Callable[[Observation], None] = lambda seen: None
        """Called with a running server of an earlier run that is found after all were listed."""

    # --- the engines ------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to watch the engines, unless that was done."""
        for member in self.members.values():
            member.watch(self._look_through, self.on_change)

    async def look(self, members: Iterable[Member]) -> None:
        """Wait until these engines have answered, or failed to; for ten seconds at most."""
        self.begin()
        waits = [asyncio.ensure_future(member.wait_until_asked()) for member in members]
        try:
            await asyncio.wait(waits, timeout=_LOOK_SECONDS)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.wait(waits)

    def answering(self) -> list[Member]:
        """Return the engines that answer now."""
        return [member for member in self.members.values() if member.answers]

    def hosts_of(self, spec: ModelSpec) -> tuple[str, ...]:
        """Return the names of the engines that a model may run on."""
        return hosts_of(spec.settings, self._sections) or ("",)

    async def close(self) -> None:
        """Close the connections to the engines; the containers go on."""
        await asyncio.gather(*(member.close() for member in self.members.values()))

    # --- where replicas are -----------------------------------------------------------------

    async def runs_on(self, replica: Replica) -> str | None:
        """Return the name of the engine that a replica runs on, of those that answer."""
        found = await self._containers(replica)
        return next((name for name, is_running in found.items() if is_running), None)

    async def place_of(self, replica: Replica) -> str | None:
        """Return the engine that a replica's container is on, running or not; None for none."""
        if replica in self.places:
            return self.places[replica]
        found = await self._containers(replica)
        names = sorted(found, key=lambda name: not found[name])
        return names[0] if names else None

    def servers_on(self, name: str) -> Iterator[PlacedServer]:
        """Yield the servers on an engine that were asked for."""
        for replica, place in sorted(self.places.items(), key=lambda item: item[0].model):
            if place == name and replica in self.specs:
                yield PlacedServer(replica.model, replica.number)

    def settle(self, replica: Replica, name: str) -> None:
        """Record that a replica's place is this engine."""
        self.places[replica] = name
        self._abandoned[name].discard(replica)

    def forget(self, replica: Replica) -> None:
        """Forget where a replica is."""
        self.places.pop(replica, None)
        self.endpoints.pop(replica, None)

    def give_up(self, replica: Replica, name: str) -> None:
        """Forget a replica, and remove what is left of it once its engine is back."""
        self._abandoned[name].add(replica)
        self.forget(replica)

    def seen(self, seen: Observation, name: str) -> Observation:
        """Return what an engine reports of a server, with its place."""
        endpoint = seen.endpoint and replace(seen.endpoint, place=name)
        if endpoint is not None:
            self.endpoints[seen.replica] = endpoint
        is_outdated = seen.is_outdated or self._is_misplaced(seen.replica, name)
        is_running = seen.condition is Condition.RUNNING
        return replace(seen, endpoint=endpoint, is_outdated=is_running and is_outdated)

    async def remove_others(self, replica: Replica, kept: Member) -> None:
        """Remove a replica's containers on all engines but one that answer."""
        for other in self.answering():
            if other is not kept:
                await self._remove_there(replica, other, kept)

    async def stop_everywhere(self, replica: Replica, grace_seconds: float) -> None:
        """Stop a replica whose place is not known; where no engine answers, once it does."""
        for member in self.members.values():
            if not member.answers:
                self._abandoned[member.name].add(replica)
        for member in self.answering():
            await member.runner.stop(replica, grace_seconds=grace_seconds)

    # --- inside -----------------------------------------------------------------------------

    async def _containers(self, replica: Replica) -> dict[str, bool]:
        """Return the engines with a container of the replica, and whether it runs there."""
        known = self.places.get(replica)
        members = sorted(self.answering(), key=lambda member: member.name != known)
        found = await asyncio.gather(*(_has(member, replica) for member in members))
        several = zip(members, found, strict=True)
        return {member.name: is_running for member, is_running in several if is_running is not None}

    def _is_misplaced(self, replica: Replica, name: str) -> bool:
        spec = self.specs.get(replica)
        return spec is not None and name not in self._names_for(self.hosts_of(spec))

    def _names_for(self, names: Collection[str]) -> set[str]:
        """Return these names of engines, and others that stand for the same engines."""
        told = {one.name: one.facts.identity for one in self.members.values() if one.facts}
        meant = {told[name] for name in names if name in told}
        return {*names, *(name for name, identity in told.items() if identity in meant)}

    async def _remove_there(self, replica: Replica, other: Member, kept: Member) -> None:
        """Remove a replica's container on an engine, unless that is the one that is kept."""
        try:
            there = await other.runner.find(replica)
            if there is None:
                return
            here = await kept.runner.find(replica)
            if here is None or here.id != there.id:
                logger.info("%s: the container on %s is one too many", replica.model, other.name)
                await other.runner.stop(replica, grace_seconds=0)
        except DockerUnreachable:
            self._abandoned[other.name].add(replica)

    async def _look_through(self, member: Member) -> None:
        """Sort the containers of an engine that answers now; raises `ModelFailed`."""
        async with self._sorting:
            earlier, later = self._twins(member)
            if earlier:
                raise _is_twin(member, earlier[0])
            found = []
            for seen in await member.runner.list():
                replica, place = seen.replica, self.places.get(seen.replica)
                if place is None and replica in self._abandoned[member.name]:
                    await member.runner.stop(replica, grace_seconds=0)
                    logger.info("%s was removed from %s", replica.model, member.name)
                elif place is None and seen.condition is Condition.RUNNING:
                    self.places[replica] = member.name
                    found.append(self.seen(seen, member.name))
                elif place not in {None, member.name}:
                    await self._remove_there(replica, member, self.members[place or ""])
            self._abandoned[member.name].clear()
            for twin in later:
                self._take_over(twin, member)
        if self.was_listed:
            for seen in found:
                self.on_found(seen)

    def _twins(self, member: Member) -> tuple[list[Member], list[Member]]:
        """Return whose engine it is too, of those that answer: earlier sections, and later ones."""
        names = self._names_for([member.name]) if member.name else set()
        order = [one for one in self.members.values() if one.name in names and one.name]
        first = order.index(member) if member in order else 0
        earlier, later = order[:first], order[first + 1 :]
        return [one for one in earlier if one.answers], [one for one in later if one.answers]

    def _take_over(self, twin: Member, member: Member) -> None:
        """Have the servers of a later section for the same engine be those of the earlier one."""
        for where in (self.places, self.chosen):
            where.update((one, member.name) for one in [*where] if where[one] == twin.name)
        twin.bar(_is_twin(twin, member))


def _is_twin(member: Member, earlier: Member) -> ModelFailed:
    """Return the error for the engine of another section: it would be counted twice."""
    return ModelFailed(
        f"[docker {member.name}] is the engine of [docker {earlier.name}]",
        hint="remove one of the sections",
        details={"cause": "engine_refused"},
    )


async def _has(member: Member, replica: Replica) -> bool | None:
    """Tell whether a replica runs on an engine; None if it has no container there."""
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            container = await member.runner.find(replica)
    except TimeoutError:
        # Others are not kept waiting for one that hangs.
        member.doubt(DockerUnreachable("no answer in time", "restart it"))
        return None
    except DockerUnreachable as error:
        member.doubt(error)
        return None
    return None if container is None or not container.has_run else container.is_running
