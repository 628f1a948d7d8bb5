"""A grammar in the protocol's form, as a server takes it: pure functions."""

from collections.abc import Mapping
from typing import Any

from server.core.errors import InvalidParameters
from server.core.grammar_rules import schema_of
from server.dialects.gbnf import json_schema, regex
from server.dialects.gbnf.writing import write
from server.dialects.openai.flavour import GBNF, Flavour, Form, fill


def grammar_form(flavour: Flavour, grammar: Mapping[str, Any], *, is_chat: bool) -> Form:
    """Return what is sent for a grammar.

    Raises `InvalidParameters` for one that is none, or that the server does not take.
    """
    kind = "regex" if grammar["type"] == "regex" else "json"
    forms = flavour.grammars
    if not is_chat and flavour.text_grammars is not None:
        forms = flavour.text_grammars
    if kind not in forms:
        raise InvalidParameters(f"`grammar` of type {kind} is not taken by {flavour.title}")
    value: Any = grammar["value"] if kind == "regex" else schema_of(grammar["value"])
    if not flavour.has_gbnf:
        return {name: fill(inner, value) for name, inner in forms[kind].items()}
    # Also where the server makes its own out of a schema: what it does not know it passes over. Of
    # what is known here, that part is sent as a grammar.
    written = write(regex.parse(value)) if kind == "regex" else json_schema.as_gbnf(value)
    if kind == "json" and json_schema.is_beyond_llama_cpp(value):
        kind = "regex"
    return {
        name: written if inner == GBNF else fill(inner, value)
        for name, inner in forms[kind].items()
    }
