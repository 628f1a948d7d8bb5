"""TGI's grammars for llama.cpp's llguidance.

Rules:

1. In a JSON schema an object has the properties named and no others, as in TGI. JSON Schema
   itself would allow anything beside them, and as many blanks as one likes (TGI: one; here:
   none), which a small model makes use of until its tokens are spent.
2. llama.cpp goes on without a grammar it does not take, and says so to nobody. So each is
   tried behind a mark first: where the mark is not what is written, nothing bound the model.
"""

import re
from typing import Any

import msgspec

from server.core.parameter_rules import Grammar
from server.engine.errors import ValidationFailed

# What an accepted grammar forces the model to write first, and no model would on its own.
MARK = "@@@"

_NO_BLANKS = {"whitespace_flexible": False}
_SUBSCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SCHEMA_MAPS = ("properties", "$defs", "definitions", "patternProperties")
_SLASH = re.compile(r"\\.|/", re.DOTALL)


def grammar_rule(grammar: Grammar) -> str:
    """Return the grammar as the right-hand side of a rule.

    Raises `ValidationFailed` where it is not of TGI's form.
    """
    if grammar.type == "regex":
        if not isinstance(grammar.value, str):
            raise ValidationFailed("grammar is not valid: a regex must be a string")
        return f"/{_SLASH.sub(_escape_slash, grammar.value)}/".replace("\n", "\\n")
    schema = _read_schema(grammar)
    if "properties" not in schema:
        raise ValidationFailed("grammar is not valid: Grammar must have a 'properties' field")
    closed = {"x-guidance": _NO_BLANKS, **_close(schema)}
    return f"%json {msgspec.json.encode(closed).decode()}"


def as_grammar(rule: str) -> str:
    """Return the text llama.cpp takes as `grammar`."""
    return f"%llguidance {{}}\nstart: {rule}"


def as_marked_grammar(rule: str) -> str:
    """Return the same behind the mark."""
    return as_grammar(f'"{MARK}" {rule}')


def _read_schema(grammar: Grammar) -> dict[str, Any]:
    schema = grammar.value
    if grammar.type == "json_schema":
        if not isinstance(schema, dict) or "schema" not in schema:
            raise ValidationFailed("grammar is not valid: missing field `schema`")
        schema = schema["schema"]
    elif isinstance(schema, str):
        try:
            schema = msgspec.json.decode(schema)
        except msgspec.DecodeError as error:
            raise ValidationFailed(f"grammar is not valid: {error}") from None
    if not isinstance(schema, dict):
        raise ValidationFailed("grammar is not valid: a JSON schema must be an object")
    return schema


def _close(schema: Any) -> Any:
    """Return the schema with its objects closed, all the way down."""
    if not isinstance(schema, dict):
        return schema
    closed = dict(schema)
    for key in _SUBSCHEMAS:
        if key in closed:
            closed[key] = _close(closed[key])
    for key in _SCHEMA_LISTS:
        if isinstance(closed.get(key), list):
            closed[key] = [_close(entry) for entry in closed[key]]
    for key in _SCHEMA_MAPS:
        if isinstance(closed.get(key), dict):
            closed[key] = {name: _close(entry) for name, entry in closed[key].items()}
    if "properties" in closed:
        closed.setdefault("type", "object")
        closed.setdefault("additionalProperties", False)
    return closed


def _escape_slash(found: re.Match[str]) -> str:
    return "\\/" if found[0] == "/" else found[0]
