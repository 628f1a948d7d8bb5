"""llama.cpp's own HTTP server, in threads of this process: what it is started with.

What differs from llama-server's defaults, and why:

1. Each of `slots` answers has a context of its own (`n_parallel`), of the size that settings say.
2. A prompt is computed in pieces, and only between two of them do other answers get a token and is
   a closed connection seen. The default of 2048 tokens is ten seconds of a CPU's time;
   `BATCH_TOKENS` is the size that was measured (docs/PERFORMANCE.md).
3. It keeps no prompts in memory beside the slots' own (`cache_ram_mib`, otherwise up to 8 GiB).
4. A thread serves each connection, so there are some more than slots.
5. Where there is no GPU, nothing is fitted to one's memory: to measure what the model takes, it
   would be loaded twice.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from server.engines.llama_options import BATCH_TOKENS, Value

# Connections beside those of the slots: counting, health, what it tells of itself.
_SPARE_HTTP_THREADS: Final = 8
# llama.cpp's verbosity: 1 error, 2 warning, 3 info
_ERRORS_ONLY: Final = 1
# Words whose constants have another name.
_CONSTANTS: Final = {"on": "ENABLED", "off": "DISABLED"}


class LlamaFailed(Exception):
    """llama.cpp cannot serve the model; its own words are on standard error."""


def start_server(
    path: Path,
    *,
    port: int,
    key: str,
    alias: str,
    slots: int,
    context_tokens: int,
    threads: int,
    options: Mapping[str, Value],
) -> object:
    """Load the model and serve it on loopback until the result is let go of.

    Blocks, and holds the interpreter, until the port listens. `context_tokens` are those of each
    slot. Raises `LlamaFailed`.
    """
    try:
        import xllamacpp
    except ImportError as error:
        hint = " (on Debian: apt-get install libgomp1)" if "libgomp" in str(error) else ""
        raise LlamaFailed(f"llama.cpp cannot be loaded: {error}{hint}") from error
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {alias}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.api_keys = [key] if key else []
    params.n_parallel = slots
    params.n_ctx = slots * context_tokens
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.n_threads_http = slots + _SPARE_HTTP_THREADS
    params.endpoint_slots = params.endpoint_metrics = True
    params.ui = False
    params.cache_ram_mib = 0
    params.fit_params = _has_gpu(xllamacpp)
    params.verbosity = _ERRORS_ONLY
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = threads
    for name, value in options.items():
        _SETTERS[name](xllamacpp, params, value)
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise LlamaFailed(f"failed to load model {path}: {error}") from error


def _has_gpu(library: Any) -> bool:
    """Tell whether llama.cpp can compute on more than the processor."""
    cpu = library.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    return any(device["type"] != cpu for device in library.get_device_info())


def _plain(path: str) -> Callable[[Any, Any, Value], None]:
    """Set an attribute, of a part of the parameters if its name has dots."""
    of_part, _, attribute = path.rpartition(".")

    def put(_: Any, params: Any, value: Value) -> None:
        setattr(attrgetter(of_part)(params) if of_part else params, attribute, value)

    return put


def _named(attribute: str, kinds: str, prefix: str) -> Callable[[Any, Any, Value], None]:
    """Set an attribute to the library's constant of that kind which a word stands for."""

    def put(library: Any, params: Any, value: Value) -> None:
        name = _CONSTANTS.get(str(value), str(value).upper())
        setattr(params, attribute, getattr(getattr(library, kinds), f"{prefix}_{name}"))

    return put


def _put_draft(library: Any, params: Any, value: Value) -> None:
    params.speculative.draft.mparams.path = value
    params.speculative.types = [
        library.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE
    ]


def _put_tensor_split(_: Any, params: Any, value: Value) -> None:
    shares = [float(share) for share in str(value).split(",")]
    places = len(params.tensor_split)
    params.tensor_split = [*shares, *[0.0] * places][:places]


def _put_batch(_: Any, params: Any, value: Value) -> None:
    params.n_batch = value
    params.n_ubatch = min(params.n_ubatch, value)


def _load_mode(name: str) -> Callable[[Any, Any, Value], None]:
    def put(library: Any, params: Any, _: Value) -> None:
        params.load_mode = getattr(library.llama_load_mode, f"LLAMA_LOAD_MODE_{name}")

    return put


_SETTERS: Final[Mapping[str, Callable[[Any, Any, Value], None]]] = {
    "batch-size": _put_batch,
    "cache-ram": _plain("cache_ram_mib"),
    "cache-reuse": _plain("n_cache_reuse"),
    "cache-type-k": _named("cache_type_k", "ggml_type", "GGML_TYPE"),
    "cache-type-v": _named("cache_type_v", "ggml_type", "GGML_TYPE"),
    "draft-max": _plain("speculative.draft.n_max"),
    "flash-attn": _named("flash_attn_type", "llama_flash_attn_type", "LLAMA_FLASH_ATTN_TYPE"),
    "main-gpu": _plain("main_gpu"),
    "mlock": _load_mode("MLOCK"),
    "mmproj": _plain("mmproj.path"),
    "model-draft": _put_draft,
    "n-gpu-layers": _plain("n_gpu_layers"),
    "no-kv-offload": _plain("no_kv_offload"),
    "no-mmap": _load_mode("NONE"),
    "rope-freq-base": _plain("rope_freq_base"),
    "rope-freq-scale": _plain("rope_freq_scale"),
    "rope-scaling": _named(
        "rope_scaling_type", "llama_rope_scaling_type", "LLAMA_ROPE_SCALING_TYPE"
    ),
    "split-mode": _named("split_mode", "llama_split_mode", "LLAMA_SPLIT_MODE"),
    "swa-full": _plain("swa_full"),
    "tensor-split": _put_tensor_split,
    "ubatch-size": _plain("n_ubatch"),
}
