"""Tools, the choice among them, and forms of answers: what is none is refused with its place."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import InvalidParameters
from server.core.json_schemas import schema_problem
from server.core.parameters import checked
from server.core.tool_rules import ResponseFormat, fields_as_parameters, grammar_of


def tool(name: str = "look", **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


def test_valid_tools_are_accepted_unchanged() -> None:
    parameters = {
        "tools": [
            tool("a", parameters={"type": "object"}, strict=True),
            tool("b", description="B"),
        ],
        "tool_choice": named("b"),
        "reasoning": 2000,
    }
    assert checked(parameters) == parameters
    assert checked({"tools": [], "reasoning": "off"}) == {"tools": [], "reasoning": "off"}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"tools": "look"}, r"Expected `array`, got `str` - at `\$\.tools`"),
        ({"tools": ["look"]}, r"`\$\.tools\[0\]`"),
        ({"tools": [{"type": "function"}]}, r"`function` - at `\$\.tools\[0\]`"),
        ({"tools": [tool("")]}, r"`\$\.tools\[0\]\.function\.name`"),
        (
            {"tools": [tool("a"), tool("b"), tool("a")]},
            r"`tools\[2\]` has the name of `tools\[0\]`",
        ),
        ({"tools": [tool(parameters=[])]}, r"`\$\.tools\[0\]\.function\.parameters`"),
        (
            {"tools": [tool(parameters={"properties": {"at": 5}})]},
            r"`tools\[0\]\.function\.parameters\.properties\.at` is no JSON schema",
        ),
        (
            {"tools": [tool(parameters={"type": "object", "required": "at"})]},
            r"`tools\[0\]\.function\.parameters\.required` has to be a list",
        ),
        ({"tools": [tool(parameters=nested(100))]}, "is nested too deeply"),
        ({"tools": [tool(str(n)) for n in range(129)]}, "may have 128 tools, not 129"),
        ({"tools": [tool(description="x" * 300_000)]}, "may have 262144 bytes"),
        ({"tools": [tool()], "tool_choice": named("hear")}, "`tool_choice` names no tool: 'hear'"),
        ({"tools": [tool()], "tool_choice": "any"}, r"`\$\.tool_choice`"),
        ({"tool_choice": "required"}, "needs `tools`"),
        ({"reasoning": 0}, "`reasoning` must be off, low, medium, high, or a budget"),
        ({"reasoning": -5}, "`reasoning` must be"),
        ({"reasoning": 2**32}, "`reasoning` must be"),
        ({"reasoning": "much"}, r"'much' - at `\$\.reasoning`"),
        ({"reasoning": True}, r"`bool` - at `\$\.reasoning`"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_invalid_tools_are_refused_with_their_place(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParameters, match=words):
        checked(parameters)


def form(wanted: Any) -> ResponseFormat:
    converted: ResponseFormat = msgspec.convert(wanted, ResponseFormat)
    return converted


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "json_object"}, {"type": "object", "properties": {}}),
        ({"type": "json_object", "value": {"type": "array"}}, {"type": "array"}),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "null"}}},
            {"type": "null"},
        ),
    ],
    ids=str,
)
def test_a_form_of_answers_is_a_grammar(wanted: Any, schema: Any) -> None:
    assert grammar_of(form(wanted)) == {"type": "json", "value": schema}
    assert fields_as_parameters(None, None, form(wanted)) == {
        "grammar": {"type": "json", "value": schema}
    }


def test_any_text_is_no_grammar() -> None:
    assert grammar_of(form({"type": "text"})) is None
    assert fields_as_parameters(None, None, None) == {}


def test_a_schema_that_is_none_is_refused() -> None:
    wanted = {"type": "json_schema", "json_schema": {"schema": {"anyOf": [{"type": "txt"}]}}}
    place = r"`response_format\.json_schema\.schema\.anyOf\[0\]\.type` is no type"
    with pytest.raises(InvalidParameters, match=place):
        grammar_of(form(wanted))


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": ["string", "null"], "enum": ["a", None]},
        {"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"},
        {"type": "array", "items": [{"type": "string"}, True], "additionalProperties": False},
        {"properties": {"type": {"type": "string", "required": True}}, "required": ["type"]},
        {"prefixItems": [{}], "oneOf": [{"const": 5}], "not": {"type": "null"}, "x-hint": 5},
    ],
    ids=str,
)
def test_schemas_of_all_drafts_are_schemas(schema: Any) -> None:
    assert schema_problem(schema, "schema") == ""


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        (5, "`schema` is"),
        ({"type": 5}, "`schema.type`"),
        ({"enum": "a"}, "`schema.enum`"),
        ({"anyOf": {}}, "`schema.anyOf`"),
        ({"properties": []}, "`schema.properties`"),
        ({"items": [{"type": "x"}]}, "`schema.items[0].type`"),
        ({"$defs": {"a": None}}, "`schema.$defs.a`"),
        ({"allOf": [{}] * 6000}, "`schema` is too large"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_invalid_schemas_are_reported_with_their_place(schema: Any, place: str) -> None:
    assert schema_problem(schema, "schema").startswith(place)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "items", "properties", "anyOf", "required", "enum", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_is_a_schema_or_has_a_place(value: Any) -> None:
    problem = schema_problem(value, "schema")
    assert not problem or problem.startswith("`schema")
