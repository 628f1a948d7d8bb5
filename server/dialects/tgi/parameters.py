"""TGI's dialect of the generation parameters.

TGI's defaults depend on whether `parameters` is there at all. The gateway always sends it, so that
an absent field always means the same.
"""

from typing import Any, Final

from server.core.errors import InvalidParameters
from server.core.parameter_rules import ParameterLimits, Parameters, check, convert, is_number
from server.core.parameters import known, without_neutral

TGI_LIMITS: Final = ParameterLimits(max_stop_sequences=4, max_top_n_tokens=5)
"""The defaults of TGI's launcher."""
TGI_LACKS: Final = frozenset(
    {"min_p", "presence_penalty", "logit_bias", "reasoning", "tools", "tool_choice"}
)
"""Parameters of the protocol that TGI does not have."""

_SAMPLING: Final = ("do_sample", "temperature", "top_k", "top_p", "typical_p")


def normalise(parameters: Parameters) -> dict[str, Any]:
    """Translate the protocol's parameters into TGI's.

    Neutral values are left out. `temperature` 0 means the most likely token, so the
    other sampling parameters are left out with it: TGI would sample if one of them stayed. A
    temperature above 0 means sampling, which TGI does at exactly 1 only with `do_sample`.

    Raises `InvalidParameters` for an unknown name, a wrong type, a value out of range, or a
    parameter that TGI does not have.
    """
    chosen = known(parameters)
    temperature = chosen.get("temperature")
    is_greedy = is_number(temperature) and temperature == 0
    if is_number(temperature) and temperature > 0:
        chosen.setdefault("do_sample", True)
    chosen = without_neutral(chosen)
    check(convert(chosen), TGI_LIMITS)
    for name in chosen:
        if name in TGI_LACKS:
            raise InvalidParameters(f"`{name}` is not taken by TGI")
    if is_greedy:
        # After the check: a wrong value is refused even where it would change nothing.
        chosen = {name: value for name, value in chosen.items() if name not in _SAMPLING}
    return chosen
