"""Hugging Face's TGI, as of 3.3: its launcher, its router and its shards."""

from typing import Final

from server.engines.cause import BAD_ARGUMENT, Cause
from server.engines.engine import HUB_CACHE, Engine, N, Sign

_CAUSES: Final = (
    Cause(
        "bad_template",
        "the model's chat template does not parse",
        "correct `chat_template` in the model's tokenizer_config.json, or name another with "
        "`--tokenizer-config-path`",
        r"kind: \w+, detail: \"(?P<detail>(?:[^\"\\]|\\.)*)\", name: \"[^\"]*\","
        r" line: (?P<line>\d+)",
        said="{detail}, in line {line}",
    ),
    Cause(BAD_ARGUMENT.code, BAD_ARGUMENT.message, BAD_ARGUMENT.hint, r"\bArgumentValidation\("),
    Cause(
        "gpu_out_of_memory_at_warm_up",
        "the GPU's memory does not hold the model and what it is to keep in it",
        "lower `max_batch_prefill_tokens` or `max_total_tokens`, set `quantize`, or split the "
        "model with `num_shard`",
        r"not enough memory to handle",
    ),
    Cause(
        "quantization_unavailable",
        "the weights cannot be quantized so on this machine",
        "set `quantize` in the model's section to nothing or to what this machine can do",
        r"quantization.{0,40} (is )?not (available|supported|implemented)|bitsandbytes is not"
        r"|(awq|gptq|marlin|exl2|eetq|fp8).{0,60}(not (available|installed|supported)|requires)",
    ),
    Cause(
        "crashed_while_serving",
        "the model server crashed while it served",
        "the last lines say why; TGI ends after any error in its model code",
        r"method (decode|prefill) encountered an error",
    ),
)

TGI: Final = Engine(
    name="tgi",
    title="TGI",
    image="ghcr.io/huggingface/text-generation-inference:3.3.7",
    images=(
        "ghcr.io/huggingface/text-generation-inference:*",
        "ghcr.io/huggingface/text-generation-inference@*",
    ),
    dialect="tgi",
    programs=(("text-generation-launcher",),),
    options=(
        ("model_id", "--model-id"),
        ("revision", "--revision"),
        # TGI's own default is the number of visible GPUs, counted differently by version.
        ("num_shard", "--num-shard"),
        ("port", "--port"),
        ("quantize", "--quantize"),
        ("dtype", "--dtype"),
        ("max_input_tokens", "--max-input-tokens"),
        ("max_total_tokens", "--max-total-tokens"),
        ("max_batch_prefill_tokens", "--max-batch-prefill-tokens"),
        ("gpu_memory", "--cuda-memory-fraction"),
    ),
    always=("--json-output", "--usage-stats", "off"),
    flags={"trust_remote_code": "--trust-remote-code"},
    takes=frozenset({"chat_template"}),
    # The launcher's options that have no key of their own and endanger nothing.
    with_value=frozenset(
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
    ),
    without_value=frozenset(
        {"--disable-custom-kernels", "--disable-grammar-support", "--enable-prefill-logprobs"}
    ),
    without_gpu={
        "-intel-cpu": (("--cuda-graphs", "0"),),
        # On a CPU the CUDA flavour fails on two prompts in one batch, for Llama's kin.
        "": (("--disable-custom-kernels",), ("--max-batch-size", "1")),
    },
    quantizations=frozenset(
        {
            "awq",
            "bitsandbytes",
            "bitsandbytes-fp4",
            "bitsandbytes-nf4",
            "compressed-tensors",
            "eetq",
            "exl2",
            "fp8",
            "gptq",
            "marlin",
        }
    ),
    # Left alone the flavours differ: most look into /data/hub (HF_HOME), the Intel CPU flavour and
    # old versions into /data.
    environment={"HF_HOME": "/data", "HUGGINGFACE_HUB_CACHE": HUB_CACHE},
    passed={"HF_HUB_OFFLINE": "HF_HUB_OFFLINE", "HF_ENDPOINT": "HF_ENDPOINT"},
    # The launcher takes every option from the environment, too.
    refused_variables=r"HOSTNAME|PORT|API_KEY|OTLP_\w+|CORS_\w+|\w*_PATH|\w*_CACHE\w*|MODEL_ID|REVISION"
    r"|NUM_SHARD|SHARDED|MASTER_\w+|PROMETHEUS_PORT|SHARD_UDS_PATH|NGROK\w*|TRUST_REMOTE_CODE",
    gpu_argument="--cuda-memory-fraction",
    gpu_share=1.0,
    # It lets answers end for up to 90 s.
    stop_grace_seconds=100.0,
    shm_bytes=1 << 30,
    signs=(
        Sign(r"^Starting check and download process|^Download file:", "downloading"),
        Sign(
            rf"^Download: \[(?P<done>{N})/(?P<total>{N})\] -- ETA: "
            rf"(?:(?P<hours>{N}):(?P<minutes>{N}):(?P<seconds>{N})|0)",
            "downloading",
            "{done} of {total} files",
        ),
        Sign(rf"^Sharding model on (?P<total>{N}) processes", ""),
        Sign(r"^Shard ready", "loading", "{done} of {total} loaded", counts=True),
        Sign(r"^Successfully downloaded weights|^Starting shard|^Waiting for shard", "loading"),
        Sign(r"^Starting Webserver|^Warming up model", "warming up"),
    ),
    causes=_CAUSES,
)
