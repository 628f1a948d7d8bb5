"""What each generation parameter may be: its name, type and range.

Names and error messages are TGI's, completed by parameters that other servers have.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeGuard

import msgspec

from server.core.errors import InvalidParameters
from server.core.grammar_rules import Grammar, grammar_problem
from server.core.tool_rules import Tool, ToolChoice, tools_problem

Parameters = Mapping[str, Any]
"""Parameters as they travel: by TGI's names, absent meaning default."""


class GenerationParameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hold one request's generation parameters with TGI's names and defaults.

    `reasoning` says how much a model is to think before it answers: an effort, or a budget in
    tokens.
    """

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
    reasoning: Literal["off", "low", "medium", "high"] | int | None = None
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None


class ParameterLimits(msgspec.Struct, frozen=True):
    """Bound the parameters whose limit depends on the server; by default no server allows more.

    20 alternatives are OpenAI's and vLLM's bound. A server's own number of stop sequences is known
    to its dialect.
    """

    max_stop_sequences: int = 64
    max_top_n_tokens: int = 20


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
_MAX_REASONING: Final = 2**32 - 1


def convert(parameters: Parameters) -> GenerationParameters:
    """Type the parameters; unknown names are ignored, as TGI does.

    Raises `InvalidParameters` where a type is wrong or an integer has too many bits.
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


def check(parameters: GenerationParameters, limits: ParameterLimits) -> None:
    """Check the ranges; raises `InvalidParameters` with the first violation."""
    problem = _first_violation(parameters, limits)
    if problem is not None:
        raise InvalidParameters(problem)


def samples(parameters: GenerationParameters) -> bool:
    """Tell whether a server that is greedy by default samples: `do_sample` or a warper is set."""
    return (
        parameters.do_sample
        or parameters.temperature not in (None, 1.0)
        or parameters.top_k is not None
        or parameters.top_p is not None
        or parameters.typical_p is not None
    )


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a number in JSON, where true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _first_violation(p: GenerationParameters, limits: ParameterLimits) -> str | None:
    rules = (
        (
            p.best_of not in (None, 1),
            "`best_of` != 1 is not supported when streaming tokens",
        ),
        (
            p.decoder_input_details,
            "`decoder_input_details` == true is not supported when streaming tokens",
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
        (p.truncate == 0, "`truncate` must be strictly positive. Given: 0"),
        (
            isinstance(p.reasoning, int) and not 1 <= p.reasoning <= _MAX_REASONING,
            "`reasoning` must be off, low, medium, high, or a budget of at least one token",
        ),
    )
    violated = next((message for violated, message in rules if violated), None)
    if violated is None and p.grammar is not None:
        violated = grammar_problem(p.grammar)
    return violated or tools_problem(p.tools, p.tool_choice) or None
