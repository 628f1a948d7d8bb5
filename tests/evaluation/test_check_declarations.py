"""Declarations of checks: read, refused with their place, written again, bound to a prompt."""

from typing import Any, get_args

import pytest

from server.core.errors import InvalidPromptSet
from server.evaluation.checks import declarations
from server.evaluation.checks.declarations import Check, Equals, Number, Regex
from server.evaluation.checks.reading import as_data, bind, checks_in, variables_in
from server.evaluation.problems import Problem, invalid
from tests.support.checks import declared_checks

ONE_OF_EACH: list[dict[str, Any]] = [
    {"type": "equals", "value": "Paris", "ignore_case": True},
    {"type": "contains", "value": "Paris"},
    {"type": "not_contains", "value": "Lyon"},
    {"type": "contains_any", "values": ["a", "b"]},
    {"type": "contains_all", "values": ["a", "b"]},
    {"type": "regex", "pattern": r"\bParis\b", "whole": True},
    {"type": "json", "fenced": True},
    {"type": "json_schema", "schema": {"type": "object", "required": ["a"]}},
    {"type": "number", "value": 3.5, "relative": 0.01},
    {"type": "length", "unit": "words", "max": 20},
    {"type": "code", "language": "python"},
    {"type": "refuses"},
    {"type": "answers"},
    {"type": "command", "name": "units", "options": {"least": 2}},
    {"type": "all_of", "checks": [{"type": "json"}, {"type": "answers"}]},
    {"type": "any_of", "checks": [{"type": "json"}]},
    {"type": "none_of", "checks": [{"type": "regex", "pattern": "!"}]},
]


def test_every_kind_is_read_and_written_as_it_was() -> None:
    checks = declared_checks(ONE_OF_EACH)
    assert [as_data(check) for check in checks] == ONE_OF_EACH
    assert {type(check) for check in checks} == set(declarations.KINDS) == set(get_args(Check))
    assert declared_checks(ONE_OF_EACH[0]) == checks[:1]


@pytest.mark.parametrize(
    ("declared", "place", "words"),
    [
        ("contains Paris", "checks", "a list of objects"),
        ([{"type": "json"}] * 51, "checks", "more than 50"),
        (["contains Paris"], "checks[0]", "an object with a `type`"),
        ([{"value": "Paris"}], "checks[0]", "needs a `type`"),
        ([{"type": "contain"}], "checks[0].type", "is it 'contains'?"),
        ([{"type": "Not-Contains"}], "checks[0].type", "is it 'not_contains'?"),
        ([{"type": ["json"]}], "checks[0].type", "is no type of check"),
        ([{"type": "xyz"}], "checks[0].type", "there are equals, contains"),
        ([{"type": "contains"}], "checks[0]", "missing required field `value`"),
        ([{"type": "contains", "value": ""}], "checks[0].value", "length >= 1"),
        ([{"type": "contains", "value": 5}], "checks[0].value", "Expected `str`"),
        ([{"type": "contains", "value": "a", "case": 1}], "checks[0]", "unknown field `case`"),
        ([{"type": "regex", "pattern": "("}], "checks[0].pattern", "missing )"),
        ([{"type": "regex", "pattern": "(?=a)"}], "checks[0].pattern", "RE2's syntax"),
        ([{"type": "regex", "pattern": "\ud800"}], "checks[0].pattern", "surrogate"),
        ([{"type": "json_schema", "schema": {"type": "objekt"}}], "checks[0].schema", "objekt"),
        ([{"type": "json_schema", "schema": {"pattern": "("}}], "checks[0].schema", "regex"),
        ([{"type": "json_schema", "schema": {"minLength": "a"}}], "checks[0].schema", "no JSON"),
        (
            [{"type": "json_schema", "schema": {"$ref": "http://127.0.0.1:9/a.json"}}],
            "checks[0].schema",
            "Retrieval is disabled",
        ),
        (
            [{"type": "json_schema", "schema": {"$ref": "file:///etc/passwd"}}],
            "checks[0].schema",
            "Retrieval is disabled",
        ),
        ([{"type": "number", "value": "many"}], "checks[0].value", "'many' is no number"),
        ([{"type": "number", "value": "nan"}], "checks[0].value", "'nan' is no number"),
        ([{"type": "number", "value": "3 or 4"}], "checks[0].value", "'3 or 4' is no number"),
        ([{"type": "number", "value": 1, "absolute": -1}], "checks[0].absolute", ">= 0"),
        ([{"type": "length"}], "checks[0]", "needs `min` or `max`"),
        ([{"type": "length", "min": 3, "max": 2}], "checks[0].min", "`min` is above `max`"),
        ([{"type": "code", "language": "cobol"}], "checks[0].language", "Invalid enum value"),
        ([{"type": "any_of", "checks": []}], "checks[0].checks", "length >= 1"),
        (
            [{"type": "any_of", "checks": [{"type": "regex", "pattern": "["}]}],
            "checks[0].checks[0].pattern",
            "missing ]",
        ),
        (
            [{"type": "any_of", "checks": [{"type": "jsn"}]}],
            "checks[0].checks[0].type",
            "is it 'json'?",
        ),
    ],
)
def test_a_wrong_declaration_is_told_with_its_place(declared: Any, place: str, words: str) -> None:
    _, ((where, said),) = checks_in(declared, "checks")
    assert where == place
    assert words in said


def test_all_wrong_declarations_are_told_at_once() -> None:
    declared = [{"type": "a"}, {"type": "json"}, {"type": "b"}, {"type": "regex"}]
    checks, problems = checks_in(declared, "checks")
    assert [place for place, _ in problems] == ["checks[0].type", "checks[2].type", "checks[3]"]
    assert checks == declared_checks({"type": "json"})
    error = invalid([Problem(said, column=place) for place, said in problems])
    assert "and 2 more" in error.message


def test_checks_cannot_be_nested_without_end() -> None:
    declared: dict[str, Any] = {"type": "json"}
    for _ in range(500):
        declared = {"type": "any_of", "checks": [declared]}
    _, ((_, said),) = checks_in(declared, "checks")
    assert "nested more than 5 deep" in said


def test_a_check_takes_variables_of_the_prompt() -> None:
    equals, regex, number, inner = declared_checks(
        [
            {"type": "equals", "value": "{{expected}} of {{ country }}"},
            {"type": "regex", "pattern": "^{{expected}}$"},
            {"type": "number", "value": "{{expected}}"},
            {"type": "any_of", "checks": [{"type": "contains_any", "values": ["{{a}}", "b"]}]},
        ]
    )
    assert variables_in(equals) == ["expected", "country"]
    assert variables_in(inner) == ["a"]
    assert bind(equals, {"expected": "{{x}}", "country": "Mali"}) == Equals("{{x}} of Mali")
    assert bind(number, {"expected": "2"}) == Number("2")
    bound = bind(regex, {"expected": "1.5 (a)"})
    assert isinstance(bound, Regex)
    assert bound.pattern == r"^1\.5\ \(a\)$"
    with pytest.raises(InvalidPromptSet, match="'two' is no number"):
        bind(number, {"expected": "two"})
    with pytest.raises(KeyError):
        bind(number, {})


def test_braces_that_are_no_variable_are_escaped() -> None:
    (check,) = declared_checks([{"type": "equals", "value": r"\{{x}}"}])
    assert variables_in(check) == []
    assert bind(check, {}) == Equals("{{x}}")
