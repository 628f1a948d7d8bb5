"""What the parameter `grammar` may be: TGI's forms, checked.

A value stands bare, as JSON's text, or beside its name in `schema`, whatever its type is called.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from server.core.errors import InvalidParameters
from server.core.json_schemas import schema_problem

_PLACE: Final = "grammar.value"
# What the brackets of all regular expressions have in common.
_PIECE: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[()]+|[()]", re.DOTALL)
# With comments, in which brackets need no others.
_COMMENTED: Final = re.compile(r"\(\?(?:#|[a-zA-Z]*x)")


class Grammar(msgspec.Struct, frozen=True):
    """Constrain the output to a JSON schema or to a regular expression."""

    type: Literal["json", "json_object", "json_schema", "regex"]
    value: Any


def schema_of(value: Any) -> Mapping[str, Any]:
    """Return the JSON schema in the value of a grammar, unwrapped and itself unchecked.

    Raises `InvalidParameters` for a value that holds no object.
    """
    return _unwrapped(value)[0]


def grammar_problem(grammar: Grammar) -> str:
    """Return what is wrong with a grammar, with its place; empty if nothing.

    What a server's own regular expressions may have, the server itself reports.
    """
    if grammar.type != "regex":
        try:
            return schema_problem(*_unwrapped(grammar.value))
        except InvalidParameters as error:
            return error.message
    if not isinstance(grammar.value, str):
        return f"`{_PLACE}` has to be a regular expression"
    problem = _regex_problem(grammar.value)
    return f"`{_PLACE}` is no regular expression: {problem}" if problem else ""


def _unwrapped(value: Any) -> tuple[Mapping[str, Any], str]:
    """Return a schema and its place."""
    place = _PLACE
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidParameters(f"`{place}` is no JSON schema: {error}") from None
    if isinstance(value, Mapping) and "schema" in value and "type" not in value:
        value, place = value["schema"], f"{place}.schema"
    if not isinstance(value, Mapping):
        raise InvalidParameters(f"`{place}` is no JSON schema: it has to be an object")
    return value, place


def _regex_problem(pattern: str) -> str:
    if _COMMENTED.search(pattern):
        return ""
    at = depth = 0
    while piece := _PIECE.match(pattern, at):
        at = piece.end()
        depth += {"(": 1, ")": -1}.get(piece[0], 0)
        if depth < 0:
            return "it has a `)` too many"
    if at < len(pattern):
        return "it ends with a `\\`" if pattern[at] == "\\" else "it has a `[` without its `]`"
    return "it has a `(` without its `)`" if depth else ""
