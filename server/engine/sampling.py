"""TGI's generation parameters in llama.cpp's words.

Rules:

1. llama.cpp samples with min_p, top_k, top_p, a temperature of 0.8 and more by default.
   The list of samplers sent here holds only those that TGI has, in TGI's order, and each
   has a value: nothing is left to a default.
2. Penalties look at the prompt and the answer from their first token on, as in TGI.
   `frequency_penalty` counts occurrences (OpenAI's meaning); TGI divides that count by
   the length, so the same number weighs more here.
3. What llama.cpp cannot do is refused, never ignored.
4. llama.cpp's seeds have 32 bits; a longer one is folded.
"""

import secrets
from typing import Any

from server.core.parameter_rules import GenerationParameters, samples
from server.engine.errors import ValidationFailed

_RANDOM_SEED = 0xFFFFFFFF  # llama.cpp's "choose one yourself"


def refuse_unsupported(parameters: GenerationParameters) -> None:
    """Raise `ValidationFailed` where the parameters ask for what llama.cpp cannot do."""
    unsupported = (
        (parameters.watermark, "`watermark`"),
        (parameters.decoder_input_details, "`decoder_input_details`"),
        (parameters.adapter_id is not None, "`adapter_id`"),
    )
    for asked, name in unsupported:
        if asked:
            raise ValidationFailed(f"{name} is not supported by the embedded engine")


def choose_seed(parameters: GenerationParameters) -> int | None:
    """Return the seed to use: none when greedy, the one given, or a random one."""
    if not samples(parameters):
        return None
    return parameters.seed if parameters.seed is not None else secrets.randbits(64)


def sampling_options(
    parameters: GenerationParameters, seed: int | None, *, context_tokens: int
) -> dict[str, Any]:
    """Return the sampling part of a request to llama.cpp."""
    options: dict[str, Any] = {
        "samplers": ["penalties", "temperature", "top_k", "top_p", "typ_p"],
        "repeat_penalty": parameters.repetition_penalty or 1.0,
        "frequency_penalty": parameters.frequency_penalty or 0.0,
        "presence_penalty": 0.0,
        "repeat_last_n": context_tokens,
        "temperature": parameters.temperature or 1.0,
        "top_k": parameters.top_k or 0,
        "top_p": parameters.top_p or 1.0,
        "typical_p": parameters.typical_p or 1.0,
        "min_p": 0.0,
        "n_probs": max(1, parameters.top_n_tokens or 0),
    }
    if seed is None:
        options |= {"samplers": ["penalties", "temperature"], "temperature": 0.0}
    else:
        options["seed"] = _fold(seed)
    return options


def _fold(seed: int) -> int:
    folded = (seed ^ (seed >> 32)) & 0xFFFFFFFF
    return folded if folded != _RANDOM_SEED else 0
