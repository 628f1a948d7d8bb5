"""Run model servers as containers of several Docker engines.

Rules:

1. Where a replica is started is chosen before (`DockerPlaces`); one that runs already, on whichever
   engine, is returned as it is.
2. An engine that is away may have servers that serve. One is lost when it does not answer either;
   it may then be started elsewhere, and what is left of it is removed when the engine is back.
3. Models of `[docker]` are waited for, as where there is one engine.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import ClassVar, Final

import msgspec

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.dialects.base import Endpoint
from server.models.catalogue.catalog import ModelSpec
from server.models.logbook import LogLine
from server.models.runners.base import Condition, Observation, PlaceLost, Replica, Report
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.docker.member import Member, none_answers
from server.models.runners.docker.pool import EnginePool
from server.models.runners.docker.runner import DockerRunner
from server.models.runners.knocking import says_anything
from server.models.runners.machines import Look, Machine, Placed, PlacedServer
from server.settings.docker_engines import ports_of, settings_on
from server.settings.tables import DockerEngineSettings, Settings

# An engine that is restarted is back by then, and its containers tell what became of them.
_PATIENCE_SECONDS: Final = 5.0


class DockerEnginesRunner:
    """Run each replica as a container of one of several engines."""

    is_managed: ClassVar[bool] = True
    outlives_us: ClassVar[bool] = True
    lockout: None = None
    loss_seconds: ClassVar[float] = 0.0

    def __init__(
        self,
        settings: Settings,
        *,
        held_ports: set[int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        held = held_ports if held_ports is not None else set()

        def member(name: str, own: DockerEngineSettings) -> Member:
            docker = settings_on(own, settings.docker) if name else settings.docker
            runner = DockerRunner(
                docker,
                instance=settings.server.instance,
                ports=ports_of(own, settings.engines),
                held_ports=held,
                environment=environment,
                is_one_of_several=bool(name),
                gives_gpus=own.gpus != "none",
            )
            return Member(name, runner, docker, own)

        sections = {**settings.docker_engines, "": DockerEngineSettings()}
        members = [member(name, own) for name, own in sections.items()]
        self._models = settings.models
        self.pool = EnginePool(settings.server.instance, settings.docker_engines, members)

    async def start(self, replica: Replica, spec: ModelSpec, report: Report) -> Endpoint:
        """Start the container on the engine that was chosen, unless it runs on any.

        Raises `ModelFailed` with the cause, and `PlaceLost` if the engine went away meanwhile. If
        cancelled, nothing is left.
        """
        pool, name = self.pool, await self._where_to_start(replica, spec)
        member = pool.members[name]
        pool.settle(replica, name)
        await pool.remove_others(replica, member)
        try:
            endpoint = await member.runner.start(replica, spec, _told_of(name, report))
        except DockerUnreachable as error:
            pool.give_up(replica, name)
            if not name:
                raise
            member.doubt(error)
            raise _at(name, error, PlaceLost) from None
        except ModelFailed as error:
            pool.forget(replica)
            raise _at(name, error, ModelFailed) from None
        except BaseException:
            # Its engine may have gone away before all of it was removed.
            pool.give_up(replica, name)
            raise
        placed = pool.endpoints[replica] = replace(endpoint, place=name)
        return placed

    async def stop(self, replica: Replica, *, grace_seconds: float) -> None:
        """Stop the container and remove it, on every engine that answers.

        Raises `DockerUnreachable` if its engine does not answer and the server does: it then runs
        on. If neither does, it is removed once the engine is back.
        """
        self.pool.begin()
        name = self.pool.places.get(replica)
        if name is None:
            await self.pool.stop_everywhere(replica, grace_seconds)
            return
        member = self.pool.members[name]
        if member.answers or not name:
            try:
                await member.runner.stop(replica, grace_seconds=grace_seconds)
            except DockerUnreachable as error:
                if not name:
                    raise
                member.doubt(error)
            else:
                self.pool.forget(replica)
                return
        if await self._is_heard(replica):
            raise member.unreachable()
        self.pool.give_up(replica, name)

    async def inspect(self, replica: Replica) -> Observation:
        """Report the container's condition; UNKNOWN with a cause if its engine and it are away."""
        self.pool.begin()
        name = await self.pool.place_of(replica)
        if name is None:
            return Observation(replica, Condition.MISSING)
        member = self.pool.members[name]
        if name and not member.answers:
            return await self._unseen(replica, member)
        return self.pool.seen(await member.runner.inspect(replica), name)

    async def wait(self, replica: Replica) -> Observation:
        """Wait until the container does not run; also waits for an engine that does not answer.

        Returns UNKNOWN with a cause when its engine is away and the server does not answer.
        """
        self.pool.begin()
        name = await self.pool.place_of(replica)
        if name is None:
            return Observation(replica, Condition.MISSING)
        member = self.pool.members[name]
        waits = [asyncio.ensure_future(member.runner.wait(replica))]
        if name:
            waits.append(asyncio.ensure_future(self._until_lost(replica, member)))
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return self.pool.seen(done.pop().result(), name)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.wait(waits)

    async def list(self) -> list[Observation]:
        """Report the containers of this instance on all engines that answer within ten seconds.

        Raises `ModelFailed` if none does.
        """
        pool = self.pool
        await pool.look(pool.members.values())
        asked = pool.answering()
        if not asked:
            raise none_answers(pool.members.values())
        lists = await asyncio.gather(*(_list(member) for member in asked))
        seen: dict[Replica, Observation] = {}
        for member, observations in zip(asked, lists, strict=True):
            for one in observations:
                if pool.places.get(one.replica, member.name) == member.name:
                    seen.setdefault(one.replica, pool.seen(one, member.name))
        pool.was_listed = True
        return [*seen.values()]

    async def logs(self, replica: Replica, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Yield the last `tail` lines, then, if `follow`, each new line until the server ends."""
        self.pool.begin()
        name = await self.pool.place_of(replica)
        if name is not None:
            runner = self.pool.members[name].runner
            async for line in runner.logs(replica, tail=tail, follow=follow):
                yield line

    def progress(self, replica: Replica, spec: ModelSpec) -> AsyncIterator[Progress]:
        """Yield the progress of the download of the weights; the caller stops iterating."""
        name = self.pool.places.get(replica, "")
        return self.pool.members[name].runner.progress(replica, spec)

    async def machines(self) -> Look:
        """Return the machine of each engine, by the name of its section; see `HasMachines`."""
        # Nobody has to have an engine of `[docker]` that no model runs on.
        members = [one for one in self.pool.members.values() if one.name or self._uses_docker()]
        looks = await asyncio.gather(*(one.runner.machines() for one in members))
        told = [
            _told_of_machine(one, look, tuple(self.pool.servers_on(one.name)))
            for one, look in zip(members, looks, strict=True)
        ]
        return Look(
            tuple(placed for look in told for placed in look.machines),
            tuple(problem for look in told for problem in look.problems),
        )

    async def close(self) -> None:
        """Close the connections to the engines; the containers go on."""
        await self.pool.close()

    async def has_gpus(self) -> bool:
        """Tell whether the engine of `[docker]` can give containers GPUs."""
        return await self.pool.members[""].runner.has_gpus()

    # --- inside -----------------------------------------------------------------------------

    def _uses_docker(self) -> bool:
        """Tell whether a model runs on the engine of `[docker]`."""
        known = (one.settings for one in self.pool.specs.values())
        return any(
            one.runner == "docker" and not one.engine_host and not one.base
            for one in (*self._models.values(), *known)
        )

    async def _where_to_start(self, replica: Replica, spec: ModelSpec) -> str:
        pool = self.pool
        pool.specs[replica] = spec
        chosen = pool.chosen.pop(replica, pool.places.get(replica, pool.hosts_of(spec)[0]))
        if chosen:
            await pool.look([pool.members[chosen]])
        pool.begin()
        running = await pool.runs_on(replica)
        return chosen if running is None else running

    async def _unseen(self, replica: Replica, member: Member) -> Observation:
        """Report a server whose engine is away."""
        cause = None if await self._is_heard(replica) else member.lost
        endpoint = self.pool.endpoints.get(replica)
        return Observation(replica, Condition.UNKNOWN, endpoint, cause=cause)

    async def _is_heard(self, replica: Replica) -> bool:
        endpoint = self.pool.endpoints.get(replica)
        return endpoint is not None and await says_anything(endpoint.url)

    async def _until_lost(self, replica: Replica, member: Member) -> Observation:
        while True:
            await member.wait_until(answers=False)
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await member.wait_until(answers=True)
            except TimeoutError:
                place = self.pool.places.get(replica, member.name)
                if place != member.name:
                    # An earlier section for the same engine has answered meanwhile.
                    member = self.pool.members[place]
                    continue
                seen = await self._unseen(replica, member)
                if seen.cause is not None and not member.answers:
                    return seen


async def _list(member: Member) -> list[Observation]:
    try:
        return await member.runner.list()
    except DockerUnreachable as error:
        member.doubt(error)
        return []


def _told_of(name: str, report: Report) -> Report:
    """Return a report of progress on an engine."""
    if not name:
        return report
    return lambda progress: report(
        msgspec.structs.replace(progress, text=f"{name}: {progress.text}")
    )


def _at(name: str, error: ModelFailed, kind: type[ModelFailed]) -> ModelFailed:
    """Return an error with the name of the engine that it was on."""
    if not name:
        return error
    return kind(f"{name}: {error.message}", hint=error.hint, details=error.details)


def _told_of_machine(member: Member, look: Look, servers: tuple[PlacedServer, ...]) -> Look:
    """Return what an engine told of its machine under the name of its section, if it has one."""
    name, problems = member.name, list(look.problems)
    if not name:
        return replace(look, machines=tuple(Placed(one.machine, servers) for one in look.machines))
    if not (member.answers or problems):
        problems = [f"It is not used now: {member.trouble}."]
    machines = [
        Placed(
            msgspec.structs.replace(
                one.machine,
                name=name,
                kind="docker",
                problems=[*one.machine.problems, *problems],
            ),
            servers,
        )
        for one in look.machines or (Placed(Machine(name=name, kind="docker")),)
    ]
    return Look(tuple(machines))
