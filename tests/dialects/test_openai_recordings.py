"""What real servers sent, replayed whole, cut anywhere, and held against a reading by hand.

The recordings lie in `tests/recordings/openai`; beside a development checkout there may be more of
them, which are then replayed too.
"""

import base64
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import EngineError, EngineLost, EngineOverloaded, PromptTooLong
from server.dialects.openai.reading import Reading
from tests.dialects.heard import Heard, by_bytes, by_events, hear

STREAMS = Path(__file__).resolve().parents[1] / "recordings" / "openai" / "streams.jsonl"
BESIDE = Path(__file__).resolve().parents[3] / "shared" / "openai-recorded.jsonl"
# What a stream without `data:` lines, or another dialect's, is not read as.
_ROUTES = ("/v1/chat/completions", "/v1/completions")
_FRAME = re.compile(rb"(?:\A|\r\n)[0-9a-fA-F]+\r\n(?:\r\n\Z)?")


@cache
def recordings() -> list[dict[str, Any]]:
    """Return the recorded streams."""
    return [json.loads(line) for line in STREAMS.read_text().splitlines()]


def recorded(server: str, case: str) -> bytes:
    """Return one recorded stream."""
    (body,) = (
        each["body"] for each in recordings() if (each["server"], each["case"]) == (server, case)
    )
    return str(body).encode()


def listen(recording: dict[str, Any], *reads: bytes) -> Heard:
    reading = Reading(done_alone_is_end=recording["server"] == "tgi")
    return hear(*reads, is_chat="chat" in recording["path"], reading=reading)


def names(recording: dict[str, Any]) -> str:
    return f"{recording['server']}: {recording['case']}"


@pytest.fixture(params=recordings(), ids=names)
def recording(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Go through the recorded streams."""
    found: dict[str, Any] = request.param
    return found


# --- a reading by hand --------------------------------------------------------------------------


def objects(body: str) -> Iterator[dict[str, Any]]:
    for line in body.splitlines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


def text_by_hand(body: str) -> str:
    answer = thought = ""
    for item in objects(body):
        for choice in item.get("choices", []):
            delta = choice.get("delta") or {}
            if choice.get("index") == 0:
                answer += delta.get("content") or choice.get("text") or ""
                thought += delta.get("reasoning") or delta.get("reasoning_content") or ""
    return f"<think>\n{thought}\n</think>\n\n{answer}" if thought else answer


def end_by_hand(body: str) -> tuple[str, int | None, int | None]:
    reason, prompt, completion = "", None, None
    for item in objects(body):
        usage = item.get("usage") or {}
        if usage.get("prompt_tokens"):
            prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
        for choice in item.get("choices", []):
            if choice.get("index") == 0:
                reason = choice.get("finish_reason") or reason
    return reason, prompt, completion


def check(recording: dict[str, Any], heard: Heard) -> None:
    """Check what came against a reading by hand."""
    body = recording["body"]
    reason, prompt, completion = end_by_hand(body)
    assert heard.spoken == text_by_hand(body)
    if heard.finish is None:
        assert not reason or "error" in body
        assert isinstance(heard.error, EngineError | PromptTooLong)
        return
    assert heard.finish.reason == (reason if reason == "length" else "stop")
    assert (heard.finish.prompt_tokens, heard.finish.completion_tokens) == (prompt, completion)


# --- however the bytes come ---------------------------------------------------------------------


def test_an_answer_is_what_a_reading_by_hand_finds(recording: dict[str, Any]) -> None:
    check(recording, listen(recording, recording["body"].encode()))


def test_recordings_read_the_same_by_event_and_by_byte(recording: dict[str, Any]) -> None:
    data = recording["body"].encode()
    whole = listen(recording, data)
    events = listen(recording, *by_events(data))
    assert events.outcome == whole.outcome
    assert events.tokens == whole.tokens
    assert listen(recording, *by_bytes(data)).outcome == whole.outcome


@pytest.mark.parametrize(
    ("server", "case"),
    [
        ("vllm", "vllm: completions stop_token_ids"),
        ("llama.cpp", "error: unknown model stream"),
        ("ollama", "error: context too long stream"),
        ("transformers serve", "abort: chat stream"),
        ("litellm proxy", "SIGKILL: of the upstream, streaming"),
        ("llama-swap", "error: server that ends at start, streaming"),
        ("tgi", "chat stream context too long"),
    ],
)
def test_recordings_may_be_cut_at_every_byte(server: str, case: str) -> None:
    recording = next(each for each in recordings() if names(each) == f"{server}: {case}")
    data = recording["body"].encode()
    whole = listen(recording, data).outcome
    for cut in range(len(data)):
        assert listen(recording, data[:cut], data[cut:]).outcome == whole, data[:cut]


@given(st.data())
def test_any_cuts_do_no_harm(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(recordings()))
    body = recording["body"].encode()
    places = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    reads = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]
    assert listen(recording, *reads).outcome == listen(recording, body).outcome


@given(st.data())
def test_a_stream_that_breaks_off_keeps_its_words_and_is_no_success(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(recordings()))
    body = recording["body"].encode()
    cut = data.draw(st.integers(0, len(body)))
    part = body[:cut].decode(errors="ignore")
    heard = listen(recording, body[:cut])
    if heard.finish is not None:
        is_tool_call = recording["case"] == "chat tools stream" and "[DONE]" in part
        assert end_by_hand_of_part(part)[0] or is_tool_call
    whole = listen(recording, body)
    cut_off = "}\n</tool_call>\n" if "</tool_call>" in heard.text else "\n</think>\n\n"
    begun = heard.text.removesuffix(cut_off)
    assert whole.text.startswith((begun, begun.removesuffix("{}")))


def end_by_hand_of_part(part: str) -> tuple[str, int | None, int | None]:
    """Return the end of a stream whose last line may be cut."""
    *lines, last = part.splitlines() or [""]
    try:
        json.loads(last.removeprefix("data: "))
    except ValueError:
        last = ""
    return end_by_hand("\n".join([*lines, last]))


def test_all_that_was_recorded_beside_this_checkout() -> None:
    for recording in beside():
        data = recording["body"].encode()
        heard = listen(recording, data)
        if recording["server"] != "llama-swap":
            check(recording, heard)
        assert listen(recording, *by_events(data)).outcome == heard.outcome, names(recording)
        assert listen(recording, *by_bytes(data)).outcome == heard.outcome, names(recording)


def beside() -> Iterator[dict[str, Any]]:
    lines = BESIDE.read_text().splitlines() if BESIDE.exists() else []
    for each in map(json.loads, lines):
        body = b"".join(
            base64.b64decode(read["b64"]) if "b64" in read else read["text"].encode()
            for read in each.get("reads", [])
        )
        # Names were made shorter after recording, so the lengths of the frames are not right.
        if re.match(rb"[0-9a-fA-F]+\r\n", body):
            body = _FRAME.sub(b"", body)
        path = (each.get("request") or {}).get("path", "")
        if each.get("status") == 200 and path in _ROUTES and body.startswith(b"data:"):
            yield {**each, "path": path, "body": body.decode()}


# --- what each server does ----------------------------------------------------------------------


def test_vllm_tells_its_end_token_only_beside_the_end() -> None:
    heard = hear(recorded("vllm", "chat stream logprobs eos"))
    assert [token.text for token in heard.tokens] == ["Hi", ".", "<|im_end|>"]
    assert [token.special for token in heard.tokens] == [False, False, True]
    assert heard.end.details == {"cached_tokens": 0}


def test_vllm_tells_ids_and_probabilities_of_each_token() -> None:
    heard = hear(
        recorded("vllm", "vllm: completions stream return_token_ids logprobs"), is_chat=False
    )
    assert [token.id for token in heard.tokens] == [7042, 30, 198, 198]
    first = heard.tokens[0]
    assert first.logprob == pytest.approx(-0.2399434)
    assert first.top is not None
    assert [other.text for other in first.top] == [" Paris", " the"]


def test_vllm_ends_parts_of_a_character_as_tokens_without_text() -> None:
    heard = hear(recorded("vllm", "vllm: chat stream emoji token ids"))
    assert heard.text == "🦜🎉🚀🦜🎉"
    assert len(heard.tokens) == 16
    assert all(token.id >= 0 for token in heard.tokens)


def test_vllm_says_which_stop_ended_it() -> None:
    heard = hear(recorded("vllm", "chat stream stop"))
    assert heard.end.details["stop_reason"] == "scatter"
    heard = hear(recorded("vllm", "vllm: completions stop_token_ids"), is_chat=False)
    assert heard.end.details["stop_reason"] == 30


def test_vllm_overloaded_inside_a_stream() -> None:
    case = "overload: 3 of 4, max_num_seqs 1, max_num_queued_reqs 1, streamed"
    heard = hear(recorded("vllm", case))
    assert isinstance(heard.error, EngineOverloaded)
    assert "currently busy" in heard.words


def test_vllm_whose_engine_died_is_lost_and_its_words_are_kept() -> None:
    heard = hear(recorded("vllm", "SIGKILL: the EngineCore process, streaming"))
    assert heard.text == "In the year "
    assert isinstance(heard.error, EngineLost)
    assert "EngineCore" in heard.words


def test_thinking_that_never_ends_is_closed_with_the_answer() -> None:
    heard = hear(recorded("vllm", "vllm: reasoning stream, never ends"))
    assert heard.text == "<think>\nThe sky is blue\n</think>\n\n"
    assert heard.end.details["reasoning_tokens"] == 0


def test_llama_tells_ids_and_not_those_of_tokens_it_joined() -> None:
    heard = hear(recorded("llama.cpp", "chat stream logprobs"))
    assert [token.id for token in heard.tokens][:2] == [504, 2988]
    heard = hear(recorded("llama.cpp", "completions stream emoji logprobs"), is_chat=False)
    assert heard.text == "👩🚀👩🚀👩🚀👩🚀"
    assert {(token.id, token.logprob) for token in heard.tokens} == {(-1, None)}


def test_llama_tells_how_much_of_the_prompt_it_has_read() -> None:
    heard = hear(recorded("llama.cpp", "llama: chat stream return_progress cached"))
    first, *_, last = heard.waits
    assert first is not None
    assert first.code == "prompt_progress"
    assert re.fullmatch(r"read \d+ of 1237 tokens of the prompt", first.message)
    assert first.details is not None
    assert first.details["total"] == 1237
    assert last is None


@pytest.mark.parametrize(
    ("server", "case"),
    [
        ("llama.cpp", "llama: chat prefill continue stream"),
        ("litellm proxy", "chat prefill continue"),
    ],
)
def test_a_continued_text_is_no_part_of_the_answer(server: str, case: str) -> None:
    """It comes as one piece with the first token behind it."""
    data = recorded(server, case)
    assert hear(data).text.startswith("1, 2, 3, 4")
    for reads in ([data], by_events(data), list(by_bytes(data))):
        assert hear(*reads, beginning="1, 2, 3,").text.startswith(" 4")


def test_loading_a_model_is_neither_thinking_nor_answer() -> None:
    heard = hear(recorded("llama-swap", "cold: chat stream (the server is started)"))
    assert heard.text == "Hello there, welcome to my"
    *told, last = heard.waits
    assert last is None
    assert all(notice is not None and notice.code == "server_loads" for notice in told)
    assert told[-1] is not None
    assert "llama-swap loading model: a" in told[-1].message


def test_an_error_behind_the_last_event_is_told_in_its_words() -> None:
    heard = hear(recorded("llama-swap", "error: server that ends at start, streaming"))
    assert heard.text == ""
    assert "upstream command exited prematurely" in heard.words
    assert heard.waits[-1] is None


def test_zeros_are_no_usage() -> None:
    heard = hear(recorded("litellm proxy", "completions stream logprobs"), is_chat=False)
    assert (heard.end.prompt_tokens, heard.end.completion_tokens) == (None, None)


def test_ollama_whose_engine_died_just_ends() -> None:
    heard = hear(recorded("ollama", "SIGKILL to the engine: streaming"))
    assert isinstance(heard.error, EngineLost)
    assert heard.text


def test_tgi_ends_tool_calls_without_a_reason() -> None:
    data = recorded("tgi", "chat tools stream")
    heard = hear(data, reading=Reading(done_alone_is_end=True))
    (call,) = heard.end.details["tool_calls"]
    assert call["function"]["name"] == "weather"
    arguments = json.loads(call["function"]["arguments"])
    assert heard.spoken == ""
    block = heard.text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>\n")
    assert json.loads(block) == {"name": "weather", "arguments": arguments}
    assert isinstance(hear(data).error, EngineError)


def test_tgi_tells_probabilities_without_ids() -> None:
    """Its `/v1` leaves out the bytes and the ids that its own API has."""
    heard = hear(recorded("tgi", "chat stream logprobs"))
    assert [token.text for token in heard.tokens][-3:] == [" I", "'m", " here"]
    assert {token.id for token in heard.tokens} == {-1}
    last = heard.tokens[-1]
    assert last.logprob == pytest.approx(-0.7485614)
    assert last.top is not None
    assert [other.text for other in last.top] == [" here", " your", " a"]


def test_tgi_says_no_reason_yet_by_an_empty_one() -> None:
    data = recorded("tgi", "completions stream")
    assert b'"finish_reason":""' in data
    heard = hear(data, is_chat=False)
    assert heard.end.reason == "length"
    cut = data[: data.rindex(b"data: {")]
    assert isinstance(hear(cut, is_chat=False).error, EngineLost)


def test_tgi_refuses_inside_the_stream() -> None:
    heard = hear(recorded("tgi", "chat stream context too long"))
    assert isinstance(heard.error, PromptTooLong)
    assert heard.error.details == {"n_prompt_tokens": 3031, "n_ctx": 2048}
    case = "overload: 6 of 6 at once, chat stream"
    assert isinstance(hear(recorded("tgi", case)).error, EngineOverloaded)
