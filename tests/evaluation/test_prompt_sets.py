"""Prompt sets: versions, ids of prompts, and files that are read again to the same."""

import csv
import dataclasses
import io
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.core.protocol import Message
from server.evaluation.checks.declarations import Contains, Json, JsonSchema
from server.evaluation.files.csv_text import defused, restored
from server.evaluation.files.reading import read_prompts
from server.evaluation.files.writing import write_csv, write_json_lines
from server.evaluation.prompt_set import Prompt, PromptSet
from server.evaluation.templates import escape, fill, variables_of

NO_HALVES = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ODD = st.sampled_from(["=1+1", "'=1", "''", "@a", "\t", "\r", "\n", "-", "+", "{{x}}", ',";|', "ï"])
TEXT = st.one_of(st.text(NO_HALVES, max_size=8), ODD, st.tuples(ODD, ODD).map("".join))
FULL = TEXT.filter(str.strip)
NAMES = st.sampled_from(["a", "Expected", "=b", "-c", "d e", "'f", "é;", "x|y", "set", "prompt"])
CHECKS = st.lists(
    st.one_of(
        st.builds(Contains, FULL.map(escape), st.booleans()),
        st.builds(Json, st.booleans()),
        st.just(JsonSchema({"type": "object", "properties": {"b": {}, "a": {"minimum": 1.0}}})),
    ),
    max_size=2,
).map(tuple)
TAGS = st.lists(st.text(NO_HALVES, min_size=1, max_size=5), max_size=3).map(tuple)
DIALOGUES = st.lists(FULL.map(lambda text: Message("assistant", text)), max_size=2).flatmap(
    lambda before: FULL.map(lambda text: (*before, Message("user", text)))
)


def _full(prompt: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in prompt.items() if value}


@st.composite
def prompt_sets(draw: st.DrawFn) -> PromptSet:
    """Draw prompt sets that could have been read."""
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    asked = names[: draw(st.integers(1, len(names)))]
    template = "T " + " ".join(f"{{{{{name}}}}}" for name in asked)
    prompts = []
    for _ in range(draw(st.integers(1, 4))):
        variables = _full({name: draw(TEXT) for name in names})
        messages = draw(st.one_of(st.just(()), DIALOGUES))
        if messages:
            variables = {name: text for name, text in variables.items() if name not in asked}
        prompts.append(
            Prompt(variables, messages, draw(TEXT), draw(TEXT), draw(CHECKS), draw(TAGS))
        )
    return PromptSet(draw(TEXT), tuple(prompts), template, draw(TEXT), draw(CHECKS))


@settings(max_examples=200)
@given(prompt_sets())
def test_a_prompt_set_is_written_and_read_again_the_same(prompt_set: PromptSet) -> None:
    for written in (write_csv(prompt_set), write_json_lines(prompt_set)):
        found = read_prompts(written).prompt_set
        assert found == prompt_set
        assert found.version == prompt_set.version
        assert found.prompt_ids == prompt_set.prompt_ids


@given(prompt_sets())
def test_no_cell_that_is_written_would_be_computed(prompt_set: PromptSet) -> None:
    text = write_csv(prompt_set).decode("utf-8-sig")
    for row in csv.reader(io.StringIO(text, newline="")):
        assert not any(cell.startswith(tuple("=+-@\t\r\n")) for cell in row)


@given(TEXT)
def test_a_defused_cell_is_restored(cell: str) -> None:
    assert restored(defused(cell)) == cell


def test_an_apostrophe_stays_in_tables_of_others() -> None:
    found = read_prompts(b"prompt\n'=1+1\n").prompt_set
    assert found.prompts == (Prompt({"prompt": "'=1+1"}),)


def test_our_table_survives_being_sorted_and_saved_with_other_delimiters() -> None:
    prompt_set = PromptSet(
        "=s", (Prompt({"prompt": "b"}), Prompt({"prompt": "a"})), system="-", checks=(Json(),)
    )
    text = write_csv(prompt_set).decode("utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    written = io.StringIO()
    csv.writer(written, delimiter=";").writerows([header, *sorted(rows)])
    found = read_prompts(written.getvalue().encode("cp1252")).prompt_set
    assert found == dataclasses.replace(prompt_set, prompts=prompt_set.prompts[::-1])


def test_a_version_follows_from_the_content_and_not_from_the_name() -> None:
    """Pinned: results that were stored name the version they are of."""
    one = PromptSet("a", (Prompt({"prompt": "x", "b": "y"}),), checks=(Contains("z"),))
    assert one.version == "534ddebe0418b522"
    assert dataclasses.replace(one, name="b").version == one.version
    turned = PromptSet("a", (Prompt({"b": "y", "prompt": "x"}),), checks=(Contains("z"),))
    assert turned.version == one.version
    for other in (
        dataclasses.replace(one, template="{{b}}"),
        dataclasses.replace(one, system="s"),
        dataclasses.replace(one, checks=()),
        dataclasses.replace(one, prompts=one.prompts * 2),
    ):
        assert other.version != one.version


def test_a_prompt_keeps_its_id_in_other_versions_and_twins_are_numbered() -> None:
    prompt, other = Prompt({"prompt": "x"}), Prompt({"prompt": "y"})
    one = PromptSet("", (prompt, other, prompt))
    two = PromptSet("", (other, dataclasses.replace(prompt, expected="z", checks=(Json(),))))
    first, second, third = one.prompt_ids
    assert third == f"{first}-2"
    assert two.prompt_ids == (second, first)


def test_a_prompts_own_system_prompt_replaces_that_for_all() -> None:
    dialogue = (Message("system", "own"), Message("user", "x"))
    one = PromptSet(
        "", (Prompt({"prompt": "x"}, system="s"), Prompt(messages=dialogue)), system="all"
    )
    systems = [one.messages_of(prompt)[0].content for prompt in one.prompts]
    assert systems == ["s", "own"]


@given(TEXT)
def test_an_escaped_text_is_a_template_of_itself(text: str) -> None:
    if not text.endswith("\\") and "\\{{" not in text:
        assert fill(escape(text), {}) == text
        assert variables_of(escape(text)) == []
