"""What one generation parameter may be: names, types and ranges, in TGI's words."""

import math
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeGuard

import msgspec

from server.core.errors import InvalidParameters

Parameters = Mapping[str, Any]
"""Parameters as they travel: by TGI's names, absent meaning default."""


class Grammar(msgspec.Struct, frozen=True):
    """Constrain the output to a JSON schema or to a regular expression."""

    type: Literal["json", "json_object", "json_schema", "regex"]
    value: Any


class GenerationParameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hold one request's generation parameters with TGI's names and defaults."""

    best_of: int | None = None
    temperature: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    return_full_text: bool | None = None
    stop: list[str] = []
    truncate: int | None = None
    typical_p: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    top_n_tokens: int | None = None
    do_sample: bool = False
    max_new_tokens: int | None = None
    watermark: bool = False
    details: bool = False
    decoder_input_details: bool = False
    seed: int | None = None
    grammar: Grammar | None = None
    adapter_id: str | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] = {}


class ParameterLimits(msgspec.Struct, frozen=True):
    """Bound the parameters whose limit the model server sets (defaults: TGI's launcher)."""

    max_best_of: int = 2
    max_stop_sequences: int = 4
    max_top_n_tokens: int = 5
    max_input_tokens: int | None = None


# What no server that we know exceeds: 20 alternatives are OpenAI's and vLLM's bound. How many stop
# sequences a server takes, its dialect knows.
WIDEST: Final = ParameterLimits(max_stop_sequences=64, max_top_n_tokens=20)


_FLOATS = (
    *("temperature", "repetition_penalty", "frequency_penalty", "typical_p", "top_p"),
    *("min_p", "presence_penalty"),
)
_UNSIGNED_BITS = {
    "best_of": 32,
    "truncate": 32,
    "max_new_tokens": 32,
    "top_n_tokens": 32,
    "seed": 64,
}


def convert(parameters: Parameters) -> GenerationParameters:
    """Type the parameters; unknown names are ignored, as TGI does.

    Raises `InvalidParameters` where a type is wrong.
    """
    try:
        typed = msgspec.convert(parameters, GenerationParameters)
    except msgspec.ValidationError as error:
        raise InvalidParameters(str(error)) from None
    for name in _FLOATS:
        value = getattr(typed, name)
        # JSON has no such numbers, but Python's own reader takes them.
        if value is not None and not math.isfinite(value):
            raise InvalidParameters(f"`{name}` must be a finite number: {value}")
    for name, bits in _UNSIGNED_BITS.items():
        value = getattr(typed, name)
        if value is not None and not 0 <= value < 2**bits:
            raise InvalidParameters(f"`{name}` must be an unsigned {bits}-bit integer: {value}")
    if typed.top_k is not None and not -(2**31) <= typed.top_k < 2**31:
        raise InvalidParameters(f"`top_k` must be a 32-bit integer: {typed.top_k}")
    return typed


def check(parameters: GenerationParameters, limits: ParameterLimits, *, streaming: bool) -> None:
    """Check the ranges TGI checks, in TGI's words.

    Raises `InvalidParameters` with the first violation.
    """
    problem = _first_violation(parameters, limits, streaming=streaming)
    if problem is not None:
        raise InvalidParameters(problem)


def samples(parameters: GenerationParameters) -> bool:
    """Tell whether TGI draws at random: asked to, or because a warper is set."""
    return (
        parameters.do_sample
        or parameters.temperature not in (None, 1.0)
        or parameters.top_k is not None
        or parameters.top_p is not None
        or parameters.typical_p is not None
    )


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a number; to JSON, true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _first_violation(
    p: GenerationParameters, limits: ParameterLimits, *, streaming: bool
) -> str | None:
    rules = (
        (
            streaming and p.best_of not in (None, 1),
            "`best_of` != 1 is not supported when streaming tokens",
        ),
        (
            streaming and p.decoder_input_details,
            "`decoder_input_details` == true is not supported when streaming tokens",
        ),
        (
            p.best_of is not None and not 0 < p.best_of <= limits.max_best_of,
            f"`best_of` must be > 0 and <= {limits.max_best_of}. Given: {p.best_of}",
        ),
        (
            (p.best_of or 1) > 1 and not samples(p),
            "you must use sampling when `best_of` is > 1",
        ),
        (
            (p.best_of or 1) > 1 and p.seed is not None,
            "`seed` must not be set when `best_of` > 1",
        ),
        (
            p.temperature is not None and p.temperature <= 0,
            "`temperature` must be strictly positive",
        ),
        (
            p.repetition_penalty is not None and p.repetition_penalty <= 0,
            "`repetition_penalty` must be strictly positive",
        ),
        (
            p.frequency_penalty is not None and not -2 <= p.frequency_penalty <= 2,
            "`frequency_penalty` must be >= -2.0 and <= 2.0",
        ),
        (
            p.presence_penalty is not None and not -2 <= p.presence_penalty <= 2,
            "`presence_penalty` must be >= -2.0 and <= 2.0",
        ),
        (p.min_p is not None and not 0 < p.min_p <= 1, "`min_p` must be > 0.0 and <= 1.0"),
        (
            any(not -100 <= bias <= 100 for bias in p.logit_bias.values()),
            "`logit_bias` must be >= -100.0 and <= 100.0 for each token",
        ),
        (
            any(not (key.isascii() and key.isdigit()) for key in p.logit_bias),
            "`logit_bias` must name tokens by their ids",
        ),
        (
            p.top_p is not None and not 0 < p.top_p < 1,
            "`top_p` must be > 0.0 and < 1.0",
        ),
        (
            p.typical_p is not None and not 0 < p.typical_p < 1,
            "`typical_p` must be > 0.0 and < 1.0",
        ),
        (p.top_k is not None and p.top_k <= 0, "`top_k` must be strictly positive"),
        (p.max_new_tokens == 0, "`max_new_tokens` must be strictly positive"),
        (
            len(p.stop) > limits.max_stop_sequences,
            f"`stop` supports up to {limits.max_stop_sequences} stop sequences. "
            f"Given: {len(p.stop)}",
        ),
        (
            p.top_n_tokens is not None and p.top_n_tokens > limits.max_top_n_tokens,
            f"`top_n_tokens` must be >= 0 and <= {limits.max_top_n_tokens}. "
            f"Given: {p.top_n_tokens}",
        ),
        (
            p.truncate is not None
            and (p.truncate == 0 or p.truncate > (limits.max_input_tokens or p.truncate)),
            "`truncate` must be strictly positive"
            + (f" and less than {limits.max_input_tokens}" if limits.max_input_tokens else "")
            + f". Given: {p.truncate}",
        ),
    )
    return next((message for violated, message in rules if violated), None)
