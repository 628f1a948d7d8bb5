"""Check the keys of models that run in containers, once: when the settings are read.

Rules:

1. Images have to match `allowed_images` or, if that is empty, the engine's own images. Arguments
   have to be on the engine's list.
2. No value has a blank or a shell character: TGI's entry point passes its arguments on
   through the shell, unquoted.
3. There are no keys for privileges, networks, devices, volumes or ports.
"""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from server.engines.arguments import gpu_share, split_arguments
from server.engines.engine import Engine
from server.engines.known import DEFAULT, ENGINES
from server.settings.commands import Problem
from server.settings.models import ModelSettings
from server.settings.runners import RUNNERS
from server.settings.tables import ContainerSettings, SwarmSettings

# A reference as Docker takes it: host, path, then a tag or a digest.
_IMAGE: Final = re.compile(
    r"[a-z0-9][a-z0-9._-]*(:\d+)?(/[a-z0-9][a-z0-9._-]*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_CONSTRAINT: Final = re.compile(
    r"(node\.(id|hostname|role|platform\.(os|arch)|labels\.[A-Za-z0-9._-]+)"
    r"|engine\.labels\.[A-Za-z0-9._-]+)\s*(==|!=)\s*[A-Za-z0-9:_.,/ -]*[A-Za-z0-9_.-]"
)
_FILE: Final = re.compile(r"[./~].*|.*\.gguf", re.IGNORECASE)
# Images for GPUs that are device files; a container gets all of these or none.
DEVICE_FILE_FLAVOURS: Final = ("-rocm", "-intel-xpu")


def engine_of(model: ModelSettings) -> Engine:
    """Return the engine of a model that runs in a container."""
    return ENGINES[model.engine or DEFAULT]


def image_of(model: ModelSettings, section: ContainerSettings) -> str:
    """Return the image that a model runs in."""
    engine = engine_of(model)
    return model.image or (section.image if engine.name == DEFAULT else engine.image)


def container_problems(model: ModelSettings, section: ContainerSettings) -> Iterator[Problem]:
    """Yield each key of a model in a container that is refused, and why."""
    engine, image = engine_of(model), image_of(model, section)
    yield from _model_problems(model, engine)
    if not _IMAGE.fullmatch(image):
        yield "image", f"{image!r} is not the name of an image"
    elif problem := _image_problem(image, section, engine, RUNNERS[model.runner].section):
        yield "image", problem
    yield from _gpu_problems(model, image)
    if model.quantize and model.quantize not in engine.quantizations:
        known = ", ".join(sorted(engine.quantizations))
        yield (
            "quantize",
            f"{engine.title} does not know {model.quantize}; expected one of {known}",
        )
    is_tgi = engine.name == DEFAULT
    if is_tgi and model.dtype and model.quantize and not model.quantize.startswith("bitsandbytes"):
        yield "dtype", f"cannot be set together with `quantize = {model.quantize}`"
    if 0 < model.max_total_tokens <= model.max_input_tokens:
        yield (
            "max_total_tokens",
            f"expected more than max_input_tokens ({model.max_input_tokens}), "
            f"found {model.max_total_tokens}",
        )
    yield from _variable_problems(model, engine)
    try:
        words = split_arguments(model.arguments, engine)
        share = gpu_share(engine, words)
    except ValueError as error:
        yield "arguments", str(error)
        return
    if share is not None and model.gpu_memory:
        yield "gpu_memory", f"cannot be set together with {engine.gpu_argument} in `arguments`"


def service_problems(model: ModelSettings, swarm: SwarmSettings) -> Iterator[Problem]:
    """Yield each key of a `swarm` model that is refused, and why."""
    yield from container_problems(model, swarm)
    if image_of(model, swarm).endswith(DEVICE_FILE_FLAVOURS) and model.gpus != "none":
        yield "gpus", "expected none: services of a swarm get no device files, as this image needs"
    elif model.gpus == "all" or model.gpus.startswith("device="):
        yield "gpus", f"expected auto, none or a number in a swarm, found {model.gpus!r}"
    yield from _constraint_problems(model.constraints)


def swarm_problems(swarm: SwarmSettings) -> Iterator[Problem]:
    """Yield each key of [swarm] that is wrong, and why."""
    for host in swarm.host:
        if not re.fullmatch(r"(unix|tcp|https?|ssh)://\S+", host):
            yield "host", f"expected addresses such as ssh://manager1, found {host!r}"
    for key in ("hf_cache", "ollama_models"):
        if not getattr(swarm, key).is_absolute():
            yield (
                key,
                f"expected an absolute path, the same on all nodes, found {getattr(swarm, key)}",
            )
    yield from _constraint_problems(swarm.constraints)


def _constraint_problems(constraints: Sequence[str]) -> Iterator[Problem]:
    for constraint in constraints:
        if not _CONSTRAINT.fullmatch(constraint):
            yield (
                "constraints",
                f"expected such as `node.labels.disk == ssd` or `node.role != manager`, found "
                f"{constraint!r}",
            )


def _model_problems(model: ModelSettings, engine: Engine) -> Iterator[Problem]:
    if not model.model_id:
        yield "model_id", f"missing; expected {engine.model_form}"
    elif not re.fullmatch(engine.model_id, model.model_id):
        found = f"found {model.model_id!r}"
        if _FILE.fullmatch(model.model_id):
            found += "; files of the engine's machine are not in the container"
        yield "model_id", f"expected to match {engine.model_id} ({engine.model_form}), {found}"


def _image_problem(image: str, section: ContainerSettings, engine: Engine, name: str) -> str:
    """Return why an image may not be run; empty if it may."""
    patterns, own = section.allowed_images or engine.images, ", ".join(engine.images)
    if any(fnmatchcase(image, pattern) for pattern in patterns):
        return ""
    problem = f"{image} matches none of `allowed_images` in [{name}]"
    if section.allowed_images:
        return f"{problem}; left empty, it allows {engine.title}'s own: {own}"
    return f"{problem}, which are {engine.title}'s own where nobody says: {own}"


def _gpu_problems(model: ModelSettings, image: str) -> Iterator[Problem]:
    if image.endswith(DEVICE_FILE_FLAVOURS) and model.gpus not in {"auto", "all", "none"}:
        yield "gpus", f"expected auto, all or none for this image, found {model.gpus!r}"
        return
    offered = model.num_shard
    if model.gpus.isdecimal():
        offered = int(model.gpus)
    elif model.gpus.startswith("device="):
        devices = model.gpus.removeprefix("device=").split(",")
        if model.replicas[1] > 1 and len({*devices}) < len(devices):
            yield "gpus", "a device is there twice, and replicas need devices of their own"
            return
        offered = len(devices)
        if offered % model.replicas[1]:
            yield "gpus", f"{offered} devices cannot be divided among {model.replicas[1]} replicas"
            return
        offered //= model.replicas[1]
    elif model.gpus == "none":
        offered = 1
    if offered < model.num_shard:
        yield "num_shard", f"{model.num_shard} parts need as many GPUs; `gpus` gives {offered}"


def _variable_problems(model: ModelSettings, engine: Engine) -> Iterator[Problem]:
    ours = {*engine.environment, *engine.variables.values()}
    for name in model.env:
        if name in ours:
            yield "env", f"{name} is set by Sidestream"
        elif re.fullmatch(engine.refused_variables, name):
            yield "env", f"{name} is not allowed here: it stands for an argument of {engine.title}"
