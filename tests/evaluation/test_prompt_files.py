"""Files of prompts: as people's programs write them, and all that is wrong in its place."""

import json
from typing import Any

import pytest

from server.core.errors import InvalidPromptSet
from server.core.protocol import Message
from server.evaluation.checks.declarations import Contains, Equals
from server.evaluation.files.building import Common, PromptLimits
from server.evaluation.files.reading import PromptFile, read_prompts
from server.evaluation.prompt_set import Prompt, PromptSet

BASIC = "prompt,expected\nCapital of France?,Paris\nCapital of Italy?,Rome\n"
DIALOGUE = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "!"}]},
]


def read(text: str | bytes, **common: Any) -> PromptFile:
    data = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    return read_prompts(data, common=Common(**common))


def prompts(text: str | bytes, **common: Any) -> list[dict[str, str]]:
    return [dict(one.variables) for one in read(text, **common).prompt_set.prompts]


def problems(text: str | bytes, **common: Any) -> list[tuple[int | None, str | None, str]]:
    with pytest.raises(InvalidPromptSet) as caught:
        read(text, **common)
    details = caught.value.details
    assert details is not None
    return [(one["row"], one["column"], one["message"]) for one in details["problems"]]


def lines(*rows: object) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


# --- CSV ------------------------------------------------------------------------------------------


def test_a_table_is_read() -> None:
    found = read(BASIC)
    assert (found.form, found.encoding, found.delimiter) == ("csv", "utf-8", ",")
    assert found.prompt_set == PromptSet(
        "",
        (
            Prompt({"prompt": "Capital of France?"}, expected="Paris"),
            Prompt({"prompt": "Capital of Italy?"}, expected="Rome"),
        ),
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(delimiter: str) -> None:
    text = f'prompt{delimiter}topic\r\n"a, b; c"{delimiter}x\r\nd{delimiter}y\r\n'
    found = read(text)
    assert found.delimiter == delimiter
    assert prompts(text) == [{"prompt": "a, b; c", "topic": "x"}, {"prompt": "d", "topic": "y"}]


def test_a_line_says_the_delimiter_as_spreadsheets_write_it() -> None:
    text = "sep=;\r\nprompt;b\r\na,c;d\r\n;e\r\n"
    assert read("sep=;\r\nprompt;b\r\na,c;d\r\n").delimiter == ";"
    assert problems(text) == [(4, "prompt", "the prompt is empty")]


def test_one_column_may_have_any_delimiter_in_its_text() -> None:
    text = "prompt\nHello, world\nOne; two\n"
    assert prompts(text) == [{"prompt": "Hello, world"}, {"prompt": "One; two"}]


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
    ],
)
def test_the_encodings_that_people_have_are_read(encoding: str, told: str) -> None:
    data = "prompt\nWie groß ist „Köln“?\n".encode(encoding)
    assert read(data).encoding == told
    assert prompts(data) == [{"prompt": "Wie groß ist „Köln“?"}]
    in_big_endian = b"\xfe\xff" + "prompt\né\n".encode("utf-16-be")
    assert prompts(in_big_endian) == [{"prompt": "é"}]


@pytest.mark.parametrize(
    ("data", "row", "words"),
    [
        ("prompt\na\n".encode("utf-16-le"), None, "UTF-16 without its mark"),
        (b"prompt\nok\na\x81b\n", 3, "0x81 is neither UTF-8 nor Windows-1252"),
        (b"\xef\xbb\xbfprompt\na\xff\n", 2, "no correct utf-8"),
    ],
)
def test_bytes_that_are_no_text_are_told(data: bytes, row: int | None, words: str) -> None:
    ((found, _, message),) = problems(data)
    assert found == row
    assert words in message


def test_cells_in_quotes_have_line_ends_and_lines_are_counted_on() -> None:
    text = 'prompt,expected\n"a\r\nb\n\n""c""",x\n\n,y\n'
    assert problems(text) == [(7, "prompt", "the prompt is empty")]
    assert prompts(text.replace("\n,y", "\nd,y"))[0] == {"prompt": 'a\r\nb\n\n"c"'}


def test_empty_columns_of_spreadsheets_are_ignored() -> None:
    assert prompts("prompt,,\na,,\nb,,,,\n") == [{"prompt": "a"}, {"prompt": "b"}]


def test_the_words_of_a_header_are_known_in_any_case() -> None:
    found = read("Prompt,Expected,Topic\na,b,c\n").prompt_set
    assert found.prompts == (Prompt({"prompt": "a", "Topic": "c"}, expected="b"),)


def test_dialogues_checks_and_tags_stand_in_cells() -> None:
    checks = '[{""type"": ""contains"", ""value"": ""x""}]'
    dialogue = json.dumps(DIALOGUE).replace('"', '""')
    found = read(f'prompt,messages,checks,tags\n,"{dialogue}","{checks}","a, b"\nc,,,\n')
    assert found.prompt_set.prompts == (
        Prompt(
            messages=(Message("system", "Be brief."), Message("user", "Hi!")),
            checks=(Contains("x"),),
            tags=("a", "b"),
        ),
        Prompt({"prompt": "c"}),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(None, None, "the file is empty")]),
        ("\n\n", [(None, None, "the file is empty")]),
        ("prompt,a\n", [(None, None, "the file has no prompts")]),
        ("prompt,a,a\nx,y,z\n", [(1, "a", "there are two columns of this name")]),
        (
            "prompt,\nx,\nv,y\nw,z\n",
            [(1, "2", "the column has no name, and line 3 has a text in it")],
        ),
        ('prompt,a\nx,"y\nz\n', [(2, None, "a quote is opened and never closed")]),
        ('prompt,a\nx,y\nx,"y"z\n', [(3, None, "the quotes are wrong")]),
        (
            "prompt,set:name,set:system\nx,one,s\ny,one,\nz,other,\n",
            [(4, "set:name", "another line says something else")],
        ),
        ("prompt,a\nx,y\0\n", [(2, "a", "the text has a null character")]),
        ("prompt,a{b\nx,y\n", [(2, "a{b", "a variable's name has up to 100 characters")]),
        ("prompt,set:size\nx,y\n", [(1, "set:size", "no column may be called `set:…`")]),
        ("prompt,prompt_set\nx,y\n", [(2, "prompt_set", "the name stands for what is common")]),
        ("prompt,checks\nx,[\n", [(2, "checks", "the cell is no JSON")]),
        ('prompt,checks\nx,"{""a"":1,""a"":2}"\n', [(2, "checks", "'a' is there twice")]),
        ("prompt,checks\nx,5\n", [(2, "checks", "checks are a list of objects")]),
        ("prompt,messages\n,{}\n", [(2, "messages", "a dialogue is a list")]),
        (
            "a,b\nx,y\n",
            [(None, "prompt", "has no such column: it has `a`, `b`. Name the column")],
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_told_in_its_place(
    text: str, expected: list[tuple[int | None, str | None, str]]
) -> None:
    found = problems(text)
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    assert all(one[2] in other[2] for one, other in zip(expected, found, strict=True))


def test_lines_with_too_few_and_too_many_cells_are_told_with_all_else() -> None:
    found = problems('prompt,a,checks\nx,y\nx,y,z,w\n,y,\nx,y,"[{""type"":""jsn""}]"\n')
    assert [one[:2] for one in found] == [
        (2, "checks"), (3, "checks"), (4, "prompt"), (5, "checks[0].type"),
    ]  # fmt: skip
    assert "the line has 4 cells, and the header 3" in found[1][2]
    assert "is it 'json'?" in found[3][2]


def test_twenty_problems_are_told_and_no_more() -> None:
    found = problems("prompt,a\n" + ",b\n" * 30)
    assert [one[0] for one in found] == list(range(2, 22))


# --- JSON Lines -----------------------------------------------------------------------------------


def test_json_lines_are_read() -> None:
    text = lines(
        {"prompt": "a\u2028b", "n": 5, "flag": True, "none": None, "tags": ["x, y"]},
        {"prompt": "c", "expected": 4.5, "system": "Be kind.", "checks": {"type": "json"}},
        {"messages": DIALOGUE},
    )
    found = read(text.replace("\n", "\r\n\r\n"))
    assert (found.form, found.delimiter) == ("jsonl", None)
    first, second, third = found.prompt_set.prompts
    assert first == Prompt({"prompt": "a\u2028b", "n": "5", "flag": "true"}, tags=("x, y",))
    assert (second.expected, second.system, len(second.checks)) == ("4.5", "Be kind.", 1)
    assert third.messages == (Message("system", "Be brief."), Message("user", "Hi!"))


def test_the_first_line_may_say_what_is_common_to_all() -> None:
    checks = [{"type": "equals", "value": "{{expected}}"}]
    common = {"name": "cities", "template": "In {{a}}?", "system": "Short.", "checks": checks}
    text = lines({"prompt_set": common}, {"a": "Mali", "expected": "Bamako"})
    found = read(text).prompt_set
    assert (found.name, found.template, found.system) == ("cities", "In {{a}}?", "Short.")
    (prompt,) = found.prompts
    assert found.checks_of(prompt) == [Equals("Bamako")]
    assert found.messages_of(prompt) == [Message("system", "Short."), Message("user", "In Mali?")]
    # What a caller says comes before what the file says.
    assert read(text, name="other", checks=[]).prompt_set.checks == ()
    assert read(text, name="other").prompt_set.name == "other"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"prompt": "a"\n', [(1, None, "the line is no JSON: Expecting ',' delimiter")]),
        ('[{"prompt": "a"}]\n', [(1, None, "without brackets around")]),
        ('{"prompt": "a"}\n\n5\n', [(3, None, "the line is no object")]),
        ('{"prompt": "a", "n": NaN}\n', [(1, None, "NaN is not of it")]),
        ('{"prompt": "a", "prompt": "b"}\n', [(1, "prompt", "the key is there twice")]),
        ('{"prompt": "\\ud800"}\n', [(1, "prompt", "half of a surrogate pair")]),
        ('{"prompt": "a\\u0000"}\n', [(1, "prompt", "a null character")]),
        ('{"a":' * 100_000 + "\n", [(1, None, "nested too deeply")]),
        (lines({"prompt": ["a"]}), [(1, "prompt", "neither a text nor a number")]),
        (lines({"prompt": " "}), [(1, "prompt", "the prompt is empty")]),
        (lines({"prompt": "a"}, {"b": "c"}), [(2, "prompt", "the line does not have")]),
        (lines({"prompt": "a", " b": "c"}), [(1, " b", "no spaces around it")]),
        (lines({"prompt": "a", "tags": "x"}), [(1, "tags", "tags are a list of texts")]),
        (lines({"prompt": "a", "tags": [""]}), [(1, "tags", "up to 50 tags")]),
        (lines({"messages": []}), [(1, "messages", "1 to 1000 messages")]),
        (lines({"messages": ["a"]}), [(1, "messages[0]", "`role` and `content`")]),
        (lines({"messages": [{"role": "user"}]}), [(1, "messages[0].content", "no text")]),
        (
            lines({"messages": [{"role": "tool", "content": "a"}]}),
            [(1, "messages[0].role", "none of system, user, assistant, developer")],
        ),
        (
            lines({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
            [(1, "messages[0].content", "the content is no text")],
        ),
        (
            lines({"messages": [{"role": "assistant", "content": "a"}]}),
            [(1, "messages[0]", "the last message of a dialogue is the user's")],
        ),
        (
            lines({"messages": DIALOGUE, "system": "a", "prompt": "b"}),
            [(1, "prompt", "a dialogue (`messages`) and a prompt"), (1, "system", "another one")],
        ),
        (
            lines({"prompt": "a"}, {"prompt_set": {}}),
            [(2, "prompt_set", "stands in the first line")],
        ),
        (
            lines({"prompt_set": {"templat": "a"}, "b": 1}, {"prompt": "a"}),
            [(1, "b", "has no prompt"), (1, "templat", "there is no such key")],
        ),
        (
            lines({"prompt_set": {"system": ["s"], "name": "n" * 301}}, {"prompt": "a"}),
            [(None, "name", "more than 300 characters"), (1, "system", "the value is no text")],
        ),
        (lines({"prompt_set": 5}, {"prompt": "a"}), [(1, "prompt_set", "is an object")]),
        (
            lines({"prompt_set": {"checks": [{"type": "regex", "pattern": "("}]}}, {"prompt": "a"}),
            [(1, "checks[0].pattern", "missing )")],
        ),
        (
            lines({"prompt": "a", "checks": [{"type": "equals", "value": "\ud800"}]}),
            [(1, "checks", "half of a surrogate pair")],
        ),
    ],
)
def test_what_is_wrong_with_json_lines_is_told_in_its_place(
    text: str, expected: list[tuple[int | None, str | None, str]]
) -> None:
    found = problems(text)
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    assert all(one[2] in other[2] for one, other in zip(expected, found, strict=True))


# --- templates ------------------------------------------------------------------------------------


def test_the_column_of_the_prompts_may_be_named_or_be_the_only_one() -> None:
    asked = read("question,answer\nWhy?,So.\n", prompt_column="question").prompt_set
    assert asked.template == "{{question}}"
    assert asked.messages_of(asked.prompts[0]) == [Message("user", "Why?")]
    named = read_prompts(b"question\nWhy?\n", form="csv")
    assert named.prompt_set.template == "{{question}}"


def test_a_template_takes_variables_and_puts_them_in_as_they_are() -> None:
    text = lines({"a": "{{b}}", "Long name": "x"})
    found = read(text, template=r"{{ a }} {{Long name}} \{{a}} {{}} { {a} }").prompt_set
    (message,) = found.messages_of(found.prompts[0])
    assert message.content == "{{b}} x {{a}} {{}} { {a} }"


def test_a_variable_that_no_line_has_is_told_once() -> None:
    found = problems("a,b\nx,y\nz,w\n", template="{{a}} {{c}}")
    assert [one[:2] for one in found] == [(None, "c")]


@pytest.mark.parametrize(
    ("value", "row", "words"),
    [("{{expected}}", 3, "which the line does not have"), ("{{c}}", 2, "takes this variable")],
)
def test_a_check_for_all_needs_its_variables_in_every_line(
    value: str, row: int, words: str
) -> None:
    checks = [{"type": "contains", "value": value}]
    found = problems("prompt,expected\na,b\nc,\n", checks=checks)
    assert found[0][0] == row
    assert words in found[0][2]


def test_a_check_that_a_line_makes_wrong_is_told_in_that_line() -> None:
    checks = [{"type": "number", "value": "{{expected}}"}]
    ((row, column, message),) = problems("prompt,expected\na,5\nb,five\n", checks=checks)
    assert (row, column) == (3, "expected")
    assert "'five' is no number" in message


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "rows", "words"),
    [
        (PromptLimits(max_bytes=10), (None, None), "bytes, more than 10"),
        (PromptLimits(max_prompts=1), (3, 2), "more than 1 prompts"),
        (PromptLimits(max_prompt_chars=10), (2, 2), "more than 10 characters"),
    ],
)
def test_limits_are_told(
    limits: PromptLimits, rows: tuple[int | None, int | None], words: str
) -> None:
    in_lines = lines({"prompt": "a"}, {"prompt": "b" * 20}, {"prompt": "c" * 20})
    for text, row in zip((BASIC, in_lines), rows, strict=True):
        with pytest.raises(InvalidPromptSet) as caught:
            read_prompts(text.encode(), limits=limits)
        assert caught.value.details is not None
        problem = caught.value.details["problems"][0]
        assert problem["row"] == row
        assert words in problem["message"]


def test_a_prompt_that_its_template_makes_too_long_is_told() -> None:
    with pytest.raises(InvalidPromptSet, match="line 2: the prompt has 36 characters"):
        read_prompts(
            b"prompt\nabcdefghijkl\n",
            common=Common(template="{{prompt}}" * 3),
            limits=PromptLimits(max_prompt_chars=30),
        )


def test_a_large_table_with_a_large_cell_is_read() -> None:
    """Python's own limit for a cell is 128 KiB."""
    text = "prompt,expected\n" + "a question,an answer\n" * 15_000 + '"' + "x" * 300_000 + '",y\n'
    assert len(read(text).prompt_set.prompts) == 15_001


# --- checks by a command --------------------------------------------------------------------------


def test_a_check_by_an_unknown_command_is_told_with_its_place() -> None:
    limits = PromptLimits(commands=frozenset({"units"}))
    known, unknown = ({"type": "command", "name": name} for name in ("units", "unit"))
    nested = {"type": "any_of", "checks": [known, {"type": "all_of", "checks": [unknown]}]}
    said = "the settings have no section [check unit]"

    def told(text: str, **common: Any) -> list[tuple[int | None, str | None, str]]:
        with pytest.raises(InvalidPromptSet) as caught:
            read_prompts(text.encode(), common=Common(**common), limits=limits)
        found = (caught.value.details or {})["problems"]
        return [(one["row"], one["column"], one["message"]) for one in found]

    first = {"prompt_set": {"checks": [known, unknown]}}
    assert told(lines(first, {"prompt": "a"})) == [(1, "checks[1].name", said)]
    rows = lines({"prompt": "a", "checks": [known]}, {"prompt": "b", "checks": [nested]})
    assert told(rows) == [(2, "checks[0].checks[1].checks[0].name", said)]
    table = 'prompt,checks\na,\nb,"[{""type"": ""command"", ""name"": ""unit""}]"\n'
    assert told(table) == [(3, "checks[0].name", said)]
    assert told("prompt\na\n", checks=[unknown]) == [(None, "checks[0].name", said)]
    kept = read(rows).prompt_set.prompts
    assert [len(prompt.checks) for prompt in kept] == [1, 1]


@pytest.mark.parametrize(
    ("declared", "column"),
    [
        ({"type": "command"}, "checks[0]"),
        ({"type": "command", "name": ""}, "checks[0].name"),
        ({"type": "command", "name": "a", "options": []}, "checks[0].options"),
        ({"type": "command", "name": "a", "command": "rm"}, "checks[0]"),
    ],
)
def test_a_wrong_declaration_of_a_command_is_told(declared: Any, column: str) -> None:
    ((row, place, _),) = problems(lines({"prompt": "a", "checks": [declared]}))
    assert (row, place) == (1, column)
