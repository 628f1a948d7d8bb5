"""JSON schemas as llama.cpp's grammars: what they take, and what they refuse with a reason."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import InvalidParameters
from server.dialects.gbnf import json_texts
from server.dialects.gbnf.json_schema import _Reader, as_gbnf, is_beyond_llama_cpp
from server.dialects.gbnf.json_texts import Bound
from tests.dialects.grammars import takes
from tests.support import properties  # noqa: F401

TREE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "v": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["v"],
        }
    },
}
PERSON: dict[str, Any] = {
    "type": "object",
    "title": "Person",
    "properties": {
        "name": {"type": "string", "description": "as on the passport"},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["name"],
}


def accepts(schema: Any, text: str) -> bool:
    reader = _Reader(schema)
    return takes(reader.read(schema, "#"), text, reader.rules.nodes)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (
            PERSON,
            [
                '{"name":"Ada"}',
                '{"name": "Ada", "age": 36}',
                '{"name":"","tags":["a", "b"]}',
                '{"name":"Ada","age":0,"tags":[]}',
                r'{"name":"\"\u00e9\n"}',
            ],
            [
                "{}",
                '{"age":1,"name":"Ada"}',
                '{"name":"Ada","more":1}',
                '{"name":"Ada","age":-1}',
                '{"name":  "Ada"}',
                '{ "name":"Ada"}',
                '{"name":"Ada",}',
                '{"name":"Ada","tags":["a","b","a"]}',
                '{"name":"\n"}',
            ],
        ),
        (TREE, ['{"v":1}', '{"v":1,"next":{"v":2,"next":null}}'], ['{"next":null}', "null"]),
        ({"type": "object"}, ["{}", '{"a": [1, {"b":null}], "c":"x"}'], ["[]", "1"]),
        ({}, ["1", "null", '"x"', "[1,2]", "-1.5e+3", "{}"], ["", "01", "tru"]),
        (True, ["1"], [""]),
        (
            {"type": "object", "additionalProperties": {"type": "boolean"}},
            ['{"x":true}'],
            ['{"x":1}'],
        ),
        (
            {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
            ["{}", '{"a":1,"b":2}', '{"b":2}'],
            ['{"b"}'],
        ),
        ({"type": "object", "required": ["a"]}, ['{"a":1}', '{"a":1,"b":2}'], ["{}"]),
        ({"type": "object", "minProperties": 1, "maxProperties": 2}, ['{"a":1}'], ["{}"]),
        ({"type": ["string", "null"]}, ['"x"', "null"], ["1"]),
        ({"const": {"a": [1]}}, ['{"a":[1]}'], ["{}"]),
        ({"enum": [1, "x", None]}, ["1", '"x"', "null"], ["2"]),
        ({"type": "string", "minLength": 1, "maxLength": 2}, ['"a"', r'"\n\""'], ['""', '"abc"']),
        ({"type": "string", "pattern": "^a+$"}, ['"aa"'], ['"ab"', '""']),
        ({"type": "string", "pattern": "a"}, ['"xax"'], ['"x"']),
        ({"type": "string", "pattern": '^"\\\\\n$'}, [r'"\"\\\n"'], ['"""']),
        ({"type": "string", "format": "date"}, ['"2026-11-29"'], ['"29.11.2026"']),
        ({"type": "string", "format": "date-time"}, ['"2026-11-29T21:00:00Z"'], ['"2026-11-29"']),
        ({"type": "string", "format": "unheard-of"}, ['"x"'], ["1"]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, ["[1, 2,3]"], ["[1]"]),
        ({"type": "array", "maxItems": 0}, ["[]"], ["[1]"]),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}]},
            ["[1,null]"],
            ["[1]", "[1,null,1]"],
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "null"}},
            ["[1]", "[1,null,null]"],
            ["[]", "[null]"],
        ),
        (
            {"type": "array", "items": [{"type": "integer"}], "additionalItems": False},
            ["[1]"],
            ["[]"],
        ),
        (
            {"allOf": [{"properties": {"a": {"type": "null"}}}, {"required": ["a"]}]},
            ['{"a":null}'],
            ["{}"],
        ),
        (
            {"properties": {"a": {}}, "anyOf": [{"required": ["a"]}, {"properties": {"b": {}}}]},
            ['{"a":1}', '{"b":1}', "{}"],
            ['{"c":1}'],
        ),
        ({"type": "number", "minimum": 0}, ["0", "0.5", "12.25", "100"], ["-1", "1e3"]),
        (
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            ["0.5", "1", "1.0"],
            ["0", "0.0"],
        ),
        (
            {"type": "number", "minimum": -2, "exclusiveMaximum": 2},
            ["-2", "-1.5", "1.9"],
            ["2", "-2.1"],
        ),
        ({"type": "integer", "exclusiveMinimum": 1, "maximum": 3.5}, ["2", "3"], ["1", "4"]),
    ],
)
def test_takes(schema: Any, good: list[str], bad: list[str]) -> None:
    for text in good:
        json.loads(text)
        assert accepts(schema, text), text
    for text in bad:
        assert not accepts(schema, text), text
    assert as_gbnf(schema).startswith("root ::= ")


@given(st.integers(-2000, 2000), st.integers(0, 3000), st.integers(-6000, 6000))
def test_whole_numbers_in_a_range(low: int, width: int, value: int) -> None:
    high = low + width
    assert takes(json_texts.integer(low, high), str(value)) == (low <= value <= high)
    assert takes(json_texts.integer(low, None), str(value)) == (value >= low)
    assert takes(json_texts.integer(None, high), str(value)) == (value <= high)


@given(
    *(st.integers(-30, 30), st.integers(1, 40), st.booleans(), st.booleans()),
    st.decimals(-80, 80, places=2).map(lambda value: str(value.normalize() + 0)),
)
def test_numbers_in_a_range(low: int, width: int, is_open: bool, ends: bool, text: str) -> None:
    if "E" in text:
        return
    value, high = float(text), low + width
    node = json_texts.number(Bound(low, is_open), Bound(high, ends))  # type: ignore[arg-type]
    is_in = (low < value or (low == value and not is_open)) and (
        value < high or (value == high and not ends)
    )
    assert takes(node, text) == is_in


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, "the type 'objekt', which JSON has not"),
        ({"properties": {"a": {"type": "text"}}}, "at #/properties/a"),
        ({"not": {"type": "string"}}, "`not`"),
        ({"type": "array", "uniqueItems": True}, "`uniqueItems`"),
        ({"type": "number", "multipleOf": 0.5}, "`multipleOf`"),
        ({"$ref": "#/$defs/none"}, "where nothing is"),
        ({"$ref": "other.json"}, "not in the schema itself"),
        ({"$ref": "#"}, "begins with itself"),
        ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "begins with itself"),
        ({"allOf": [{"$ref": "#"}]}, "nested too deeply|leads nowhere"),
        ({"enum": []}, "`enum` without a list"),
        ({"type": "string", "minLength": 3, "maxLength": 1}, "above"),
        ({"type": "string", "maxLength": -1}, "no count"),
        ({"type": "string", "pattern": "a", "maxLength": 1}, "beside `pattern`"),
        ({"type": "string", "pattern": "(?=a)"}, "looks around"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "there is none"),
        ({"type": "integer", "minimum": "3"}, "no number"),
        ({"type": "number", "minimum": 0.5}, "only whole ones"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "two different `type`"),
        ({"properties": {"a": {}}, "required": ["b"]}, "requires `b`"),
        ({"properties": []}, "no object"),
        (False, "no schema"),
        ("x", "no schema"),
        ({"type": "array", "prefixItems": [{}], "minItems": 2}, "wants 2 items"),
    ],
)
def test_refused_with_the_reason(schema: Any, words: str) -> None:
    with pytest.raises(InvalidParameters, match="`grammar`.*" + f"(?:{words})"):
        as_gbnf(schema)


def test_deep_schema_is_refused() -> None:
    schema: Any = {"type": "null"}
    for _ in range(200):
        schema = {"type": "array", "items": schema}
    with pytest.raises(InvalidParameters, match="nested too deeply"):
        as_gbnf(schema)


def test_schema_that_multiplies_is_refused() -> None:
    again = {"$ref": "#/$defs/a", "type": "object"}
    schema = {"$defs": {"a": {"properties": {"l": again, "r": again}}}, **again}
    with pytest.raises(InvalidParameters, match=r"too large|too deeply"):
        as_gbnf(schema)


def test_deep_description_is_passed_over() -> None:
    examples: Any = []
    for _ in range(500):
        examples = [examples]
    schema = {"type": "string", "examples": examples}
    assert as_gbnf(schema).startswith("root ::= ")
    assert not is_beyond_llama_cpp(schema)


def test_description_without_an_end_is_refused() -> None:
    examples: Any = []
    for _ in range(100_000):
        examples = [examples]
    with pytest.raises(InvalidParameters, match="nested too deeply"):
        as_gbnf({"type": "string", "examples": examples})


def test_schema_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidParameters, match="too large"):
        as_gbnf({"enum": ["x" * 1000] * 200})


def test_size_grows_with_the_number_of_properties() -> None:
    def size(count: int) -> int:
        return len(as_gbnf({"properties": {f"p{n}": {"type": "null"} for n in range(count)}}))

    assert size(200) < 2.5 * size(100)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
)
_KEYS = st.sampled_from(
    [
        *("type", "properties", "items", "anyOf", "allOf", "$ref", "enum", "const", "pattern"),
        *("required", "minimum", "maxLength", "additionalProperties", "prefixItems", "format"),
    ]
)


@given(st.recursive(_VALUES, lambda inner: st.dictionaries(_KEYS, inner, max_size=4)))
def test_anything_is_taken_or_refused(schema: Any) -> None:
    with suppress(InvalidParameters):
        assert as_gbnf(schema)
