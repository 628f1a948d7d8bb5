"""What stands in a JSON schema, checked and joined: pure functions."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from server.dialects.gbnf.json_texts import Bound
from server.dialects.gbnf.nodes import GrammarRefused

# Keywords that bound a value, by the type that they are about.
BOUNDS: Final = {
    "string": ("minLength", "maxLength", "pattern"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "additionalItems"),
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
CHOICES: Final = ("anyOf", "oneOf")
# Those that only describe a value may stand beside anything.
BEARING: Final = frozenset(
    {"type", "enum", "const", "allOf", "format", *CHOICES}
    | {name for names in BOUNDS.values() for name in names}
)
_LARGEST: Final = 10**15
_LARGER_BINDS: Final = frozenset(
    {"minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum"}
)
_SMALLER_BINDS: Final = frozenset(
    {"maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum"}
)


def refused(at: str, problem: str) -> GrammarRefused:
    """Return the refusal of a schema for what stands at a place of it."""
    return GrammarRefused(f"has a JSON schema that {problem} (at {at})")


def listed(value: Any, at: str, name: str, *, may_be_empty: bool = False) -> Sequence[Any]:
    """Return a keyword's value that has to be a list; raises `GrammarRefused`."""
    if not isinstance(value, list) or not (value or may_be_empty):
        raise refused(at, f"has `{name}` without a list of what may be")
    return value


def counts(schema: Mapping[str, Any], least: str, most: str, at: str) -> tuple[int, int | None]:
    """Return two bounds that are counts, the upper one None where there is none."""
    found: list[int | None] = []
    for name in (least, most):
        value = schema.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is not None and (not isinstance(value, int) or value < 0 or value is True):
            raise refused(at, f"has `{name}` that is no count")
        found.append(value)
    low, high = found[0] or 0, found[1]
    if high is not None and high < low:
        raise refused(at, f"has `{least}` above `{most}`")
    return low, high


def whole_bounds(schema: Mapping[str, Any], at: str) -> tuple[int | None, int | None]:
    """Return the least and the largest whole number that a schema allows, None where unbound."""
    low, high = _bounds(schema, at)
    least = None if low is None else math.floor(low.at) + 1 if low.is_open else math.ceil(low.at)
    most = None if high is None else math.ceil(high.at) - 1 if high.is_open else math.floor(high.at)
    if least is not None and most is not None and least > most:
        raise refused(at, "bounds a number so that there is none")
    return least, most


def number_bounds(schema: Mapping[str, Any], at: str) -> tuple[Bound | None, Bound | None]:
    """Return the bounds of a number, which have to be whole; None where unbound."""
    low, high = _bounds(schema, at)
    for bound in (low, high):
        if bound is not None and bound.at != int(bound.at):
            raise refused(at, f"bounds a number by {bound.at}; only whole ones can be bounds here")
    if low is not None and high is not None:
        is_open = low.is_open or high.is_open
        if low.at > high.at or (low.at == high.at and is_open):
            raise refused(at, "bounds a number so that there is none")
    return low, high


def _bounds(schema: Mapping[str, Any], at: str) -> tuple[Bound | None, Bound | None]:
    lows: list[Bound] = []
    highs: list[Bound] = []
    for name in BOUNDS["number"]:
        value = schema.get(name)
        if value is None:
            continue
        # An older draft has a flag beside the limit; that is no number either.
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or abs(value) >= _LARGEST:
            raise refused(at, f"has `{name}` that is no number of a usual size")
        bound = Bound(Decimal(str(value)), name.startswith("exclusive"))
        (lows if name in _LARGER_BINDS else highs).append(bound)
    return (
        max(lows, key=lambda bound: (bound.at, bound.is_open), default=None),
        min(highs, key=lambda bound: (bound.at, not bound.is_open), default=None),
    )


def joined(one: Mapping[str, Any], other: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Return a schema that allows what both allow; raises `GrammarRefused`."""
    whole = dict(one)
    for name, value in other.items():
        if name not in whole or name not in BEARING:
            whole.setdefault(name, value)
        elif whole[name] != value:
            whole[name] = _both(name, whole[name], value, at)
    return whole


def _both(name: str, one: Any, other: Any, at: str) -> Any:
    if name == "properties" and isinstance(one, Mapping) and isinstance(other, Mapping):
        return {
            key: {"allOf": [one[key], other[key]]}
            if key in one and key in other and one[key] != other[key]
            else one.get(key, other.get(key))
            for key in (*one, *(key for key in other if key not in one))
        }
    if name == "required" and isinstance(one, list) and isinstance(other, list):
        return [*one, *(key for key in other if key not in one)]
    if name == "additionalProperties":
        # A closed part would forbid the properties of the other one; that is never meant.
        return False if False in (one, other) else {"allOf": [one, other]}
    if name in ("type", "enum"):
        first, second = (value if isinstance(value, list) else [value] for value in (one, other))
        if common := [value for value in first if value in second]:
            return common
        if name == "type" and {*map(str, first), *map(str, second)} == {"integer", "number"}:
            return "integer"
    is_number = all(isinstance(value, int | float) for value in (one, other))
    if is_number and name in _LARGER_BINDS:
        return max(one, other)
    if is_number and name in _SMALLER_BINDS:
        return min(one, other)
    raise refused(at, f"joins two different `{name}`, which no grammar here can say")
