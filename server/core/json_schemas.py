"""Check a JSON schema, so that an invalid one is refused before anything starts.

Only its shape is checked: which keywords a server supports, the server itself reports.
"""

from collections.abc import Mapping
from typing import Any, Final

_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_ONE: Final = (
    *("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"),
    *("unevaluatedItems", "unevaluatedProperties"),
)
_MANY: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED: Final = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_MAX_DEPTH: Final = 64
_MAX_PARTS: Final = 5000


def schema_problem(schema: Any, at: str) -> str:
    """Return what makes a value no JSON schema, with its place; empty if it is one."""
    left: list[tuple[Any, str, int]] = [(schema, at, 0)]
    count = 0
    while left:
        part, place, depth = left.pop()
        count += 1
        if depth > _MAX_DEPTH or count > _MAX_PARTS:
            how = "is nested too deeply" if depth > _MAX_DEPTH else "is too large"
            return f"`{at}` {how}"
        if isinstance(part, bool):
            continue
        if not isinstance(part, Mapping):
            return f"`{place}` is no JSON schema: it has to be an object"
        if problem := _problem(part, place):
            return problem
        left += ((inner, where, depth + 1) for inner, where in _inner(part, place))
    return ""


def _problem(part: Mapping[str, Any], place: str) -> str:
    kinds = part.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
        return f"`{place}.type` is no type of JSON: {str(part['type'])[:80]!r}"
    required = part.get("required", [])
    # Before draft 4 it stood in the property itself.
    is_listed = isinstance(required, list) and all(isinstance(name, str) for name in required)
    if not (is_listed or isinstance(required, bool)):
        return f"`{place}.required` has to be a list of names"
    if not isinstance(part.get("enum", []), list):
        return f"`{place}.enum` has to be a list"
    for name in _MANY:
        if not isinstance(part.get(name, []), list):
            return f"`{place}.{name}` has to be a list of schemas"
    for name in _NAMED:
        if not isinstance(part.get(name, {}), Mapping):
            return f"`{place}.{name}` has to be an object of schemas"
    return ""


def _inner(part: Mapping[str, Any], place: str) -> list[tuple[Any, str]]:
    """Return the schemas inside one, with their places."""
    found = [(part[name], f"{place}.{name}") for name in _ONE if name in part]
    # A list of schemas for the items of an array, before draft 2020.
    if isinstance(part.get("items"), list):
        found = [(inner, where) for inner, where in found if inner is not part["items"]]
        found += [(inner, f"{place}.items[{n}]") for n, inner in enumerate(part["items"])]
    for name in _MANY:
        found += [(inner, f"{place}.{name}[{n}]") for n, inner in enumerate(part.get(name, ()))]
    for name in _NAMED:
        found += [(inner, f"{place}.{name}.{key}") for key, inner in part.get(name, {}).items()]
    return found
