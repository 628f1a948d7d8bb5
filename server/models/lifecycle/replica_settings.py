"""What the settings of a model say of its replicas: how many there are, and what each one gets."""

from dataclasses import replace
from typing import Final

from server.models.catalogue.catalog import ModelSpec
from server.settings.commands import takes_any_port
from server.settings.models import ModelSettings

_DEVICES: Final = "device="


def settings_of_replica(settings: ModelSettings, number: int) -> ModelSettings:
    """Return the settings of one replica: its address of several, its share of the named GPUs.

    A replica that the settings do not have any more keeps what the last one has.
    """
    if settings.urls:
        return replace(settings, url=settings.urls[min(number, len(settings.urls)) - 1], urls=())
    devices = settings.gpus.removeprefix(_DEVICES).split(",")
    share = len(devices) // settings.replicas[1]
    if settings.replicas[1] == 1 or not settings.gpus.startswith(_DEVICES) or not share:
        return settings
    first = min(number, settings.replicas[1]) * share - share
    return replace(settings, gpus=_DEVICES + ",".join(devices[first : first + share]))


def replica_range(spec: ModelSpec) -> tuple[int, int]:
    """Return the least and the greatest number of replicas by a model's settings."""
    count = len(spec.settings.urls)
    return (count, count) if count else spec.settings.replicas


def can_have_several(spec: ModelSpec) -> bool:
    """Tell whether a second server of the model could run beside the first."""
    model = spec.settings
    return spec.runner != "command" or takes_any_port(model.command, model.url, model.env)
