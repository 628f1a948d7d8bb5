"""llama.cpp's server, as of builds of 2026."""

from typing import Final

from server.engines.cause import Cause
from server.engines.engine import CALM_OPENMP, HUB_CACHE, Engine, Sign

_CAUSES: Final = (
    Cause(
        "broken_weights",
        "the weights are damaged or cut short, or no GGUF file",
        "delete the file that the log names, and have it fetched again",
        r"failed to read key-value pairs|invalid magic characters|failed to read tensor"
        r"|is not a gguf file|failed to read (header|magic)",
    ),
    Cause(
        "weights_missing",
        "there is no file of weights where it was to be",
        "correct the path of the weights, or `model_id`; offline, fetch them once with a network",
        r"failed to open gguf file '.*' \(no such file|exactly one out metadata, path_model",
    ),
    Cause(
        "bad_template",
        "the model's chat template does not parse",
        "take another model, or another chat template",
        r"common_chat_templates_init: error|supplied chat template is not supported",
    ),
    Cause(
        "memory_refused",
        "the machine does not give the model server the memory that it asks for",
        "free memory, ask for a smaller context, or take a smaller model",
        r"failed to allocate (buffer|compute)|unable to allocate .{0,40}buffer"
        r"|failed to initialize the context",
    ),
)

LLAMA_CPP: Final = Engine(
    name="llama.cpp",
    title="llama.cpp",
    # For the CPU; `server-cuda`, `server-rocm`, `server-vulkan` and others are for GPUs.
    image="ghcr.io/ggml-org/llama.cpp:server",
    images=("ghcr.io/ggml-org/llama.cpp:server*", "ghcr.io/ggml-org/llama.cpp@*"),
    dialect="openai",
    flavour="llama.cpp",
    programs=(("llama-server",),),
    options=(
        ("model_id", "--hf-repo"),
        ("host", "--host"),
        ("port", "--port"),
        ("slots", "--parallel"),
        ("max_total_tokens", "--ctx-size"),
    ),
    # What else it serves is a page of its own.
    always=("--metrics", "--no-webui"),
    # Its context is one for all answers, and each gets its part of it, or all of it.
    multiplied={"max_total_tokens": "slots"},
    unless_set={"max_total_tokens": ("--kv-unified",)},
    takes=frozenset({"gpu_memory"}),
    with_value=frozenset(
        {
            "--batch-size",
            "--cache-ram",
            "--cache-reuse",
            "--cache-type-k",
            "--cache-type-v",
            "--fit",
            "--flash-attn",
            "--gpu-layers",
            "--hf-repo-draft",
            "--main-gpu",
            "--n-cpu-moe",
            "--n-gpu-layers",
            "--numa",
            "--poll",
            "--reasoning",
            "--reasoning-budget",
            "--reasoning-format",
            "--rope-freq-base",
            "--rope-freq-scale",
            "--rope-scale",
            "--rope-scaling",
            "--spec-draft-n-max",
            "--spec-draft-n-min",
            "--spec-draft-ngl",
            "--spec-type",
            "--split-mode",
            "--tensor-split",
            "--threads",
            "--threads-batch",
            "--ubatch-size",
            "--yarn-orig-ctx",
        }
    ),
    without_value=frozenset(
        {
            "--check-tensors",
            "--context-shift",
            "--cpu-moe",
            "--jinja",
            "--kv-unified",
            "--no-jinja",
            "--no-kv-offload",
            "--no-mmproj",
            "--no-repack",
            "--no-warmup",
            "--swa-full",
        }
    ),
    model_id=r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9._-]+)?",
    model_form="a repository of GGUF files on the hub, OWNER/REPO or OWNER/REPO:QUANTISATION",
    environment={"HF_HOME": "/data", "HF_HUB_CACHE": HUB_CACHE, **CALM_OPENMP},
    passed={"HF_HUB_OFFLINE": "LLAMA_ARG_OFFLINE", "HF_ENDPOINT": "HF_ENDPOINT"},
    reads_token_file=False,
    refused_variables=r"LLAMA_ARG_\w+|LLAMA_CACHE|LLAMA_API_KEY|MODEL_ENDPOINT",
    # A repository has many files, of which one is taken.
    weights=(),
    signs=(
        Sign(
            r"starting download for model|downloading (from|model)|trying to download",
            "downloading",
        ),
        Sign(r"loading model '", "loading", "loading the weights"),
        Sign(r"initializing(, | )n_?slots", "loading", "making room for the context"),
        Sign(r"warming up the model", "warming up", "warming up"),
    ),
    causes=_CAUSES,
)
