"""What a model may ask of Docker: checked when the settings are read, and again nowhere.

Rules:

1. Only images that match `allowed_images`, only launcher arguments on the list below.
2. No value has a blank or a shell character: TGI's entry point passes its arguments on
   through the shell, unquoted.
3. There is no key for privileges, networks, devices, volumes or ports, so that none can
   be asked for.
"""

import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from server.settings.models import ModelSettings
from server.settings.tables import DockerSettings

# A reference as Docker takes it: host, path, then a tag or a digest.
_IMAGE: Final = re.compile(
    r"[a-z0-9][a-z0-9._-]*(:\d+)?(/[a-z0-9][a-z0-9._-]*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_MODEL_ID: Final = r"([A-Za-z0-9][A-Za-z0-9._:/=-]*)?"
_VALUE: Final = re.compile(r"[A-Za-z0-9._,:/=@+-]+")

# TGI 3.3's launcher options that have no key of their own and endanger nothing: none that
# names a host, a port, a folder, a key or a place to send data to.
ARGUMENTS_WITH_VALUE: Final = frozenset(
    {
        "--cuda-graphs",
        "--cuda-memory-fraction",
        "--kv-cache-dtype",
        "--lora-adapters",
        "--max-batch-size",
        "--max-batch-total-tokens",
        "--max-best-of",
        "--max-client-batch-size",
        "--max-concurrent-requests",
        "--max-stop-sequences",
        "--max-top-n-tokens",
        "--max-waiting-tokens",
        "--rope-factor",
        "--rope-scaling",
        "--speculate",
        "--validation-workers",
        "--waiting-served-ratio",
    }
)
ARGUMENTS_WITHOUT_VALUE: Final = frozenset(
    {"--disable-custom-kernels", "--disable-grammar-support", "--enable-prefill-logprobs"}
)
# Flavours whose GPUs are device files, of which a container gets all or none.
DEVICE_FILE_FLAVOURS: Final = ("-rocm", "-intel-xpu")


def container_problems(model: ModelSettings, docker: DockerSettings) -> Iterator[tuple[str, str]]:
    """Give each key of a `docker` model that cannot be granted, and why."""
    image = model.image or docker.image
    if not model.model_id:
        yield "model_id", "missing; expected the model on the hub, OWNER/NAME"
    elif not re.fullmatch(_MODEL_ID, model.model_id):
        yield "model_id", f"expected to match {_MODEL_ID}, found {model.model_id!r}"
    if not _IMAGE.fullmatch(image):
        yield "image", f"{image!r} is not the name of an image"
    elif not any(fnmatchcase(image, pattern) for pattern in docker.allowed_images):
        yield "image", f"{image} matches none of `allowed_images` in [docker]"
    yield from _gpu_problems(model, image)
    if model.dtype and model.quantize and not model.quantize.startswith("bitsandbytes"):
        yield "dtype", f"cannot be set together with `quantize = {model.quantize}`"
    if 0 < model.max_total_tokens <= model.max_input_tokens:
        yield (
            "max_total_tokens",
            f"expected more than max_input_tokens ({model.max_input_tokens}), "
            f"found {model.max_total_tokens}",
        )
    try:
        split_arguments(model.arguments)
    except ValueError as error:
        yield "arguments", str(error)


def split_arguments(text: str) -> list[str]:
    """Return the launcher arguments in `text`; raises `ValueError` for one not on the list."""
    words = shlex.split(text)
    arguments: list[str] = []
    while words:
        name, has_value, value = words.pop(0).partition("=")
        if name in ARGUMENTS_WITHOUT_VALUE and not has_value:
            arguments.append(name)
            continue
        if name not in ARGUMENTS_WITH_VALUE:
            known = ", ".join(sorted(ARGUMENTS_WITH_VALUE | ARGUMENTS_WITHOUT_VALUE))
            raise ValueError(f"{name} is not allowed here; expected one of {known}")
        if not has_value:
            value = words.pop(0) if words else ""
        if not _VALUE.fullmatch(value) or value.startswith("-"):
            raise ValueError(f"{name}: expected a value without blanks, found {value!r}")
        arguments += [name, value]
    return arguments


def _gpu_problems(model: ModelSettings, image: str) -> Iterator[tuple[str, str]]:
    if image.endswith(DEVICE_FILE_FLAVOURS) and model.gpus not in {"auto", "all", "none"}:
        yield "gpus", f"expected auto, all or none for this image, found {model.gpus!r}"
        return
    offered = model.num_shard
    if model.gpus.isdecimal():
        offered = int(model.gpus)
    elif model.gpus.startswith("device="):
        offered = len(model.gpus.split(","))
    elif model.gpus == "none":
        offered = 1
    if offered < model.num_shard:
        yield "num_shard", f"{model.num_shard} parts need as many GPUs; `gpus` gives {offered}"
