"""Read what the doctor needs of the settings, as far as they can be read already."""

import os
from pathlib import Path

import run
from server.doctor.findings import Wanted


def read_settings(file: Path | None = None) -> Wanted:
    """Return what the settings say; `problems` is None where they cannot be read yet.

    They are those of `settings.ini` unless a file is named.
    """
    try:
        from server.doctor.known import known_commands, known_servers
        from server.settings.containers import image_of
        from server.settings.loading import load
        from server.settings.values import SettingsError
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("server"):
            raise
        return Wanted()
    file = file or run.ROOT / "settings.ini"
    unseen: tuple[str, ...] = ()
    try:
        try:
            settings = load(file, os.environ)
        except SettingsError as error:
            unseen = tuple(error.problems)
            # The gateway may have another environment, and other rights.
            settings = load(file, os.environ, looks_up=False)
    except SettingsError as error:
        return Wanted(problems=tuple(error.problems))
    containers, services = (
        {
            name: model
            for name, model in settings.models.items()
            if model.runner == runner and not model.base
        }
        for runner in ("docker", "swarm")
    )
    return Wanted(
        host=settings.server.host,
        port=settings.server.port,
        model_ports=settings.engines.ports,
        weights_dir=settings.engines.weights_dir,
        hf_cache=settings.docker.hf_cache,
        instance=settings.server.instance,
        state_dir=settings.server.state_dir,
        conversations_file=settings.conversations.file,
        docker_host=settings.docker.host,
        uses_docker_host=any(not model.engine_host for model in containers.values()),
        docker_engines=tuple((name, one.host) for name, one in settings.docker_engines.items()),
        container_models=frozenset(containers),
        images=frozenset(image_of(model, settings.docker) for model in containers.values()),
        swarm_hosts=settings.swarm.host,
        swarm_models=frozenset(services),
        swarm_images=frozenset(image_of(model, settings.swarm) for model in services.values()),
        servers=known_servers(settings),
        commands=known_commands(settings),
        unseen=unseen,
        problems=(),
    )
