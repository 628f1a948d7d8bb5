"""SGLang, as of 0.5: read in its source, not run here."""

from typing import Final

from server.engines.cause import Cause
from server.engines.engine import HUB_CACHE, Engine, N, Sign

_CAUSES: Final = (
    Cause(
        "context_too_large",
        "the context is larger than what the memory for it holds",
        "ask for a smaller context (`max_total_tokens`), or raise `gpu_memory`",
        r"not enough memory.{0,80}mem-fraction-static",
    ),
)

SGLANG: Final = Engine(
    name="sglang",
    title="SGLang",
    image="lmsysorg/sglang:v0.5.23",
    images=("lmsysorg/sglang:*", "lmsysorg/sglang@*"),
    dialect="openai",
    flavour="sglang",
    programs=(("-m", "sglang.launch_server"), ("sglang", "serve")),
    # Its image starts nothing by itself.
    lead=("python3", "-m", "sglang.launch_server"),
    options=(
        ("model_id", "--model-path"),
        ("host", "--host"),
        ("port", "--port"),
        ("revision", "--revision"),
        ("num_shard", "--tp-size"),
        ("quantize", "--quantization"),
        ("dtype", "--dtype"),
        ("max_total_tokens", "--context-length"),
        ("max_batch_prefill_tokens", "--chunked-prefill-size"),
        ("gpu_memory", "--mem-fraction-static"),
    ),
    always=("--enable-metrics",),
    flags={"trust_remote_code": "--trust-remote-code"},
    with_value=frozenset(
        {
            "--attention-backend",
            "--cuda-graph-max-bs",
            "--dp-size",
            "--ep-size",
            "--grammar-backend",
            "--kv-cache-dtype",
            "--load-format",
            "--max-queued-requests",
            "--max-running-requests",
            "--mem-fraction-static",
            "--page-size",
            "--pp-size",
            "--random-seed",
            "--reasoning-parser",
            "--sampling-backend",
            "--schedule-policy",
            "--schedule-conservativeness",
            "--stream-interval",
            "--tool-call-parser",
        }
    ),
    without_value=frozenset(
        {
            "--disable-cuda-graph",
            "--disable-custom-all-reduce",
            "--disable-overlap-schedule",
            "--disable-radix-cache",
            "--enable-dp-attention",
            "--enable-mixed-chunk",
            "--enable-torch-compile",
            "--skip-server-warmup",
        }
    ),
    quantizations=frozenset({"awq", "bitsandbytes", "compressed-tensors", "fp8", "gptq", "marlin"}),
    environment={"HF_HOME": "/data", "HF_HUB_CACHE": HUB_CACHE},
    passed={"HF_HUB_OFFLINE": "HF_HUB_OFFLINE", "HF_ENDPOINT": "HF_ENDPOINT"},
    refused_variables=r"SGLANG_\w*(CACHE|HOST|PORT|KEY|PATH)\w*",
    gpu_argument="--mem-fraction-static",
    gpu_share=0.9,
    start_seconds=1800.0,
    shm_bytes=8 << 30,
    signs=(
        Sign(r"^Load weight begin", "loading"),
        Sign(
            rf"^(?:Loading .{{0,40}}checkpoint|Multi-thread loading) shards: +"
            rf"\d{{1,3}}% Completed \| (?P<done>{N})/(?P<total>{N})",
            "loading",
            "{done} of {total} files loaded",
        ),
        Sign(r"^Load weight end", "loading"),
        Sign(r"^KV Cache is allocated|^Memory pool end", "warming up"),
        Sign(
            rf"^Capturing batches.{{0,60}}: +\d{{1,3}}%.*?(?P<done>{N})/(?P<total>{N})",
            "warming up",
            "capturing CUDA graphs, {done} of {total}",
        ),
        Sign(r"^Capture cuda graph", "warming up"),
    ),
    causes=_CAUSES,
)
