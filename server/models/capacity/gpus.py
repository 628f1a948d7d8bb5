"""Compute the share of each GPU's memory that a model's server takes: pure functions.

GPUs are named as in the settings, by numbers or ids; `*` stands for all GPUs. If the settings give
a number of GPUs, Docker takes the first ones.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from server.core.placement import ALL_GPUS
from server.engines.arguments import gpu_share, split_arguments
from server.engines.engine import Engine
from server.engines.known import ENGINES
from server.models.catalogue.catalog import ModelSpec
from server.settings.commands import command_words
from server.settings.containers import DEVICE_FILE_FLAVOURS, engine_of, image_of
from server.settings.models import ModelSettings
from server.settings.tables import DockerSettings

TakesOfGpus = Callable[[ModelSpec], Awaitable[Mapping[str, float]]]
"""Return the share of each GPU that a model's server takes, which may need I/O."""

# The variables by which CUDA, ROCm and others limit the GPUs that a program sees.
_VISIBLE: Final = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_NONE: Final = frozenset({"", "-1", "none", "void", "NoDevFiles"})


async def no_gpus(spec: ModelSpec) -> Mapping[str, float]:
    """Return no shares, because the machine's GPUs are not known."""
    return {}


def gpu_takes(spec: ModelSpec, docker: DockerSettings, *, has_gpus: bool) -> Mapping[str, float]:
    """Return the share of each GPU's memory that a model's server takes, if it is known.

    `has_gpus` is whether containers can get GPUs.
    """
    model = spec.settings
    if spec.runner == "docker":
        engine = engine_of(model)
        names = _given(model, image_of(model, docker), has_gpus=has_gpus)
        own = gpu_share(engine, split_arguments(model.arguments, engine))
        return dict.fromkeys(names, _share(model, engine, own)) if names else {}
    if spec.runner == "command":
        started = ENGINES.get(spec.program)
        own = gpu_share(started, command_words(model.command)) if started else None
        share = _share(model, started, own)
        return dict.fromkeys(_visible(model), share) if share else {}
    return {}


def _share(model: ModelSettings, engine: Engine | None, own: float | None) -> float:
    if own is not None:
        return own
    return model.gpu_memory or (engine.gpu_share if engine else 0.0)


def _given(model: ModelSettings, image: str, *, has_gpus: bool) -> list[str]:
    """Return the GPUs that a container gets."""
    if model.gpus == "none" or (model.gpus == "auto" and not has_gpus):
        return []
    if model.gpus == "all" or image.endswith(DEVICE_FILE_FLAVOURS):
        return [ALL_GPUS]
    if model.gpus.startswith("device="):
        return model.gpus.removeprefix("device=").split(",")
    count = model.num_shard if model.gpus == "auto" else int(model.gpus)
    return [str(number) for number in range(count)]


def _visible(model: ModelSettings) -> list[str]:
    """Return the GPUs that a program's variables name; without these, all GPUs of a share."""
    for name in _VISIBLE:
        if name in model.env:
            said = model.env[name].strip()
            names = [part.strip() for part in said.split(",")]
            return [ALL_GPUS] if said == "all" else [one for one in names if one not in _NONE]
    # A share without a list of GPUs means every GPU.
    return [ALL_GPUS] if model.gpu_memory else []
