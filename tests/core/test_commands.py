"""What a client may say: each command understood, each mistake answered where it belongs."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.core.errors import InvalidCommand, UnknownType
from server.core.protocol import (
    COMMANDS,
    BadCommand,
    BadFrame,
    Cancel,
    Command,
    FollowRuns,
    Generate,
    Hello,
    Logs,
    Message,
    Ping,
    Restart,
    Start,
    Stop,
    Target,
    Unsubscribe,
    Use,
    parse_command,
)

CHAT = [{"role": "user", "content": "What is AI?"}]
CALL = {"id": "1", "name": "look", "arguments": "{}"}
GENERATE = {"id": 1, "type": "generate", "targets": [{"model": "a"}], "prompt": "Hi"}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def parse(fields: dict[str, Any]) -> Command:
    """Send the fields as a client would."""
    return parse_command(json.dumps(fields))


UNDERSTOOD: dict[str, tuple[dict[str, Any], Command]] = {
    "hello": ({"type": "hello"}, Hello(7)),
    "hello again": (
        {"type": "hello", "session": "s_1", "cursors": {"g1": 0, "g2": 12}},
        Hello(7, "s_1", {"g1": 0, "g2": 12}),
    ),
    "generate": (
        {"type": "generate", "targets": [{"model": "a"}], "prompt": "Hi"},
        Generate(7, [Target("a")], prompt="Hi"),
    ),
    "generate with everything": (
        {
            "type": "generate",
            "targets": [
                {"model": "a", "parameters": {"seed": 1}, "system": "Be brief."},
                {"model": "a", "parameters": {"seed": 2}},
            ],
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "u"},
                {"role": "assistant", "content": "a"},
            ],
            "parameters": {"max_new_tokens": 128, "stop": ["x"]},
            "details": True,
            "request_id": "r1",
        },
        Generate(
            7,
            [Target("a", {"seed": 1}, "Be brief."), Target("a", {"seed": 2})],
            messages=[Message("system", "s"), Message("user", "u"), Message("assistant", "a")],
            parameters={"max_new_tokens": 128, "stop": ["x"]},
            details=True,
            request_id="r1",
        ),
    ),
    "cancel all": ({"type": "cancel"}, Cancel(7)),
    "cancel some": ({"type": "cancel", "generations": ["g1"]}, Cancel(7, ["g1"])),
    "cancel none": ({"type": "cancel", "generations": []}, Cancel(7, [])),
    "start": ({"type": "start", "model": "a"}, Start(7, "a")),
    "stop": ({"type": "stop", "model": "a"}, Stop(7, "a")),
    "restart": ({"type": "restart", "model": "a"}, Restart(7, "a")),
    "logs": ({"type": "logs", "model": "a"}, Logs(7, "a", 200, follow=True)),
    "logs, in part": (
        {"type": "logs", "model": "a", "tail": 0, "follow": False},
        Logs(7, "a", 0, follow=False),
    ),
    "unsubscribe": ({"type": "unsubscribe", "subscription": "l1"}, Unsubscribe(7, "l1")),
    "follow all runs": ({"type": "follow_runs"}, FollowRuns(7)),
    "follow some runs": (
        {"type": "follow_runs", "runs": ["r_1", "r_2"]},
        FollowRuns(7, ["r_1", "r_2"]),
    ),
    "follow no runs": ({"type": "follow_runs", "runs": []}, FollowRuns(7, [])),
    "ping": ({"type": "ping"}, Ping(7)),
    "use": ({"type": "use", "server": "ollama"}, Use(7, "ollama")),
}


@pytest.mark.parametrize(("fields", "command"), UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_a_command_is_understood(fields: dict[str, Any], command: Command) -> None:
    assert parse({"id": 7, **fields}) == command


@pytest.mark.parametrize(("fields", "command"), UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_fields_of_a_newer_protocol_are_ignored(fields: dict[str, Any], command: Command) -> None:
    assert parse({"colour": [{"deep": None}], "id": 7, **fields, "x": 1}) == command


def test_every_command_of_the_table_is_tested_here() -> None:
    assert {fields["type"] for fields, _ in UNDERSTOOD.values()} == set(COMMANDS)


def test_the_order_of_the_fields_does_not_matter() -> None:
    assert parse({"prompt": "Hi", "targets": [{"model": "a"}], "id": 1, "type": "generate"}) == (
        Generate(1, [Target("a")], prompt="Hi")
    )


# --- frames that are no command: the socket closes ----------------------------------------------

NO_COMMAND = {
    "nothing": "",
    "blank": "  \n",
    "no JSON": "hello",
    "cut off": '{"id":1,"type":"ping"',
    "something behind": '{"id":1,"type":"ping"} {}',
    "two commands": '{"id":1,"type":"ping"}{"id":2,"type":"ping"}',
    "an array": '[{"id":1,"type":"ping"}]',
    "a string": '"ping"',
    "a number": "1",
    "null": "null",
    "no type": '{"id":1}',
    "type is null": '{"id":1,"type":null}',
    "type is a number": '{"id":1,"type":5}',
    "type is a list": '{"id":1,"type":["ping"]}',
    "not quite JSON": '{"id":1,"type":"ping",}',
    "single quotes": "{'id':1,'type':'ping'}",
    "NaN": '{"id":NaN,"type":"ping"}',
    "a byte order mark": '\ufeff{"id":1,"type":"ping"}',
    "an id of 5,000 digits": '{"type":"ping","id":' + "9" * 5000 + "}",
    "bytes that are not UTF-8": b'{"id":1,"type":"\xff"}',
    "nested too deeply, and no command": "[" * 100_000 + "]" * 100_000,
}


@pytest.mark.parametrize("frame", NO_COMMAND.values(), ids=NO_COMMAND)
def test_a_frame_that_is_no_command(frame: str | bytes) -> None:
    with pytest.raises(BadFrame):
        parse_command(frame)


@pytest.mark.parametrize(
    ("frame", "command_id", "words"),
    [
        ('{"id":1,"type":"\\ud800"}', 1, "surrogate"),
        ('{"id":0,"type":"ping","x":"\\ud83d"}', None, "surrogate"),
        ('{"id":1,"type":"ping","x":"\ud800"}', 1, "surrogate"),
        (b'{"id":1,"type":"ping","x":"a\\ud800b"}', 1, "a text has half of a surrogate pair"),
        ('{"id":1e999,"type":"ping"}', None, "out of range"),
        ('{"id":7,"type":"ping","x":' + "[" * 100_000 + "]" * 100_000 + "}", 7, "too deeply"),
        ('{"id":7,"type":"ping","x":' + '{"a":' * 100_000, 7, "too deeply"),
    ],
)
def test_unreadable_frames_raise_bad_command_with_the_id_if_it_can_be_read(
    frame: str | bytes, command_id: int | None, words: str
) -> None:
    """A client would connect again and repeat it, without end."""
    with pytest.raises(BadCommand) as caught:
        parse_command(frame)
    assert caught.value.command_id == command_id
    assert words in caught.value.error.message


# --- commands that are wrong: answered with their id --------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "hello: session": ({"type": "hello", "session": 5}, r"\$\.session"),
    "hello: cursors": ({"type": "hello", "cursors": []}, r"\$\.cursors"),
    "hello: a cursor": ({"type": "hello", "cursors": {"g1": "5"}}, r"\$\.cursors"),
    "hello: a cursor below 0": ({"type": "hello", "cursors": {"g1": -1}}, r"\$\.cursors"),
    "hello: half a cursor": ({"type": "hello", "cursors": {"g1": 1.5}}, r"\$\.cursors"),
    "generate: nothing": ({"type": "generate"}, "targets"),
    "generate: no targets": ({**GENERATE, "targets": []}, "targets"),
    "generate: targets by name": ({**GENERATE, "targets": ["a"]}, r"\$\.targets\[0\]"),
    "generate: too many": ({**GENERATE, "targets": [{"model": "a"}] * 65}, "64"),
    "generate: no model": ({**GENERATE, "targets": [{"parameters": {}}]}, "model"),
    "generate: model": ({**GENERATE, "targets": [{"model": None}]}, r"\$\.targets\[0\]\.model"),
    "generate: parameters": ({**GENERATE, "parameters": []}, r"\$\.parameters"),
    "generate: a target's": (
        {**GENERATE, "targets": [{"model": "a", "parameters": 1}]},
        r"\$\.targets\[0\]\.parameters",
    ),
    "generate: system": (
        {**GENERATE, "targets": [{"model": "a", "system": 1}]},
        r"\$\.targets\[0\]\.system",
    ),
    "generate: neither": ({"type": "generate", "targets": [{"model": "a"}]}, "exactly one"),
    "generate: both": ({**GENERATE, "messages": CHAT}, "exactly one"),
    "generate: prompt": ({**GENERATE, "prompt": 5}, r"\$\.prompt"),
    "generate: messages": ({**GENERATE, "messages": "Hi"}, r"\$\.messages"),
    "generate: role": (
        {**GENERATE, "messages": [{"role": "god", "content": "Hi"}]},
        r"\$\.messages\[0\]\.role",
    ),
    "generate: content": (
        {**GENERATE, "messages": [{"role": "user", "content": None}]},
        r"`content` may be null .*\$\.messages\[0\]",
    ),
    "generate: a tool's message without a call": (
        {**GENERATE, "messages": [{"role": "tool", "content": "5"}]},
        r"`tool_call_id` .*\$\.messages\[0\]",
    ),
    "generate: a user's call": (
        {**GENERATE, "messages": [{"role": "user", "content": "", "tool_calls": [CALL]}]},
        r"`tool_calls` .*\$\.messages\[0\]",
    ),
    "generate: a call without an id": (
        {
            **GENERATE,
            "messages": [{"role": "assistant", "content": "", "tool_calls": [{**CALL, "id": ""}]}],
        },
        r"\$\.messages\[0\]\.tool_calls\[0\]\.id",
    ),
    "generate: tools": ({**GENERATE, "tools": {"a": 1}}, r"\$\.tools"),
    "generate: a tool": ({**GENERATE, "tools": [{"type": "function"}]}, r"\$\.tools\[0\]"),
    "generate: a tool of another kind": (
        {**GENERATE, "tools": [{"type": "browser", "function": {"name": "a"}}]},
        r"\$\.tools\[0\]\.type",
    ),
    "generate: a choice of tools": ({**GENERATE, "tool_choice": "any"}, r"\$\.tool_choice"),
    "generate: a form of answers": (
        {**GENERATE, "response_format": {"type": "json_schema", "json_schema": {"schema": []}}},
        r"\$\.response_format\.json_schema\.schema",
    ),
    "generate: two forms of answers": (
        {
            **GENERATE,
            "response_format": {"type": "json_object"},
            "parameters": {"grammar": {"type": "regex", "value": "a"}},
        },
        "`response_format` or the parameter `grammar`",
    ),
    "generate: two lists of tools": (
        {**GENERATE, "tools": [tool("a")], "parameters": {"tools": [tool("b")]}},
        "`tools` or the parameter `tools`: they differ",
    ),
    "generate: tools that are taken away": (
        {**GENERATE, "tools": [tool("a")], "parameters": {"tools": None}},
        "`tools` or the parameter `tools`: they differ",
    ),
    "generate: two choices of tools": (
        {**GENERATE, "tool_choice": "auto", "parameters": {"tool_choice": "none"}},
        "`tool_choice` or the parameter `tool_choice`: they differ",
    ),
    "generate: details": ({**GENERATE, "details": 1}, r"\$\.details"),
    "generate: an empty request id": ({**GENERATE, "request_id": ""}, r"\$\.request_id"),
    "generate: a long request id": ({**GENERATE, "request_id": "r" * 201}, r"\$\.request_id"),
    "generate: a number out of range": ({**GENERATE, "parameters": {"a": "1e999"}}, "out of range"),
    "cancel: one": ({"type": "cancel", "generations": "g1"}, r"\$\.generations"),
    "cancel: numbers": ({"type": "cancel", "generations": [1]}, r"\$\.generations\[0\]"),
    "start: nothing": ({"type": "start"}, "model"),
    "start: a list": ({"type": "start", "model": ["a"]}, r"\$\.model"),
    "stop: nothing": ({"type": "stop"}, "model"),
    "logs: nothing": ({"type": "logs"}, "model"),
    "logs: below 0": ({"type": "logs", "model": "a", "tail": -1}, r"\$\.tail"),
    "logs: too many": ({"type": "logs", "model": "a", "tail": 10_001}, r"\$\.tail"),
    "unsubscribe: nothing": ({"type": "unsubscribe"}, "subscription"),
}


@pytest.mark.parametrize(("fields", "said"), REFUSED.values(), ids=REFUSED)
def test_a_command_that_is_wrong_is_answered(fields: dict[str, Any], said: str) -> None:
    frame = json.dumps({**fields, "id": 3}).replace('"1e999"', "1e999")
    with pytest.raises(BadCommand, match=said) as caught:
        parse_command(frame)
    assert caught.value.command_id == 3
    assert type(caught.value.error) is InvalidCommand


def test_an_unknown_type_is_answered_with_a_code_of_its_own() -> None:
    with pytest.raises(BadCommand, match="'dance'") as caught:
        parse({"id": 4, "type": "dance"})
    assert caught.value.command_id == 4
    assert type(caught.value.error) is UnknownType


def test_an_answer_does_not_repeat_a_megabyte_of_type() -> None:
    with pytest.raises(BadCommand) as caught:
        parse({"id": 4, "type": "x" * 1_000_000})
    assert len(caught.value.error.message) < 200


@pytest.mark.parametrize("unusable", [0, -1, 1.0, "1", None, True, [1], {}])
@pytest.mark.parametrize("kind", ["ping", "dance"])
def test_an_unusable_id_is_not_repeated(kind: str, unusable: object) -> None:
    with pytest.raises(BadCommand) as caught:
        parse({"id": unusable, "type": kind})
    assert caught.value.command_id is None


@pytest.mark.parametrize("kind", sorted(COMMANDS))
def test_every_command_needs_an_id(kind: str) -> None:
    with pytest.raises(BadCommand, match="id") as caught:
        parse({"type": kind})
    assert caught.value.command_id is None


def test_a_large_id_is_an_id() -> None:
    assert parse({"id": 2**53, "type": "ping"}) == Ping(2**53)


def test_parameters_travel_as_they_are() -> None:
    """Their names and ranges are the model server's; the protocol only carries them."""
    given_parameters = {"temperature": 0, "top_p": 1, "seed": 2**63, "nobody": {"knows": ["x"]}}
    command = parse({**GENERATE, "parameters": given_parameters})
    assert isinstance(command, Generate)
    assert command.parameters == given_parameters


def test_tools_may_stand_twice_where_they_are_the_same() -> None:
    twice = {"tools": [tool("a")], "tool_choice": tool("a")}
    same = {"tools": [tool("a", description=None)], "tool_choice": tool("a")}
    assert isinstance(parse({**GENERATE, **twice, "parameters": same}), Generate)


# --- anything at all ----------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = sorted(
    {"id", "type", "model", "parameters", "system", "role", "content"}.union(
        *(struct.__struct_fields__ for struct in COMMANDS.values())
    )
)
_MESSAGE = st.fixed_dictionaries(
    {"id": st.integers(-1, 3) | _JSON, "type": st.sampled_from([*COMMANDS, "dance"])},
    optional=dict.fromkeys((name for name in _FIELDS if name not in ("id", "type")), _JSON),
)


def parse_or_refuse(frame: str | bytes) -> None:
    outcome: Command | BadCommand
    try:
        outcome = parse_command(frame)
    except BadFrame:
        return
    except BadCommand as bad:
        outcome = bad
    if isinstance(outcome, BadCommand):
        assert isinstance(outcome.error, InvalidCommand)
        assert outcome.command_id is None or outcome.command_id >= 1
    else:
        assert type(outcome) in COMMANDS.values()
        assert outcome.id >= 1


@given(_MESSAGE)
def test_any_fields_are_understood_or_refused(fields: dict[str, Any]) -> None:
    parse_or_refuse(json.dumps(fields))


@given(st.text() | st.binary() | _JSON.map(json.dumps))
def test_anything_is_understood_or_refused(frame: str | bytes) -> None:
    parse_or_refuse(frame)


@given(st.lists(st.tuples(st.sampled_from(_FIELDS), _JSON), max_size=6))
@example([("type", "ping"), ("id", 1), ("type", "hello")])
@example([("type", "ping"), ("id", 1), ("id", "x")])
def test_keys_that_stand_there_twice_are_understood_or_refused(
    pairs: list[tuple[str, object]],
) -> None:
    inside = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs)
    parse_or_refuse("{" + inside + "}")


@given(st.sampled_from([*UNDERSTOOD.values()]), st.integers(0, 300), st.characters())
def test_one_wrong_character_is_understood_or_refused(
    understood: tuple[dict[str, Any], Command], place: int, character: str
) -> None:
    frame = json.dumps({"id": 1, **understood[0]})
    parse_or_refuse(frame[:place] + character + frame[place + 1 :])
