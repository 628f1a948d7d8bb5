"""What a file of prompts is taken for where nobody says it, and the order of what is wrong."""

import pytest

from server.core.errors import InvalidPromptSet
from server.evaluation.files.building import Common, PromptLimits
from server.evaluation.files.reading import PromptFile, read_prompts


def taken(text: str, **common: str) -> PromptFile:
    return read_prompts(text.encode(), common=Common(**common))


def wrong(text: str, **common: str) -> list[tuple[int | None, str | None]]:
    with pytest.raises(InvalidPromptSet) as caught:
        taken(text, **common)
    return [(one["row"], one["column"]) for one in (caught.value.details or {})["problems"]]


@pytest.mark.parametrize(
    "text",
    [
        "Name a river.\nName a sea.\n",
        "Name a river, please.\nName a sea, please.\n",
        "Hello, world\nOne; two | three\n",
        "# Heading\n\n- Name a river.\n",
        "River\nSea\n",
        "Frage\nWas ist das?",
        "System, explain yourself, briefly.\nName a sea.\nName a lake.\n",
        "{{name}} is unknown.\nWho is {{name}}?",
        "[Anna] Who are you?\n[Ben] And you?",
        "a,b\n",
        "Why?",
    ],
)
def test_lines_lose_none_of_them(text: str) -> None:
    found = taken(text)
    assert (found.form, found.delimiter) == ("lines", None)
    expected = [line for line in text.split("\n") if line.strip()]
    assert [dict(one.variables) for one in found.prompt_set.prompts] == [
        {"prompt": line} for line in expected
    ]


@pytest.mark.parametrize(
    ("text", "common"),
    [
        ("prompt\nWhy?\n", {}),
        ("Prompt;Note\nWhy?;x\n", {}),
        ("country,expected\nPeru,Lima\n", {}),
        ("sep=,\ncountry\nPeru\n", {}),
        ("country,capital\nPeru,Lima\n", {"template": "Of {{country}}?"}),
        ("country\nPeru\n", {"template": "Of {{country}}?"}),
        ("country,capital\nPeru,Lima\n", {"prompt_column": "country"}),
        ("country\nPeru\n", {"prompt_column": "country"}),
    ],
)
def test_a_table_shows_that_it_is_one(text: str, common: dict[str, str]) -> None:
    assert taken(text, **common).form == "csv"


def test_names_over_lines_that_fit_are_a_table_whose_prompt_is_asked_for() -> None:
    assert wrong("country,capital\nPeru,Lima\n") == [(None, "prompt")]


@pytest.mark.parametrize("text", ['{"prompt": "a"', '["a"]', "[]", "[", "{'a': 1}", "{Anna}"])
def test_what_begins_as_json_does_is_json_lines_and_may_be_wrong(text: str) -> None:
    assert taken('\n {"prompt": "a"}').form == "jsonl"
    assert wrong(text) == [(1, None)]
    assert wrong(f"\n\n{text}") == [(3, None)]


def test_lines_are_counted_with_the_blank_ones_and_bounded() -> None:
    limits = PromptLimits(max_prompts=1, max_prompt_chars=9)
    for text, place in (("a\r\n\r\nb", 3), ("\n\nToo many characters", 3), (" \n", None)):
        with pytest.raises(InvalidPromptSet) as caught:
            read_prompts(text.encode(), form="lines", limits=limits)
        assert (caught.value.details or {})["problems"][0]["row"] == place


def test_problems_are_told_by_line_and_column_not_as_they_are_found() -> None:
    # Ragged lines are found while the table is read, and what is in the others behind that.
    text = 'prompt,checks,expected,\n,{},x,\n,{},"\0",\nonly\na,,,y\n'
    assert wrong(text) == [
        *((1, "4"), (2, "checks[0]"), (3, "checks[0]"), (3, "expected"), (4, "checks")),
    ]
