"""What TGI's launcher, router and shards say, as of TGI 3.3."""

from typing import Final

from server.models.known_causes.cause import Cause
from server.models.known_causes.ends import BAD_ARGUMENT

CAUSES: Final = (
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
