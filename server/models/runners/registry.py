"""The registry of runners: how each is made, and the default timeouts of its servers.

`server/settings/runners.py` and `checks.py` have what the settings need of each; a test checks that
they agree.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from server.models.catalogue.catalog import ModelSpec
from server.models.lifecycle.limits import LifecycleLimits, LimitsOf
from server.models.runners.base import Runner
from server.models.runners.docker.engines import DockerEnginesRunner
from server.models.runners.docker.runner import DockerRunner
from server.models.runners.programs.command import CommandLauncher
from server.models.runners.programs.launch import Launcher
from server.models.runners.programs.runner import ProgramRunner
from server.models.runners.remote import RemoteRunner
from server.models.runners.swarm.runner import SwarmRunner
from server.settings.containers import engine_of
from server.settings.models import ModelSettings
from server.settings.tables import ContainerSettings, Settings


@dataclass(frozen=True)
class RunnerContext:
    """The arguments that runners are made with.

    `embedded` starts the embedded engine; all runners that take ports from the same range share
    `held_ports`.
    """

    settings: Settings
    embedded: Launcher
    held_ports: set[int]

    @property
    def hub_cache(self) -> str:
        """Return the hub's cache on this machine."""
        return str(self.settings.docker.hf_cache.expanduser() / "hub")


@dataclass(frozen=True)
class RunnerEntry:
    """How a runner is made, and the limits of its models that set none."""

    make: Callable[[RunnerContext], Runner]
    limits: Callable[[LifecycleLimits, Settings, ModelSettings], LifecycleLimits] = (
        lambda common, settings, model: common
    )


def _programs(launcher: Launcher, context: RunnerContext) -> Runner:
    ports = context.settings.engines.ports
    return ProgramRunner(launcher, ports=ports, held_ports=context.held_ports)


def _docker(context: RunnerContext) -> Runner:
    settings = context.settings
    if settings.docker_engines:
        return DockerEnginesRunner(settings, held_ports=context.held_ports)
    return DockerRunner(
        settings.docker,
        instance=settings.server.instance,
        ports=settings.engines.ports,
        held_ports=context.held_ports,
    )


def _swarm(context: RunnerContext) -> Runner:
    server = context.settings.server
    state_file = server.state_dir.expanduser() / f"{server.instance}.swarm"
    return SwarmRunner(context.settings.swarm, instance=server.instance, state_file=state_file)


def _docker_limits(
    common: LifecycleLimits, settings: Settings, model: ModelSettings
) -> LifecycleLimits:
    return _container_limits(common, settings.docker, model)


def _swarm_limits(
    common: LifecycleLimits, settings: Settings, model: ModelSettings
) -> LifecycleLimits:
    return _container_limits(common, settings.swarm, model)


def _container_limits(
    common: LifecycleLimits, section: ContainerSettings, model: ModelSettings
) -> LifecycleLimits:
    engine = engine_of(model)
    start, grace = section.start_timeout, section.stop_grace
    return replace(
        common,
        download=section.download_timeout,
        start=engine.start_seconds if start is None else start,
        stop_grace=engine.stop_grace_seconds if grace is None else grace,
    )


def _remote_limits(
    common: LifecycleLimits, settings: Settings, model: ModelSettings
) -> LifecycleLimits:
    # A remote server is not started: it answers soon or not at all.
    return replace(common, start=settings.engines.connect_timeout)


REGISTRY: Final = {
    "process": RunnerEntry(lambda context: _programs(context.embedded, context)),
    "command": RunnerEntry(lambda context: _programs(CommandLauncher(context.hub_cache), context)),
    "docker": RunnerEntry(_docker, _docker_limits),
    "swarm": RunnerEntry(_swarm, _swarm_limits),
    "remote": RunnerEntry(lambda context: RemoteRunner(context.hub_cache), _remote_limits),
}


def make_runners(context: RunnerContext) -> dict[str, Runner]:
    """Make one runner of each kind; none connects or starts anything before it is used."""
    return {name: entry.make(context) for name, entry in REGISTRY.items()}


def limits_of(settings: Settings) -> LimitsOf:
    """Return a model's limits: its own, else its section's, else its engine's, else all models'."""
    engines = settings.engines
    common = LifecycleLimits(
        download=engines.download_timeout,
        start=engines.start_timeout,
        drain=engines.drain_timeout,
        stop_grace=engines.stop_grace,
        health_interval=engines.health_interval,
        restarts=engines.restart_limit,
        grow=engines.grow_after,
        shrink=engines.shrink_after,
    )

    def limits(spec: ModelSpec) -> LifecycleLimits:
        model = spec.settings
        of_runner = REGISTRY[spec.runner].limits(common, settings, model)
        return replace(
            of_runner,
            download=model.download_timeout or of_runner.download,
            start=model.start_timeout or of_runner.start,
            stop_grace=model.stop_grace or of_runner.stop_grace,
        )

    return limits
