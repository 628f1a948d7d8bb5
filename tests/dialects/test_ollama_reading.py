"""Ollama's streams as they were recorded, cut in every way, and as no server should send them."""

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import (
    CannotSee,
    EngineError,
    EngineLimited,
    EngineLost,
    EngineOverloaded,
    InvalidParameters,
    PromptTooLong,
    SidestreamError,
)
from server.core.protocol import ErrorInfo, TokenInfo, ToolCall
from server.dialects.base import NO_TOKEN_ID, Finish, Meter
from server.dialects.http.client import Reply
from server.dialects.ollama.errors import failure
from server.dialects.ollama.reading import MAX_LINE_BYTES, AnswerReader
from server.dialects.thinking import CLOSING, OPENING
from tests.dialects.ollama_recordings import RECORDINGS, Recording

STREAMS = [recording for recording in RECORDINGS.values() if recording.is_stream]
REFUSALS = [recording for recording in RECORDINGS.values() if recording.status != 200]
DONE = b'{"message":{"content":""},"done":true,"done_reason":"stop","eval_count":2}\n'


@dataclass
class Heard:
    """What came of one answer."""

    tokens: list[TokenInfo] = field(default_factory=list)
    calls: int = 0
    end: Finish | SidestreamError | None = None

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)

    @property
    def finish(self) -> Finish:
        assert isinstance(self.end, Finish), self.end
        return self.end

    @property
    def told(self) -> tuple[str, object]:
        """Return what must not depend on how the bytes were cut."""
        end = ErrorInfo.of(self.end) if isinstance(self.end, SidestreamError) else self.end
        return self.text, (type(self.end), end)


def read(parts: Iterable[bytes]) -> Heard:
    """Feed the parts as they are until the reader has all it wants."""
    heard = Heard()

    def on_tokens(tokens: list[TokenInfo]) -> None:
        assert tokens
        heard.calls += 1
        heard.tokens += tokens

    reader = AnswerReader(on_tokens, meter := Meter(), model="smollm2")
    for part in parts:
        if reader.feed(part):
            break
    try:
        heard.end = reader.finish()
    except SidestreamError as error:
        heard.end = error
    assert meter.heard == heard.calls
    return heard


def named(recordings: list[Recording]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recording", recordings, ids=lambda recording: recording.case)


def chat(text: str = "", **more: Any) -> bytes:
    return json.dumps({"message": {"content": text, **more}, "done": False}).encode() + b"\n"


# --- as recorded --------------------------------------------------------------------------------


@named(STREAMS)
def test_recorded_answer(recording: Recording) -> None:
    heard = read(recording.reads)
    last = recording.lines[-1]
    text = heard.text.rpartition("</think>\n\n")[2]
    assert text == recording.text
    if "error" in last:
        assert isinstance(heard.end, EngineLost)
        assert "unexpected EOF" in heard.end.message
        return
    finish = heard.finish
    assert finish.reason == {"length": "length"}.get(last["done_reason"], "stop")
    assert (finish.prompt_tokens, finish.completion_tokens) == (
        last.get("prompt_eval_count"),
        last.get("eval_count"),
    )


@named(STREAMS)
def test_cuts_between_bytes_do_not_matter(recording: Recording) -> None:
    answer = recording.answer
    whole = read([answer]).told
    assert read(recording.reads).told == whole
    assert read(answer[at : at + 1] for at in range(len(answer))).told == whole
    for at in range(len(answer)):
        assert read([answer[:at], answer[at:]]).told == whole


@named(STREAMS)
def test_a_body_that_ends_early_has_broken_off(recording: Recording) -> None:
    answer = recording.answer
    whole = read([answer])
    for size in range(0, len(answer.rstrip(b"\n")), 7):
        heard = read([answer[:size]])
        assert isinstance(heard.end, EngineLost), size
        assert "broke off" in heard.end.message
        # No word of a line that came whole is lost, none of one that did not is made up.
        lines = answer[: answer.rfind(b"\n", 0, size + 1) + 1]
        assert heard.text == read([lines]).text
        if not whole.text.startswith(heard.text):
            # It broke off while it thought.
            assert whole.text.startswith(heard.text.removesuffix(CLOSING))
        marks = [token.text for token in heard.tokens if token.mark and token.kind == "reasoning"]
        assert marks in ([], [OPENING, CLOSING])


def test_an_error_while_it_thinks_ends_the_thinking() -> None:
    heard = read([b'{"message":{"thinking":"hm"}}\n{"error":"oops"}\n'])
    assert heard.text == f"{OPENING}hm{CLOSING}"
    assert "oops" in str(heard.end)


@named(STREAMS)
def test_last_line_needs_no_newline(recording: Recording) -> None:
    assert read([recording.answer.rstrip(b"\n")]).told == read([recording.answer]).told


@named(STREAMS)
def test_line_ends_of_windows_and_blank_lines(recording: Recording) -> None:
    answer = recording.answer.replace(b"\n", b"\r\n\r\n \n")
    whole = read([recording.answer]).told
    assert read([answer]).told == whole
    assert read(answer[at : at + 3] for at in range(0, len(answer), 3)).told == whole


@given(st.sampled_from(STREAMS), st.randoms(use_true_random=False))
def test_any_cuts(recording: Recording, chance: random.Random) -> None:
    answer = recording.answer
    cuts = sorted(chance.sample(range(len(answer) + 1), chance.randint(0, min(60, len(answer)))))
    parts = [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    assert read(parts).told == read([answer]).told


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(STREAMS[0].reads)), max_size=8))
def test_noise_ends_in_words_or_in_an_end(parts: list[bytes]) -> None:
    heard = read(parts)
    assert isinstance(heard.end, Finish | EngineError)


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    lines = json.dumps({"response": text, "done": False}, ensure_ascii=False)
    raw = lines.encode("utf-8", "surrogatepass") + b"\n"
    heard = read([raw[:7], raw[7:], DONE])
    heard.text.encode()
    assert heard.finish.reason == "stop"
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert heard.text == text


# --- durations, counts, details -----------------------------------------------------------------


def test_loading_is_told_apart_from_the_first_token() -> None:
    details = read(RECORDINGS["chat options num_ctx (reload)"].reads).finish.details
    assert details["load_ms"] == 558.234
    assert details["prompt_ms"] == 89.324
    assert details["eval_ms"] == 62.5
    assert details["total_ms"] == 713.011


def test_counts_that_are_absent_stay_unknown() -> None:
    finish = read([chat("a"), b'{"done":true,"done_reason":"stop","load_duration":5}\n']).finish
    assert (finish.prompt_tokens, finish.completion_tokens) == (None, None)
    assert finish.details == {"load_ms": 0.0}


def test_stop_without_anything_is_a_failure() -> None:
    nothing = b'{"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n'
    failed = read([nothing]).end
    assert isinstance(failed, EngineError)
    assert "without a word" in failed.message
    # The end token alone is counted.
    assert read([nothing.replace(b"}\n", b',"eval_count":1}\n')]).finish.completion_tokens == 1
    assert read([chat(thinking="Hm."), nothing]).finish.reason == "stop"


def test_unknown_reason_is_kept() -> None:
    finish = read([b'{"done":true,"done_reason":"moon"}\n']).finish
    assert (finish.reason, finish.details["finish_reason"]) == ("stop", "moon")


def test_loading_and_unloading() -> None:
    assert read(RECORDINGS["chat messages empty"].reads).finish.details == {"finish_reason": "load"}
    finish = read(RECORDINGS["unload (keep_alive 0)"].reads).finish
    assert finish.details == {"finish_reason": "unload"}


def test_answer_of_the_cloud_says_whose() -> None:
    end = b'{"done":true,"done_reason":"stop","remote_model":"glm:cloud","remote_host":"h"}\n'
    assert read([chat("Hi"), end]).finish.answered_by == "glm:cloud"


# --- tokens -------------------------------------------------------------------------------------


def test_each_read_is_told_once() -> None:
    assert [token.text for token in read([chat("a") + chat("b"), chat("c"), DONE]).tokens] == [
        *"abc"
    ]
    assert read([chat("a") + chat("b"), chat("c"), DONE]).calls == 2


def test_probabilities() -> None:
    recording = RECORDINGS["chat logprobs"]
    heard = read(recording.reads)
    first, entry = heard.tokens[0], recording.lines[0]["logprobs"][0]
    assert (first.id, first.text, first.logprob) == (NO_TOKEN_ID, "Hello", entry["logprob"])
    assert first.top is not None
    assert [(other.id, other.text, other.logprob) for other in first.top] == [
        (NO_TOKEN_ID, other["token"], other["logprob"]) for other in entry["top_logprobs"]
    ]
    assert len(heard.tokens) == 8


def test_probabilities_of_other_tokens_than_the_text_are_left_out() -> None:
    held = [{"token": "x", "logprob": -1.0}]
    line = {"message": {"content": "ab"}, "logprobs": held}
    assert read([json.dumps(line).encode() + b"\n", DONE]).tokens == [
        TokenInfo(NO_TOKEN_ID, "ab", None, False)
    ]
    nothing = json.dumps({"message": {"content": ""}, "logprobs": held}).encode() + b"\n"
    assert read([nothing, DONE]).tokens == []


def test_several_tokens_in_one_line() -> None:
    held = [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": None}]
    line = {"response": "ab", "logprobs": held}
    heard = read([json.dumps(line).encode() + b"\n", DONE])
    assert [(token.text, token.logprob) for token in heard.tokens] == [("a", -1.0), ("b", None)]


def test_tool_calls_are_pieces_of_their_own_kind() -> None:
    call = {"id": "1", "function": {"name": "look", "arguments": {"at": "sky"}}}
    heard = read([chat("I look."), chat("", tool_calls=[call]), DONE])
    block = '<tool_call>\n{"name": "look", "arguments": {"at":"sky"}}\n</tool_call>\n'
    assert heard.text == f"I look.{block}"
    assert {token.call for token in heard.tokens if token.kind == "tool_call"} == {
        ToolCall(0, "look", "1")
    }
    assert heard.finish.details["tool_calls"] == [call]


def test_calls_in_several_lines_are_several() -> None:
    """Each line counts its calls from 0, in the function."""
    call = {"function": {"index": 0, "name": "look", "arguments": {}}}
    heard = read(
        [
            chat("", thinking="Hm."),
            chat("", tool_calls=[call, call]),
            chat("", tool_calls=[call]),
            chat("So."),
            DONE,
        ]
    )
    block = '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>\n'
    assert heard.text == f"<think>\nHm.\n</think>\n\n{block * 3}So."


# --- thinking -----------------------------------------------------------------------------------


def test_thinking_stands_between_marks() -> None:
    heard = read(RECORDINGS["thinking, then an answer"].reads)
    assert heard.text == "<think>\nI am a pirate.\n</think>\n\nThe answer is 4."


def test_thinking_keeps_its_probabilities() -> None:
    heard = read(RECORDINGS["thinking with probabilities, then an answer"].reads)
    assert heard.text == "<think>\nI am a pirate.\n</think>\n\nThe answer is 4."
    without = [token.text for token in heard.tokens if token.logprob is None]
    assert without == ["<think>\n", "\n</think>\n\n"]


def test_thinking_without_an_end_is_closed() -> None:
    heard = read(RECORDINGS["thinking without an end"].reads)
    assert heard.text == "<think>\nI am a pirate.\nThe answer is 4.\n</think>\n\n"


def test_thought_and_text_in_one_line() -> None:
    heard = read([chat("So", thinking="Hm"), chat("."), DONE])
    assert heard.text == "<think>\nHm\n</think>\n\nSo."
    generated = read([b'{"response":"","thinking":"Hm"}\n', b'{"response":"So."}\n', DONE])
    assert generated.text == heard.text


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b'{"message":{"content":"b"},"logprobs":[{"token":"b","logprob":NaN}]}\n',
        b'{"message":{"content":"b"},"logprobs":[{"token":"b","logprob":-Infinity}]}\n',
        b'{"message":{"content":"b"},"logprobs":[{"token":"b","logprob":"low"}]}\n',
        b'{"message":{"content":"b"},"logprobs":{}}\n',
        b'{"message":{"content":"b"},"eval_duration":1.5,"done":null}\n',
        b'{"message":{"content":"b"},"done":false,"context":[NaN]}\n',
        b'null\n{"message":{"content":"b"}}\n',
        b'[1]\n"x"\n{"message":{"content":"b"},"new":{"field":[]}}\n',
    ],
)
def test_small_irregularities_do_not_end_an_answer(line: bytes) -> None:
    heard = read([chat("a"), line, DONE])
    assert heard.text == "ab"
    assert heard.finish.completion_tokens == 2
    assert [token.logprob for token in heard.tokens] == [None, None]


def test_bad_bytes_and_lone_surrogates_are_marked() -> None:
    assert read([b'{"response":"a\xffb"}\n', DONE]).text == "a\ufffdb"
    assert read([b'{"response":"a\\ud83db"}\n', DONE]).text == "a\ufffdb"


def test_a_page_of_html_is_said() -> None:
    heard = read([chat("a"), b"<html><body>502 Bad Gateway</body></html>"])
    assert heard.text == "a"
    assert isinstance(heard.end, EngineError)
    assert "502 Bad Gateway" in heard.end.message


def test_a_line_has_a_limit() -> None:
    part = b"x" * (MAX_LINE_BYTES // 4)
    heard = read([b'{"response":"', *[part] * 5])
    assert isinstance(heard.end, EngineError)
    assert "unreadable" in heard.end.message


def test_input_after_the_end_is_ignored() -> None:
    assert read([chat("a") + DONE + chat("b")]).text == "a"


# --- errors -------------------------------------------------------------------------------------


def test_words_before_an_error_are_not_lost() -> None:
    recording = RECORDINGS["SIGKILL to the engine"]
    assert read([recording.answer]).text == recording.text != ""


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_error_as_the_whole_body(end: bytes) -> None:
    heard = read([b'{"error":"something is wrong"}' + end])
    assert isinstance(heard.end, EngineError)
    assert "something is wrong" in heard.end.message


def test_error_of_the_engine_within_an_answer() -> None:
    line = RECORDINGS["chat prompt too long, truncate false"].answer
    for parts in ([line], [line + b"\n"], [chat("a"), line + b"\n"]):
        end = read(parts).end
        assert isinstance(end, PromptTooLong)
        assert end.details == {"n_prompt_tokens": 6010, "n_ctx": 4096}
    heard = read([b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}\n'])
    assert isinstance(heard.end, EngineOverloaded)


EXPECTED = {
    "chat prompt too long, truncate false": (PromptTooLong, "6010 tokens"),
    "generate raw prompt too long, truncate false": (PromptTooLong, "6001 tokens"),
    "chat think true": (InvalidParameters, "does not support thinking"),
    "chat images": (CannotSee, "does not support multimodal"),
    "chat option of a wrong type": (InvalidParameters, 'option "temperature" must be'),
    "generate suffix": (InvalidParameters, "does not support insert"),
    "tools": (InvalidParameters, "does not support tools"),
    "format of an unknown kind": (InvalidParameters, "expected"),
    "schema that is none": (InvalidParameters, "unrecognized type objekt"),
    "too many alternatives": (InvalidParameters, "between 0 and 20"),
    "no model": (InvalidParameters, "model is required"),
    "unknown model": (EngineError, "model 'none' not found"),
    "show unknown model": (EngineError, "model 'none:latest' not found"),
    "get /nothing": (EngineError, "404 page not found"),
    "no place in the queue": (EngineOverloaded, "no place"),
}


@named(REFUSALS)
def test_recorded_refusal(recording: Recording) -> None:
    kind, words = EXPECTED[recording.case]
    error = failure(Reply(recording.status, {}, recording.answer), model="smollm2")
    assert type(error) is kind
    assert words in error.message
    assert "{" not in error.message


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (404, '{"error":"model \\"m\\" not found, try pulling it first"}', EngineError, "ollama"),
        (
            500,
            '{"error":"llama-server process has terminated: signal: illegal instruction"}',
            EngineError,
            "this processor",
        ),
        (
            500,
            '{"error":"model requires more system memory (9 GiB) than is available (2 GiB)"}',
            EngineError,
            "more system memory",
        ),
        (
            500,
            '{"error":"llama-server process has terminated: exit status 1"}',
            EngineError,
            "exit status 1",
        ),
        (500, '{"error":"model runner: unexpected EOF"}', EngineLost, "unexpected EOF"),
        (400, '{"error":"\\"m\\" does not support chat"}', EngineError, "writes no text"),
        (
            401,
            '{"error":"unauthorized","signin_url":"https://u"}',
            EngineError,
            "ollama signin",
        ),
        (401, '{"error":"unauthorized"}', EngineError, "api_key"),
        (403, "", EngineError, "OLLAMA_HOST"),
        (429, '{"error":"you (x) have reached your limit"}', EngineLimited, "your limit"),
        (
            400,
            '{"error":"the input length exceeds the context length"}',
            PromptTooLong,
            "the context length",
        ),
        (502, "<html><title>Bad Gateway</title></html>", EngineError, "Bad Gateway"),
        (500, "", EngineError, "HTTP 500"),
        (500, '{"error":null}', EngineError, "HTTP 500"),
        (500, '{"error":{"message":"{\\"error\\":\\"deep\\"}"}}', EngineError, "deep"),
        (400, '{"error":"{not json"}', InvalidParameters, "{not json"),
    ],
)
def test_refusal(status: int, body: str, kind: type[SidestreamError], words: str) -> None:
    error = failure(Reply(status, {}, body.encode()), model="m")
    assert type(error) is kind
    assert words in f"{error.message} {error.hint}"


def test_limit_says_for_how_long() -> None:
    error = failure(Reply(429, {"retry-after": "7"}, b"{}"), model="m")
    assert isinstance(error, EngineLimited)
    assert error.retry_after_seconds == 7


def test_unknown_model_says_how_to_fetch_it() -> None:
    error = failure(Reply(404, {}, RECORDINGS["unknown model"].answer), model="qwen3:4b")
    assert error.hint == "fetch it there with `ollama pull qwen3:4b`"
