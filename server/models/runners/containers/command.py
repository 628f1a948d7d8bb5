"""What a model server in a container is given: its command, environment, labels and folder.

Pure functions of the settings, for whatever creates the container.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from server.core.docker_engine import LABEL_INSTANCE, LABEL_MODEL, LABEL_REPLICA, number_of
from server.engines.arguments import gpu_share, split_arguments
from server.engines.engine import CONTAINER_PORT, Engine
from server.engines.known import DEFAULT, ENGINES
from server.models.runners.base import Replica
from server.settings.models import ModelSettings
from server.settings.tables import ContainerSettings

# A container without this label runs the default engine.
LABEL_ENGINE: Final = "sidestream.engine"
LABEL_SETTINGS: Final = "sidestream.settings"


# The gateway's variables that a container needs to reach the hub through the same proxy.
_PROXIES: Final = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
# Inside the container, which is reachable only at its published port.
_ALL_ADDRESSES: Final = "0.0.0.0"  # noqa: S104


def shared_folder(engine: Engine, section: ContainerSettings) -> Path:
    """Return the folder on the engine's machine that all containers of the engine share."""
    folder: Path = getattr(section, engine.cache.setting)
    return folder.expanduser().absolute() / engine.cache.folder


def command(model: ModelSettings, engine: Engine, image: str, *, uses_gpus: bool) -> list[str]:
    """Return the words after the image's entry point."""
    own = split_arguments(model.arguments, engine)
    values = _values(model, engine)
    if engine.says_gpu_share and uses_gpus and gpu_share(engine, own) is None:
        values["gpu_memory"] = model.gpu_memory or engine.gpu_share
    given = list(engine.lead)
    for key, name in engine.options:
        if values[key]:
            given += filter(None, (name, f"{values[key]}"))
    for key, words in engine.unless_set.items():
        given += () if values[key] else words
    given += engine.always
    given += [name for key, name in engine.flags.items() if values[key]]
    if not uses_gpus:
        given += [word for option in _cpu_options(engine, image, own) for word in option]
    return given + own


def variables(model: ModelSettings, engine: Engine) -> dict[str, str]:
    """Return the environment that comes from the settings."""
    values = _values(model, engine)
    told = {name: str(values[key]) for key, name in engine.variables.items() if values[key]}
    return {**engine.environment, **told, **model.env}


def passed_variables(
    engine: Engine, token: str, environment: Mapping[str, str], model: ModelSettings
) -> dict[str, str]:
    """Return the environment that comes from the gateway's own, and the hub's token."""
    passed = {theirs: environment.get(name, "") for name, theirs in engine.passed.items()}
    passed |= {name: environment.get(name, "") for name in _PROXIES}
    if engine.hub_key:
        passed[engine.hub_key] = token
    return {name: value for name, value in passed.items() if value and name not in model.env}


def labels_of(replica: Replica, engine: Engine, settings: str) -> dict[str, str]:
    """Return the labels by which a replica is found again; `settings` is a hash of its settings."""
    labels = {
        LABEL_INSTANCE: replica.instance,
        LABEL_MODEL: replica.model,
        LABEL_SETTINGS: settings,
    }
    if replica.number != 1:
        labels[LABEL_REPLICA] = str(replica.number)
    if engine.name != DEFAULT:
        labels[LABEL_ENGINE] = engine.name
    return labels


def replica_of(labels: Mapping[str, str]) -> Replica | None:
    """Return the replica that labels name; None if they are not the gateway's."""
    number = number_of(labels)
    if LABEL_INSTANCE not in labels or LABEL_MODEL not in labels or not number:
        return None
    return Replica(labels[LABEL_INSTANCE], labels[LABEL_MODEL], number)


def labelled_engine(labels: Mapping[str, str]) -> Engine:
    """Return the engine that labels name."""
    return ENGINES.get(labels.get(LABEL_ENGINE, ""), ENGINES[DEFAULT])


def _values(model: ModelSettings, engine: Engine) -> dict[str, Any]:
    """Return the values of all settings that an engine knows."""
    values: dict[str, Any] = {key: getattr(model, key, "") for key in engine.keys}
    for key, other in engine.multiplied.items():
        values[key] *= values[other]
    return values | {"host": _ALL_ADDRESSES, "port": CONTAINER_PORT}


def _cpu_options(engine: Engine, image: str, own: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the options that an engine needs without a GPU, except those that are set."""
    for flavour, options in engine.without_gpu.items():
        if image.endswith(flavour):
            return [option for option in options if option[0] not in own]
    return []
