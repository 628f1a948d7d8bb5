"""vLLM, as of 0.32."""

from typing import Final

from server.engines.cause import Cause
from server.engines.engine import HUB_CACHE, Engine, N, Sign

_CAUSES: Final = (
    Cause(
        "cannot_be_split",
        "the model cannot be split over so many GPUs",
        "take a number of GPUs by which the model's attention heads can be divided",
        r"must be divisible by (the )?tensor[ _]parallel",
    ),
    Cause(
        "context_too_large",
        "the context is larger than what the memory for it holds",
        "ask for a smaller context (`max_total_tokens`, of a command `--max-model-len`), or give "
        "the model more memory (`gpu_memory`)",
        r"larger than the (maximum number of tokens that can be stored in|available) kv cache"
        r"|kv cache is needed, which is larger than|no available memory for the cache blocks",
    ),
    Cause(
        "context_untrained",
        "the context is larger than what the model was made for",
        "ask for a smaller context (`max_total_tokens`, of a command `--max-model-len`)",
        r"max_model_len .{0,40}is greater than the derived max_model_len",
    ),
    Cause(
        "gpu_out_of_memory",
        "the GPU is out of memory",
        "stop what else uses the GPU, or lower `gpu_memory` (of a command "
        "`--gpu-memory-utilization`)",
        r"free memory on device .{0,120}is less than desired gpu memory utilization",
    ),
    Cause(
        "quantization_unavailable",
        "the weights cannot be quantized so on this machine",
        "take weights that are quantized in another way, or not at all",
        r"quantization method .{0,80}(not supported|does not match)"
        r"|unknown quantization method",
    ),
)

VLLM: Final = Engine(
    name="vllm",
    title="vLLM",
    image="vllm/vllm-openai:v0.32.0",
    images=("vllm/vllm-openai:*", "vllm/vllm-openai@*", "vllm/vllm-openai-rocm:*"),
    dialect="openai",
    flavour="vllm",
    programs=(
        ("vllm", "serve"),
        ("-m", "vllm.entrypoints.openai.api_server"),
        ("-m", "vllm.entrypoints.cli.main", "serve"),
    ),
    options=(
        # Its image starts `vllm serve`, which takes the model without an option.
        ("model_id", ""),
        ("host", "--host"),
        ("port", "--port"),
        ("revision", "--revision"),
        ("num_shard", "--tensor-parallel-size"),
        ("quantize", "--quantization"),
        ("dtype", "--dtype"),
        ("max_total_tokens", "--max-model-len"),
        ("max_batch_prefill_tokens", "--max-num-batched-tokens"),
        ("gpu_memory", "--gpu-memory-utilization"),
    ),
    flags={"trust_remote_code": "--trust-remote-code"},
    with_value=frozenset(
        {
            "--attention-backend",
            "--block-size",
            "--cpu-offload-gb",
            "--data-parallel-size",
            "--distributed-executor-backend",
            "--gpu-memory-utilization",
            "--kv-cache-dtype",
            "--kv-cache-memory-bytes",
            "--limit-mm-per-prompt",
            "--load-format",
            "--max-logprobs",
            "--max-lora-rank",
            "--max-num-seqs",
            "--model-impl",
            "--pipeline-parallel-size",
            "--reasoning-parser",
            "--runner",
            "--scheduling-policy",
            "--seed",
            "--shutdown-timeout",
            "--swap-space",
            "--tokenizer-mode",
            "--tool-call-parser",
        }
    ),
    without_value=frozenset(
        {
            "--async-scheduling",
            "--disable-custom-all-reduce",
            "--enable-auto-tool-choice",
            "--enable-chunked-prefill",
            "--enable-expert-parallel",
            "--enable-prefix-caching",
            "--enforce-eager",
            "--language-model-only",
            "--no-async-scheduling",
            "--no-enable-chunked-prefill",
            "--no-enable-prefix-caching",
        }
    ),
    quantizations=frozenset({"awq", "bitsandbytes", "compressed-tensors", "fp8", "gptq"}),
    environment={
        "HF_HOME": "/data",
        "HF_HUB_CACHE": HUB_CACHE,
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    },
    passed={"HF_HUB_OFFLINE": "HF_HUB_OFFLINE", "HF_ENDPOINT": "HF_ENDPOINT"},
    refused_variables=r"VLLM_API_KEY|VLLM_HOST_IP|VLLM_PORT|VLLM_\w*CACHE\w*"
    r"|VLLM_SERVER_DEV_MODE|VLLM_PLUGINS",
    gpu_argument="--gpu-memory-utilization",
    gpu_share=0.9,
    # Versions differ: 0.9 once, 0.92 now.
    says_gpu_share=True,
    start_seconds=1800.0,
    # The processes of a model that is split talk through it.
    shm_bytes=8 << 30,
    signs=(
        Sign(r"^Starting to load model", "loading"),
        Sign(
            rf"^Loading .{{0,40}}checkpoint shards: +\d{{1,3}}% Completed"
            rf" \| (?P<done>{N})/(?P<total>{N})",
            "loading",
            "{done} of {total} files loaded",
        ),
        Sign(r"^Loading weights took|^Model loading took", "loading"),
        Sign(
            r"^Start compiling|^Compiling a graph|^Dynamo bytecode transform"
            r"|^torch\.compile (takes|took)|^Using cache directory: .* torch\.compile",
            "warming up",
            "compiling",
        ),
        Sign(r"^Available KV cache memory|^[CGX]PU KV cache size", "warming up"),
        Sign(
            rf"^Capturing CUDA graphs.{{0,60}}: +\d{{1,3}}%.*?(?P<done>{N})/(?P<total>{N})",
            "warming up",
            "capturing CUDA graphs, {done} of {total}",
        ),
        Sign(r"^Graph capturing finished|^init engine", "warming up"),
    ),
    causes=_CAUSES,
)
