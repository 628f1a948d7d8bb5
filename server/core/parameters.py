"""Generation parameters: their names, types and ranges, what "off" means, and how layers merge.

Rules:

1. `parameter_rules.GenerationParameters` is the one definition. The names are TGI's, completed
   by what other servers know; the gateway checks what a client sends against it, the embedded
   engine what arrives at its door; the messages are TGI's own.
2. A client may say "off" with the neutral value everybody knows (`temperature` 0,
   `top_p` 1, `top_k` 0). `checked` keeps it, since to most servers an absent parameter means
   a default of theirs. TGI refuses those values, so `normalise` leaves them out.
3. TGI's defaults depend on whether `parameters` is there at all. The gateway always
   sends it, so an absent field always means the default written here.
"""

import difflib
from typing import Any, Final

from server.core.errors import InvalidParameters
from server.core.parameter_rules import (
    WIDEST,
    GenerationParameters,
    ParameterLimits,
    Parameters,
    check,
    convert,
    is_number,
    samples,
)

FIELDS = GenerationParameters.__struct_fields__

# "Off" in the words of the many tools whose sliders start there.
_NEUTRAL: Final[dict[str, float]] = {
    "temperature": 0,
    "top_p": 1,
    "top_k": 0,
    "typical_p": 1,
    "repetition_penalty": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "min_p": 0,
    "top_n_tokens": 0,
}
_SAMPLING = ("do_sample", "temperature", "top_k", "top_p", "typical_p")
TGI_LACKS: Final = frozenset({"min_p", "presence_penalty", "logit_bias"})


def merge(*layers: Parameters) -> dict[str, Any]:
    """Return the layers' parameters key by key, the later layer winning; null removes a key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged.update(layer)
    return {name: value for name, value in merged.items() if value is not None}


# Where neither settings nor request say: a page of text.
DEFAULT_MAX_NEW_TOKENS = 1024


def checked(parameters: Parameters) -> dict[str, Any]:
    """Return what a client sent, nulls left out, for a server whose ranges are not known yet.

    Raises `InvalidParameters` for an unknown name, a wrong type, or a value that no server takes.
    """
    chosen = _known(parameters)
    convert(chosen)
    check(convert(_without_neutral(chosen)), WIDEST, streaming=True)
    return chosen


def normalise(parameters: Parameters) -> dict[str, Any]:
    """Translate what a client sent into what TGI takes.

    Neutral values are left out. `temperature` 0 asks for the most likely token, so the
    other sampling parameters go with it: TGI would sample if one of them stayed. A
    temperature above 0 asks for sampling, which TGI does at exactly 1 only when told
    `do_sample`. `max_new_tokens` is always present: without it TGI writes on to the
    end of the context.

    Raises `InvalidParameters` for an unknown name, a wrong type, a value out of range, or a
    parameter that TGI has not.
    """
    chosen = _known(parameters)
    temperature = chosen.get("temperature")
    is_greedy = is_number(temperature) and temperature == 0
    if is_number(temperature) and temperature > 0:
        chosen.setdefault("do_sample", True)
    chosen = _without_neutral(chosen)
    chosen.setdefault("max_new_tokens", DEFAULT_MAX_NEW_TOKENS)
    check(convert(chosen), ParameterLimits(), streaming=True)
    for name in chosen:
        if name in TGI_LACKS:
            raise InvalidParameters(f"`{name}` is not taken by TGI")
    if is_greedy:
        # Not before the check: what is wrong is wrong even where it would change nothing.
        chosen = {name: value for name, value in chosen.items() if name not in _SAMPLING}
    return chosen


def is_sampled(parameters: Parameters, *, unset_is_greedy: bool) -> bool:
    """Tell whether chance has a part in the answer.

    `unset_is_greedy` is whether the server takes the most likely token where nothing asks for
    anything else; elsewhere only a temperature of 0, or `do_sample` false, does.
    """
    temperature = parameters.get("temperature")
    if is_number(temperature) and temperature == 0:
        return False
    if unset_is_greedy:
        return samples(convert(_without_neutral(parameters)))
    return parameters.get("do_sample") is not False


def is_off(name: str, value: object) -> bool:
    """Tell whether a parameter's value means that the parameter has no effect."""
    if name == "logit_bias":
        return value == {}
    return is_number(value) and name in _NEUTRAL and value == _NEUTRAL[name]


def _known(parameters: Parameters) -> dict[str, Any]:
    """Return the parameters without nulls; raises `InvalidParameters` for an unknown name."""
    for name in parameters:
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            raise InvalidParameters(
                f"unknown parameter {name[:80]!r}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
    return {name: value for name, value in parameters.items() if value is not None}


def _without_neutral(parameters: Parameters) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if not is_off(name, value)}
