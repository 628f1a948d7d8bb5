"""Generation parameters: unknown names, values that mean "off", merging of layers.

Rules:

1. `parameter_rules.GenerationParameters` is the one definition: everything that a client sends, or
   a settings file has, is checked against it.
2. A client may say "off" with the usual neutral value (`temperature` 0, `top_p` 1, `top_k` 0).
   `checked` keeps it, since for most servers an absent parameter means a default of theirs.
   TGI refuses those values: see `server.dialects.tgi.parameters`.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from server.core.errors import InvalidParameters
from server.core.parameter_rules import (
    GenerationParameters,
    ParameterLimits,
    Parameters,
    check,
    convert,
    is_number,
    samples,
)

FIELDS = GenerationParameters.__struct_fields__

# The neutral values of the sliders in many tools, and of clients that send every parameter.
_NEUTRAL: Final[dict[str, object]] = {
    "adapter_id": "",
    "best_of": 1,
    "decoder_input_details": False,
    "logit_bias": {},
    "stop": [],
    "tools": [],
    "watermark": False,
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

# A place within a parameter, or one that begins at the root; a mere name is none.
_PLACE: Final = re.compile(r"`(\$\.|(?=\w+[.\[]))(\w+)")


@contextmanager
def placed(layers: Mapping[str, Parameters]) -> Iterator[None]:
    """Let errors that are raised while the context lasts name places in the whole request.

    `layers` are the parameters by the field that has them; the later layer wins.
    """
    try:
        yield
    except InvalidParameters as error:
        field = {name: at for at, layer in layers.items() for name in layer}
        message = _PLACE.sub(
            lambda found: (
                f"`{found[1]}{field[found[2]]}.{found[2]}" if found[2] in field else found[0]
            ),
            error.message,
        )
        raise InvalidParameters(message, hint=error.hint, details=error.details) from error


def merge(*layers: Parameters) -> dict[str, Any]:
    """Return the layers' parameters key by key, the later layer winning; null removes a key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged.update(layer)
    return {name: value for name, value in merged.items() if value is not None}


def checked(parameters: Parameters) -> dict[str, Any]:
    """Return a client's parameters without nulls, for a server whose ranges are not known yet.

    Raises `InvalidParameters` for an unknown name, a wrong type, or a value that no server takes.
    """
    chosen = known(parameters)
    convert(chosen)
    check(convert(without_neutral(chosen)), ParameterLimits())
    return chosen


def is_sampled(parameters: Parameters, *, unset_is_greedy: bool) -> bool:
    """Tell whether the answer is sampled, so that it may differ each time.

    `unset_is_greedy` says that the server takes the most likely token unless it is told to sample.
    Other servers sample unless the temperature is 0 or `do_sample` is false.
    """
    temperature = parameters.get("temperature")
    if is_number(temperature) and temperature == 0:
        return False
    if unset_is_greedy:
        # TGI ignores a temperature of 1 alone, but `do_sample` is added to it.
        asks = is_number(temperature) and parameters.get("do_sample") is not False
        return asks or samples(convert(without_neutral(parameters)))
    return parameters.get("do_sample") is not False


def is_off(name: str, value: object) -> bool:
    """Tell whether a value means that its parameter has no effect."""
    if name not in _NEUTRAL:
        return False
    neutral = _NEUTRAL[name]
    # In Python, False == 0.
    return isinstance(value, bool) == isinstance(neutral, bool) and value == neutral


def known(parameters: Parameters) -> dict[str, Any]:
    """Return the parameters without nulls; raises `InvalidParameters` for an unknown name."""
    for name in parameters:
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            raise InvalidParameters(
                f"unknown parameter {name[:80]!r}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
    return {name: value for name, value in parameters.items() if value is not None}


def without_neutral(parameters: Parameters) -> dict[str, Any]:
    """Return the parameters without those that are off."""
    return {name: value for name, value in parameters.items() if not is_off(name, value)}
