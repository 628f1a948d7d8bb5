"""What `run.py evaluate` makes of a file's name, and tells of it before it is asked."""

from pathlib import Path
from typing import Any

import pytest

from server.evaluate.set_files import form_of, is_unchecked, look_words


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.txt", "lines"),
        ("plain.MD", "lines"),
        ("a.b.csv", "csv"),
        ("a.tsv", "csv"),
        ("a.ndjson", "jsonl"),
        ("a.json", "auto"),
        ("prompts", "auto"),
    ],
)
def test_the_ending_of_a_file_says_what_it_is(name: str, form: str) -> None:
    assert form_of(Path(name)) == form


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (
            {"prompts": 2, "checks": 0, "delimiter": None, "form": "lines"},
            "2 prompts, one a line; no checks: nothing passes or fails",
        ),
        (
            {"prompts": 1, "checks": 3, "delimiter": "\t", "form": "csv"},
            "1 prompt, a table with columns between tabs",
        ),
        ({"prompts": 1200, "checks": 1, "delimiter": None, "form": "jsonl"}, "1,200 prompts"),
        # An earlier gateway does not tell the form.
        ({"prompts": 2, "checks": 1, "delimiter": None}, "2 prompts"),
    ],
)
def test_what_was_found_is_told_in_words(look: dict[str, Any], words: str) -> None:
    assert look_words(look) == words


def test_results_are_unchecked_where_there_are_answers_and_none_of_a_check() -> None:
    def target(count: int, answers: object) -> dict[str, Any]:
        return {"figures": {"count": count, "answers": answers}}

    assert is_unchecked([target(2, None), target(0, None)])
    assert not is_unchecked([target(0, None)])
    assert not is_unchecked([target(2, None), target(2, {"passed": 0})])
