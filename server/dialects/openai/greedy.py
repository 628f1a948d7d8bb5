"""Parameters for a server on which unset ones have no effect, as with TGI: pure functions.

Rules:

1. Nothing is left to a default of the server's: each parameter of sampling that it takes has a
   value, and only the steps that these belong to are applied, in TGI's order.
2. Without anything that asks for sampling the most likely token is taken.
3. A seed of 64 bits is folded into 32, so that its upper half counts too.
"""

from collections.abc import Mapping
from typing import Any, Final

from server.core.parameters import is_off, is_sampled
from server.dialects.openai.flavour import Flavour

_NO_PENALTY: Final[Mapping[str, Any]] = {
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
}
# A temperature of 1 changes nothing.
_ANY_TOKEN: Final[Mapping[str, Any]] = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "typical_p": 1.0,
    "min_p": 0.0,
}
_SEED_BITS: Final = 32


def completed(flavour: Flavour, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with a value for each that has a part in choosing tokens."""
    filled = {**_NO_PENALTY, **_ANY_TOKEN, **parameters}
    if not is_sampled(parameters, unset_is_greedy=True):
        # One candidate is enough: without a bound the server sorts its whole vocabulary each time.
        filled |= {**_ANY_TOKEN, "temperature": 0, "top_k": 1}
        filled.pop("seed", None)
    elif is_off("temperature", filled["temperature"]):
        filled["temperature"] = _ANY_TOKEN["temperature"]
    if "seed" in filled:
        seed = filled["seed"]
        filled["seed"] = (seed ^ (seed >> _SEED_BITS)) & (2**_SEED_BITS - 1)
    return {
        name: value for name, value in filled.items() if name in parameters or name in flavour.takes
    }
