"""What vLLM says, as of vLLM 0.32, and SGLang where it says the same."""

from typing import Final

from server.models.known_causes.cause import Cause

CAUSES: Final = (
    Cause(
        "cannot_be_split",
        "the model cannot be split over so many GPUs",
        "take a number of GPUs by which the model's attention heads can be divided",
        r"must be divisible by (the )?tensor[ _]parallel",
    ),
    Cause(
        "context_too_large",
        "the context is larger than what the memory for it holds",
        "ask for a smaller context (`--max-model-len`), or give the model more memory",
        r"larger than the (maximum number of tokens that can be stored in|available) kv cache"
        r"|kv cache is needed, which is larger than|no available memory for the cache blocks"
        r"|not enough memory.{0,80}mem-fraction-static",
    ),
    Cause(
        "context_untrained",
        "the context is larger than what the model was made for",
        "ask for a smaller context (`--max-model-len`)",
        r"max_model_len .{0,40}is greater than the derived max_model_len",
    ),
    Cause(
        "gpu_out_of_memory",
        "the GPU is out of memory",
        "stop what else uses the GPU, or lower `--gpu-memory-utilization`",
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
