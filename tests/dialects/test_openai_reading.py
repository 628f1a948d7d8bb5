"""An answer in OpenAI's form, with each habit of servers on its own, in bytes."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import (
    EngineError,
    EngineLimited,
    EngineLost,
    EngineTimeout,
    InvalidParameters,
)
from server.core.protocol import Cost, TokenInfo
from server.dialects.openai.reading import Reading
from tests.dialects.heard import Heard, by_bytes, by_events, chunk, hear, says

DONE = b"data: [DONE]\n\n"
HELLO = (chunk({"role": "assistant", "content": None}), says("Hel"), says("lo"))
STOP = chunk({}, "stop")


def sent(*items: object) -> bytes:
    """Write events as a server sends them."""
    return b"".join(b"data: " + json.dumps(item).encode() + b"\n\n" for item in items)


def heard_always(data: bytes, **options: Any) -> Heard:
    """Read bytes whole, event by event and byte by byte: the same has to come of it."""
    whole = hear(data, **options)
    assert hear(*by_events(data), **options).outcome == whole.outcome
    assert hear(*by_bytes(data), **options).outcome == whole.outcome
    return whole


# --- events -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rewrite",
    [
        pytest.param(lambda data: data, id="as it is"),
        pytest.param(lambda data: data.replace(b"\n", b"\r\n"), id="CR LF"),
        pytest.param(lambda data: data.replace(b"data: ", b"data:"), id="no blank"),
        pytest.param(lambda data: b": ping\n\n" + data.replace(b"\n\n", b"\n\n:\n\n"), id="pings"),
        pytest.param(lambda data: b"\xef\xbb\xbf" + data, id="a byte order mark"),
        pytest.param(lambda data: data.removesuffix(b"\n\n"), id="no empty line at the end"),
        pytest.param(lambda data: data.removesuffix(b"\n"), id="half an empty line at the end"),
        pytest.param(lambda data: data.removesuffix(DONE), id="no [DONE]"),
        pytest.param(lambda data: data.removesuffix(b"\n\n" + DONE), id="neither"),
        pytest.param(lambda data: data.replace(b"data", b"event: message\ndata"), id="a name"),
        pytest.param(
            lambda data: b'event: ping\ndata: {"type": "ping"}\n\nevent: ping\ndata: -\n\n' + data,
            id="events of another kind",
        ),
        pytest.param(
            lambda data: data.replace(b"data: {", b"data: null\n\ndata: 7\n\ndata: []\n\ndata: {"),
            id="what is no object",
        ),
    ],
)
def test_bytes_may_be_written_in_many_ways(rewrite: Any) -> None:
    heard = heard_always(rewrite(sent(*HELLO, says("é東🙂"), STOP) + DONE))
    assert heard.text == "Helloé東🙂"
    assert heard.end.reason == "stop"


def test_characters_that_end_lines_elsewhere_do_not_here() -> None:
    data = b'data: {"id":"1","choices":[{"delta":{"content":"a\xe2\x80\xa8b\xc2\x85c"}}]}\n\n'
    assert heard_always(data + sent(STOP) + DONE).text == "a\u2028b\u0085c"


def test_an_event_cut_in_the_middle_is_none() -> None:
    data = sent(*HELLO) + b'data: {"id":"1","choices":[{"delta":{"content":" all"}'
    heard = heard_always(data)
    assert heard.text == "Hello"
    assert isinstance(heard.error, EngineLost)


def test_invalid_utf8_is_an_error_after_the_text_before_it() -> None:
    for bad in (b"\xff", b"\xed\xa0\x80"):
        data = sent(*HELLO) + b'data: {"id":"1","choices":[{"delta":{"content":"%b"}}]}\n\n' % bad
        heard = heard_always(data)
        assert heard.text == "Hello"
        assert "not UTF-8" in heard.words


def test_a_malformed_event_is_an_error_in_its_words() -> None:
    heard = heard_always(sent(*HELLO) + b"data: Internal Server Error\n\n" + sent(STOP))
    assert heard.text == "Hello"
    assert "Internal Server Error" in heard.words


def test_the_reader_reports_the_end() -> None:
    assert hear(sent(*HELLO, STOP) + DONE, b"more").was_all
    assert hear(sent(*HELLO) + sent({"error": "boom"}), b"more").was_all
    assert not hear(sent(*HELLO, STOP)).was_all


# --- chunks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "1"},
        {"id": "1", "choices": []},
        {"id": "1", "choices": None},
        {"id": "1", "choices": {}},
        {"id": "1", "choices": [None, 7, "x"]},
        {"id": "1", "choices": [{}]},
        chunk(None),
        chunk([]),
        chunk("text"),
        chunk({}),
        chunk({"role": "assistant"}),
        chunk({"content": None}),
        chunk({"content": ""}),
        chunk({"content": 7}),
        chunk({"content": "x"}) | {"choices": [{"index": 1, "delta": {"content": "other"}}]},
        chunk({}, ""),
        chunk({}, None),
        {"id": "1", "choices": [{"index": 0, "text": None}]},
        {"type": "ping"},
        {"type": "ping", "message": "still there"},
    ],
    ids=json.dumps,
)
def test_a_chunk_without_words_does_no_harm(odd: dict[str, Any]) -> None:
    first, *rest = HELLO
    heard = heard_always(sent(odd, first, odd, *rest, odd, STOP, odd) + DONE)
    assert heard.text == "Hello"
    assert heard.end.reason == "stop"


@pytest.mark.parametrize(
    "content",
    [
        ["Hello"],
        [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}],
        {"text": "Hello"},
        [{"type": "image"}, {"type": "text", "text": "Hello"}],
    ],
    ids=json.dumps,
)
def test_content_may_come_in_parts(content: object) -> None:
    assert heard_always(sent(says(content), STOP) + DONE).text == "Hello"


def test_a_role_with_every_word_and_none_at_all_are_the_same() -> None:
    data = sent(chunk({"role": "assistant", "content": "a"}), says("b"), STOP)
    assert heard_always(data + DONE).text == "ab"


def test_a_completion_has_text() -> None:
    def text(value: object, reason: object = "") -> dict[str, Any]:
        return {"id": "1", "choices": [{"index": 0, "text": value, "finish_reason": reason}]}

    data = sent(text("Hel"), text("lo"), text("!"), text(None, "length")) + DONE
    for is_chat in (True, False):
        heard = heard_always(data, is_chat=is_chat)
        assert heard.text == "Hello!"
        assert heard.end.reason == "length"


def test_a_refusal_is_the_models_words() -> None:
    assert heard_always(sent(chunk({"refusal": "I will not."}), STOP) + DONE).text == "I will not."


def test_the_last_text_may_come_with_the_reason() -> None:
    heard = heard_always(sent(says("Hello"), says(" all", "length")) + DONE)
    assert heard.text == "Hello all"
    assert heard.end.reason == "length"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_do_not_end_an_answer(value: str) -> None:
    data = sent(says("Hel")) + (
        b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"lo"},"logprobs":{"content":'
        b'[{"token":"lo","logprob":%b,"top_logprobs":[{"token":"x","logprob":%b}]}]}}]}\n\n'
    ) % (value.encode(), value.encode())
    heard = heard_always(data + sent(STOP) + DONE)
    assert heard.text == "Hello"
    last = heard.tokens[-1]
    assert last.logprob is None
    assert last.top is not None
    assert last.top[0].logprob is None


def test_half_a_character_is_one_that_stands_for_it() -> None:
    data = b'data: {"id":"1","choices":[{"delta":{"content":"a\\ud83db"}}]}\n\n'
    assert heard_always(data + sent(STOP) + DONE).text == "a\ufffdb"


def test_a_whole_answer_where_a_stream_was_asked_for_is_taken() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    message = {"role": "assistant", "content": "Hello"}
    answer = {"id": "1", "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    for written in (json.dumps(answer), json.dumps(answer, indent=2) + "\n"):
        heard = heard_always(written.encode())
        assert heard.text == "Hello"
        assert heard.end.prompt_tokens == 3


# --- errors inside the stream ---------------------------------------------------------------------


ERRORS = [
    pytest.param(sent({"error": {"message": "boom", "code": 500}}) + DONE, id="an event"),
    pytest.param(sent({"error": {"message": "boom", "type": None, "code": "500"}}), id="text code"),
    pytest.param(sent({"error": "boom"}), id="a text"),
    pytest.param(sent({"object": "error", "message": "boom", "code": None}), id="flat"),
    pytest.param(sent({"detail": "boom"}), id="detail"),
    pytest.param(sent({"message": "boom", "code": 13}), id="a message and a code"),
    pytest.param(sent({"message": "boom", "type": "server_error"}), id="a message and a type"),
    pytest.param(sent(chunk({}, "error", error={"message": "boom", "code": 502})), id="beside"),
    pytest.param(
        sent({"id": "1", "choices": [{"delta": {}, "error": {"message": "boom", "code": 502}}]}),
        id="inside a choice",
    ),
    pytest.param(b'error: {"message": "boom"}\n\n', id="a field"),
    pytest.param(b"Error: boom\n\n", id="a field of text"),
    pytest.param(b'event: error\ndata: {"message": "boom"}\n\n', id="a named event"),
    pytest.param(b"event: error\ndata: boom\n\n", id="a named event of text"),
    pytest.param(b'{"error":"boom"}\n', id="bare JSON"),
    pytest.param(b'{"src":"x","error":{"message":"boom","code":"internal"}}', id="bare, no end"),
    pytest.param(b'{\n  "error": {\n    "message": "boom"\n  }\n}\n', id="bare, in lines"),
    pytest.param(b"<html><head><title>boom</title></head><body>x</body></html>", id="a page"),
    pytest.param(b"<!DOCTYPE html>\n<body>\n<h1>boom</h1>\n</body>\n", id="a page, no title"),
    pytest.param(b"boom\n", id="plain text"),
]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("before", [b"", sent(*HELLO)], ids=["first", "in the middle"])
def test_an_error_is_told_in_its_words_behind_the_answers(before: bytes, error: bytes) -> None:
    heard = heard_always(before + error)
    assert heard.text == ("Hello" if before else "")
    assert isinstance(heard.error, EngineError)
    assert heard.words.endswith("boom"), heard.words


@pytest.mark.parametrize("error", ERRORS)
def test_an_answer_that_has_ended_ignores_later_input(error: bytes) -> None:
    heard = heard_always(sent(*HELLO, STOP) + error)
    assert heard.text == "Hello"
    assert heard.end.reason == "stop"


def test_the_words_of_an_event_with_an_error_are_not_lost() -> None:
    heard = heard_always(sent(says("Hello", "error", error={"message": "boom", "code": 502})))
    assert heard.text == "Hello"
    assert heard.words.endswith("boom")


def test_a_limit_may_be_told_inside_a_stream() -> None:
    headers = {"X-RateLimit-Reset": "12"}
    error = {"message": "Rate limit exceeded", "code": 429, "metadata": {"headers": headers}}
    heard = heard_always(sent({"error": error}))
    assert isinstance(heard.error, EngineLimited)
    assert heard.error.retry_after_seconds == 12


def test_a_refused_request_may_be_reported_inside_a_stream() -> None:
    heard = heard_always(sent({"error": {"message": "no", "type": "BadRequestError", "code": 400}}))
    assert isinstance(heard.error, InvalidParameters)


def test_a_page_does_not_reach_the_user_whole() -> None:
    heard = heard_always(b"<html><body>" + b"<p>word</p>\n" * 5000)
    assert "word" in heard.words
    assert "<" not in heard.words
    assert len(heard.words) < 1000


# --- the end --------------------------------------------------------------------------------------


def test_the_end_of_the_connection_alone_is_none() -> None:
    heard = heard_always(sent(*HELLO))
    assert heard.text == "Hello"
    assert isinstance(heard.error, EngineLost)


def test_done_alone_is_none() -> None:
    heard = heard_always(sent(*HELLO) + DONE)
    assert isinstance(heard.error, EngineError)
    assert not isinstance(heard.error, EngineLost)
    assert "without saying why" in heard.words


def test_done_alone_may_be_one_where_it_is_known_to_be() -> None:
    reading = Reading(done_alone_is_end=True)
    assert heard_always(sent(*HELLO) + DONE, reading=reading).end.reason == "stop"
    assert heard_always(DONE, reading=reading).finish is None
    assert isinstance(heard_always(sent(*HELLO), reading=reading).error, EngineLost)


def test_a_connection_that_fails_after_the_end_does_no_harm() -> None:
    broken = EngineTimeout("silence")
    assert hear(sent(*HELLO, STOP), broken=broken).end.reason == "stop"
    heard = hear(sent(*HELLO), broken=broken, stop=("lo, world",))
    assert heard.error is broken
    assert heard.text == "Hello"


@pytest.mark.parametrize(
    ("told", "reason", "details"),
    [
        ("stop", "stop", {}),
        ("length", "length", {}),
        ("max_tokens", "length", {"finish_reason": "max_tokens"}),
        ("model_length", "length", {"finish_reason": "model_length"}),
        ("content_filter", "stop", {"finish_reason": "content_filter"}),
        ("tool_calls", "stop", {"finish_reason": "tool_calls"}),
        ("Turned to stone", "stop", {"finish_reason": "Turned to stone"}),
    ],
)
def test_a_reason_is_kept_as_it_is(told: str, reason: str, details: dict[str, Any]) -> None:
    end = heard_always(sent(*HELLO, chunk({}, told)) + DONE).end
    assert (end.reason, end.details) == (reason, details)


@pytest.mark.parametrize("told", ["abort", "error", "failed"])
def test_a_reason_that_is_a_failure_is_one(told: str) -> None:
    heard = heard_always(sent(*HELLO, chunk({}, told)) + DONE)
    assert heard.text == "Hello"
    assert told in heard.words


def test_a_stop_without_anything_is_a_failure() -> None:
    assert "without a word" in heard_always(sent(HELLO[0], STOP) + DONE).words
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    assert heard_always(sent(STOP | {"usage": usage}) + DONE).end.completion_tokens == 1
    assert heard_always(sent(chunk({}, "length")) + DONE).end.reason == "length"
    thinks = chunk({"reasoning": "Hm."})
    assert heard_always(sent(thinks, STOP) + DONE).end.reason == "stop"


@pytest.mark.parametrize("name", ["stop_reason", "matched_stop"])
def test_the_stop_reason_is_in_the_details(name: str) -> None:
    last = chunk({}, "stop")
    last["choices"][0][name] = "###"
    assert heard_always(sent(*HELLO, last) + DONE).end.details == {"stop_reason": "###"}


# --- usage ----------------------------------------------------------------------------------------


ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([*HELLO, STOP, {"id": "1", "choices": [], "usage": USAGE}], id="own event"),
        pytest.param([*HELLO, STOP, chunk({}, None, usage=USAGE)], id="own event with a choice"),
        pytest.param([*HELLO, chunk({}, "stop", usage=USAGE)], id="with the reason"),
        pytest.param([*HELLO, says("!", "stop", usage=USAGE)], id="with the last text"),
        pytest.param(
            [
                says("Hel", usage=USAGE | {"completion_tokens": 1}),
                says("lo", usage=USAGE),
                STOP | {"usage": None},
            ],
            id="growing",
        ),
        pytest.param(
            [says("Hello", usage=ZEROS), STOP | {"usage": USAGE}, chunk({}, usage=ZEROS)],
            id="zeros around",
        ),
        pytest.param(
            [
                *HELLO,
                {"id": "1", "choices": [{"delta": {"content": "!"}, "usage": USAGE}]},
                STOP,
            ],
            id="Moonshot's own place",
        ),
        pytest.param([*HELLO, STOP | {"x_groq": {"usage": USAGE}}], id="Groq's own place"),
    ],
)
def test_usage_is_taken_from_wherever_it_comes(items: Sequence[object]) -> None:
    end = heard_always(sent(*items) + DONE).end
    assert (end.prompt_tokens, end.completion_tokens) == (3, 2)


@pytest.mark.parametrize("last", [STOP, STOP | {"usage": ZEROS}, STOP | {"usage": None}])
def test_usage_that_was_never_told_is_none(last: object) -> None:
    end = heard_always(sent(*HELLO, last) + DONE).end
    assert (end.prompt_tokens, end.completion_tokens) == (None, None)


def test_further_fields_of_usage_are_in_the_details() -> None:
    usage = USAGE | {
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "cost": 0.00014,
    }
    end = heard_always(sent(*HELLO, STOP | {"usage": usage, "provider": "Nova"}) + DONE).end
    assert end.details == {"cached_tokens": 2, "reasoning_tokens": 1}
    assert end.cost == Cost(0.00014)
    assert end.answered_by == "Nova"


# --- thinking, tools ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "Hm."},
        {"reasoning": "Hm."},
        {"reasoning": {"text": "Hm."}},
        {"reasoning": {"content": "Hm."}},
        {"reasoning": ["H", {"type": "text", "text": "m."}]},
        {"reasoning": "Hm.", "reasoning_content": "Hm.", "content": None},
        {"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
    ],
    ids=json.dumps,
)
def test_thinking_stands_once_before_the_answer(delta: dict[str, Any]) -> None:
    heard = heard_always(sent(HELLO[0], chunk(delta), chunk(delta), says("Hi"), STOP) + DONE)
    assert heard.text == "<think>\nHm.Hm.\n</think>\n\nHi"


def test_thinking_and_answer_may_come_in_one_chunk() -> None:
    data = sent(chunk({"reasoning": "Hm.", "content": "Hi"}), says("!"), STOP) + DONE
    assert heard_always(data).text == "<think>\nHm.\n</think>\n\nHi!"


def test_thinking_that_breaks_off_is_closed() -> None:
    heard = heard_always(sent(chunk({"reasoning": "Hm."})))
    assert heard.text == "<think>\nHm.\n</think>\n\n"
    assert isinstance(heard.error, EngineLost)


def test_a_server_without_names_thinks_and_does_not_load() -> None:
    def nameless(delta: object, reason: str | None = None) -> dict[str, Any]:
        return {"choices": [{"delta": delta, "finish_reason": reason}]}

    thinks = nameless({"reasoning_content": "Hm."})
    expected = "<think>\nHm.\n</think>\n\nHi"
    data = sent(thinks, nameless({"content": "Hi"}), nameless({}, "stop")) + DONE
    heard = heard_always(data)
    assert heard.text == expected
    assert heard.waits[-1] is None
    heard = heard_always(data, reading=Reading(loading_as_reasoning=False))
    assert heard.text == expected
    assert heard.waits == []


def test_tool_calls_are_joined_and_pieces_of_their_own_kind() -> None:
    def calls(*items: dict[str, Any]) -> dict[str, Any]:
        return chunk({"role": "assistant", "tool_calls": list(items)})

    heard = heard_always(
        sent(
            calls({"index": 0, "id": "a", "function": {"name": "sun", "arguments": ""}}),
            calls({"index": 0, "function": {"name": None, "arguments": '{"at":'}}),
            calls({"index": 1, "id": "b", "function": {"name": "moon", "arguments": "{}"}}),
            calls({"index": 0, "function": {"arguments": '"noon"}'}}),
            chunk({}, "tool_calls"),
        )
        + DONE
    )
    assert heard.spoken == ""
    assert heard.text == (
        '<tool_call>\n{"name": "sun", "arguments": {"at":"noon"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "moon", "arguments": {}}\n</tool_call>\n'
    )
    assert heard.end.details["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "sun", "arguments": '{"at":"noon"}'}},
        {"id": "b", "type": "function", "function": {"name": "moon", "arguments": "{}"}},
    ]
    assert heard_always(sent(calls({"id": "a"}), STOP) + DONE).end.reason == "stop"


def test_words_close_thinking_and_calls_in_turn() -> None:
    call = {"function": {"name": "look", "arguments": "{}"}}
    calls = chunk({"tool_calls": [call]})
    heard = heard_always(
        sent(chunk({"reasoning": "Hm."}), calls, says("I"), says(" look"), calls, STOP) + DONE
    )
    block = '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>\n'
    assert heard.text == f"<think>\nHm.\n</think>\n\n{block}I look{block}"
    assert [call["function"]["name"] for call in heard.end.details["tool_calls"]] == ["look"] * 2
    first, second = dict.fromkeys(token.call for token in heard.tokens if token.call)
    assert (first.index, second.index) == (0, 1)
    assert first.id != second.id


def test_openais_first_form_of_calls() -> None:
    heard = heard_always(
        sent(
            chunk({"function_call": {"name": "look", "arguments": ""}}),
            chunk({"function_call": {"arguments": '{"at":'}}),
            chunk({"function_call": {"arguments": " 1}"}}),
            chunk({}, "function_call"),
        )
        + DONE
    )
    assert heard.text == '<tool_call>\n{"name": "look", "arguments": {"at": 1}}\n</tool_call>\n'
    assert heard.end.reason == "stop"
    assert heard.end.details["finish_reason"] == "function_call"


# --- stop texts of ours ---------------------------------------------------------------------------


def test_a_stop_text_ends_the_answer_and_is_no_part_of_it() -> None:
    data = sent(*HELLO, says(" wor"), says("ld, and"), says(" more"))
    for reads in ([data], by_events(data), list(by_bytes(data))):
        heard = hear(*reads, stop=("world", "none"))
        assert heard.was_all
        assert heard.text == "Hello "
        assert heard.end.reason == "stop"
        assert heard.end.details == {"stop": "world"}


def test_text_held_back_for_a_stop_text_is_not_lost() -> None:
    heard = heard_always(sent(*HELLO, STOP) + DONE, stop=("lo, world",))
    assert heard.text == "Hello"
    assert heard.end.details == {}
    heard = heard_always(sent(*HELLO), stop=("lo, world",))
    assert heard.text == "Hello"
    assert isinstance(heard.error, EngineLost)


def test_no_stop_text_is_looked_for_in_thinking() -> None:
    data = sent(chunk({"reasoning": "User: hm"}), says("Hi"), says("User:"), says("x"))
    heard = heard_always(data, stop=("User:",))
    assert heard.text == "<think>\nUser: hm\n</think>\n\nHi"


def test_held_back_text_comes_before_later_thinking() -> None:
    data = sent(says("the EN"), chunk({"reasoning": "Hm."}), says("D"), STOP) + DONE
    heard = heard_always(data, stop=("END",))
    assert heard.text == "the EN<think>\nHm.\n</think>\n\nD"


# --- an answer that goes on with what is there ---------------------------------------------------


@pytest.mark.parametrize(
    ("items", "text"),
    [
        pytest.param([says("Once upon"), says(" a time")], " a time", id="by itself"),
        pytest.param([says("Once upon a"), says(" time")], " a time", id="with the next word"),
        pytest.param([says(" a"), says(" time")], " a time", id="not repeated"),
        # What the model writes again, token by token, is its answer.
        pytest.param([says("Once"), says(" upon"), says(" a")], "Once upon a", id="in pieces"),
        pytest.param([says("Once upon"), says("Once upon")], "Once upon", id="twice"),
    ],
)
def test_a_beginning_that_is_repeated_in_one_piece_is_left_out(
    items: Sequence[object], text: str
) -> None:
    data = sent(HELLO[0], *items, STOP) + DONE
    assert heard_always(data, beginning="Once upon").text == text


# --- the common chunk -----------------------------------------------------------------------------

_TEXTS = st.one_of(
    st.sampled_from(
        [" word", "content", "assistant", "1", "", "\n", '"', "\\", "é東🙂", "chatcmpl-1"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
_EXTRAS = st.sampled_from(
    [{}, {}, {}, {"created": 2}, {"usage": ZEROS}, {"usage": None}, {"x": "content"}]
)


@given(st.lists(st.tuples(_TEXTS, _EXTRAS), max_size=12), st.booleans(), st.booleans())
def test_the_short_way_reads_what_the_long_one_does(
    parts: list[tuple[str, dict[str, Any]]], is_raw: bool, is_spaced: bool
) -> None:
    """A chunk that comes alone is read by another way than one that comes in pieces."""
    items = [HELLO[0], *(says(text, **more) for text, more in parts), chunk({}, "length")]
    separators = (", ", ": ") if is_spaced else (",", ":")
    written = [json.dumps(item, ensure_ascii=not is_raw, separators=separators) for item in items]
    data = b"".join(f"data: {item}\n\n".encode() for item in written)
    heard = hear(*by_events(data))
    assert heard.text == "".join(text for text, _ in parts)
    assert hear(*by_bytes(data)).outcome == heard.outcome
    assert [token.text for token in heard.tokens] == [text for text, _ in parts if text]


def test_a_chunk_that_only_looks_common_is_read_with_care() -> None:
    """Its text ends early, and what follows is another field of the same chunk."""
    common = [says(word) for word in ("a", "b", "c", "d")]
    head = sent(says("MARK")).partition(b"MARK")
    tricky = head[0] + b'e", "reasoning": "hm' + head[2]
    reads = [sent(item) for item in (HELLO[0], *common)]
    heard = hear(*reads, tricky, sent(says("f")), sent(STOP))
    assert heard.text == "abcd<think>\nhm\n</think>\n\nef"


def test_a_text_that_stands_elsewhere_in_its_chunk_too_is_not_taken_for_that() -> None:
    reads = [sent(HELLO[0]), *(sent(says("a") | {"id": name}) for name in "aabbc")]
    assert hear(*reads, sent(STOP)).text == "aaaaa"


def test_common_chunks_come_one_token_a_read() -> None:
    heard = hear(*by_events(sent(*HELLO, *(says("x") for _ in range(20)), STOP)))
    assert heard.tokens[2:] == [TokenInfo(-1, "x", None, False)] * 20


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("stop", [(), ("wy",)], ids=["whole", "cut"])
def test_several_chunks_of_one_read_are_the_same_tokens(count: int, stop: Sequence[str]) -> None:
    """Whatever stands among the common ones: a text to be decoded, thinking, an end."""
    words = [says(word) for word in ("a", "b", "c", "d", '"\n', "東", "e", "f", "w", "y", "z")]
    events = by_events(sent(HELLO[0], *words, chunk({"reasoning": "hm"}), *words, STOP) + DONE)
    reads = [b"".join(events[at : at + count]) for at in range(0, len(events), count)]
    one_by_one = hear(*events, stop=stop)
    assert hear(*reads, stop=stop).outcome == one_by_one.outcome
    assert one_by_one.text.startswith('abcd"\n東ef')
    assert ("w" in one_by_one.text) == (not stop)


def test_several_common_chunks_of_one_read_are_handed_on_at_once() -> None:
    words = [says(word) for word in "abcdefg"]
    heard = hear(sent(HELLO[0]), sent(words[0]), sent(*words[1:4]), sent(*words[4:]), sent(STOP))
    assert heard.text == "abcdefg"
    assert heard.handed_on == [1, 3, 3]


# --- llama.cpp's own count of tokens ------------------------------------------------------------


def writes(text: str, written: int, token_id: int) -> dict[str, Any]:
    """Write a chunk as llama.cpp does where probabilities and timings are asked for."""
    entry = {"id": token_id, "token": text, "bytes": list(text.encode()), "logprob": -1.5}
    item = says(text, timings={"cache_n": 22, "prompt_n": 9, "predicted_n": written})
    item["choices"][0]["logprobs"] = {"content": [entry]}
    return item


EMOJI = (writes("🙂", 3, 220), writes("日", 5, 115), writes("a", 6, 81))
USAGE = {"prompt_tokens": 31, "completion_tokens": 7, "total_tokens": 38}
NOTHING = TokenInfo(-1, "", None, False)


def test_tokens_that_complete_no_character_are_counted() -> None:
    heard = heard_always(sent(*EMOJI, STOP, {"choices": [], "usage": USAGE}) + DONE)
    assert heard.tokens == [
        *(NOTHING, NOTHING, TokenInfo(220, "🙂", -1.5, False)),
        *(NOTHING, TokenInfo(115, "日", -1.5, False), TokenInfo(81, "a", -1.5, False)),
        # The model's own end, which a chat does not show.
        TokenInfo(-1, "", None, True),
    ]
    assert heard.end.completion_tokens == len(heard.tokens)


def test_the_end_cuts_a_character_and_its_tokens_count() -> None:
    length = chunk({}, "length")
    usage = {**USAGE, "completion_tokens": 8}
    heard = heard_always(sent(*EMOJI, length, {"choices": [], "usage": usage}) + DONE)
    assert heard.tokens[-2:] == [NOTHING, NOTHING]
    assert heard.end.completion_tokens == len(heard.tokens)


def test_an_answer_that_we_cut_has_the_server_s_count_all_the_same() -> None:
    heard = heard_always(sent(*EMOJI), stop=["a"])
    assert heard.text == "🙂日"
    assert (heard.end.prompt_tokens, heard.end.completion_tokens) == (31, 6)
    assert heard.end.details == {"stop": "a", "cached_tokens": 22}
    # Without a word of the server's it is not known.
    assert hear(sent(says("xa")), stop=["a"]).end.completion_tokens is None


def test_an_answer_without_probabilities_that_we_cut_has_the_count_of_its_last_chunk() -> None:
    words = ("The", " end", " is", " near", ".")
    told = [
        says(word, timings={"cache_n": 22, "prompt_n": 9, "predicted_n": written})
        for written, word in enumerate(words, 1)
    ]
    heard = heard_always(sent(HELLO[0], *told), stop=["."])
    assert heard.text == "The end is near"
    assert (heard.end.prompt_tokens, heard.end.completion_tokens) == (31, len(words))


def test_the_last_token_comes_with_the_end() -> None:
    end = sent(chunk({}, "length"), {"choices": [], "usage": {**USAGE, "completion_tokens": 6}})
    events = by_events(sent(*EMOJI) + end + DONE)
    assert hear(*events, most_tokens=6).handed_on == [3, 2, 1]
    assert hear(*events[:3], most_tokens=6).text == "🙂日a"
    special = writes("", 7, 2)
    events = by_events(sent(*EMOJI, special, STOP, {"choices": [], "usage": USAGE}) + DONE)
    heard = hear(*events)
    assert heard.handed_on == [3, 2, 1, 1]
    assert heard.tokens[-1] == TokenInfo(2, "", -1.5, True)
    assert heard.was_all
