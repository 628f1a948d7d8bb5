"""Grammars: TGI's forms are taken, and what is no schema or regular expression has its place."""

from typing import Any

import pytest

from server.core.errors import InvalidParameters
from server.core.grammar_rules import schema_of
from server.core.parameters import checked
from server.dialects.tgi.parameters import normalise

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}
TEXT = '{"type":"object","properties":{"name":{"type":"string"}}}'
NESTED = "[" * 100_000


@pytest.mark.parametrize("kind", ["json", "json_object", "json_schema"])
@pytest.mark.parametrize(
    "value",
    [
        SCHEMA,
        TEXT,
        {"name": "x", "schema": SCHEMA},
        f'{{"name": "x", "schema": {TEXT}}}',
    ],
    ids=["bare", "text", "named", "text of a named one"],
)
def test_a_schema_in_each_of_tgis_forms_goes_through_as_it_is(kind: str, value: Any) -> None:
    parameters = {"grammar": {"type": kind, "value": value}}
    assert checked(parameters) == parameters
    assert normalise(parameters) == parameters
    assert schema_of(value) == SCHEMA


def test_a_schema_with_a_keyword_of_that_name_is_no_wrapping() -> None:
    schema = {"type": "object", "schema": "http://example.org"}
    assert schema_of(schema) == schema


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a+",
        r"\(\[\\",
        r"(?P<year>\d{4})-(?:0[1-9]|1[0-2])",
        "[(]",
        "[]()]",
        r"[^]\]]",
        "[[:alpha:]]+",
        r"\p{L}**",
        "(?x) a # (",
        "(" * 10_000 + ")" * 10_000,
        "[" + "a" * 1_000_000 + "]",
    ],
    ids=lambda pattern: pattern[:20],
)
def test_a_regular_expression_of_any_server_goes_through(pattern: str) -> None:
    parameters = {"grammar": {"type": "regex", "value": pattern}}
    assert checked(parameters) == parameters


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("json", 5, "`grammar.value` is no JSON schema: it has to be an object"),
        ("json", None, "`grammar.value` is no JSON schema: it has to be an object"),
        ("json", True, "`grammar.value` is no JSON schema: it has to be an object"),
        ("json", "[]", "`grammar.value` is no JSON schema: it has to be an object"),
        ("json", "", "`grammar.value` is no JSON schema: Input data was truncated"),
        ("json", NESTED, "`grammar.value` is no JSON schema: maximum recursion depth"),
        ("json", {"type": "q"}, "`grammar.value.type` is no type of JSON: 'q'"),
        ("json", '{"type": "q"}', "`grammar.value.type` is no type of JSON: 'q'"),
        ("json", {"properties": 5}, "`grammar.value.properties` has to be an object of schemas"),
        ("json_schema", {"schema": 5}, "`grammar.value.schema` is no JSON schema"),
        ("json_schema", {"schema": {"enum": 5}}, "`grammar.value.schema.enum` has to be a list"),
        ("regex", {}, "`grammar.value` has to be a regular expression"),
        ("regex", "(", "`grammar.value` is no regular expression: it has a `(` without its `)`"),
        ("regex", "a))", "`grammar.value` is no regular expression: it has a `)` too many"),
        ("regex", "[a", "`grammar.value` is no regular expression: it has a `[` without its `]`"),
        ("regex", "a\\", "`grammar.value` is no regular expression: it ends with a `\\`"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_grammar_is_refused_with_its_place(kind: str, value: Any, words: str) -> None:
    for check in (checked, normalise):
        with pytest.raises(InvalidParameters) as caught:
            check({"grammar": {"type": kind, "value": value}})
        assert caught.value.message.startswith(words)
