"""`/generate_stream`: what TGI's clients rely on, event by event."""

from typing import Any

import pytest

from tests.engine.client import PROMPT, Client, text_of
from tests.engine.conftest import SMALL_CONTEXT

JAPANESE = {"type": "regex", "value": "[ぁ-ん]{6}😀🎉"}
ONE_EMOJI = {"type": "regex", "value": "🤖"}


async def test_every_token_is_an_event_and_the_last_one_carries_the_answer(engine: Client) -> None:
    events = await engine.stream(max_new_tokens=12, details=True)
    assert [event["index"] for event in events] == list(range(1, 13))
    *others, last = events
    assert all(e["generated_text"] is None and e["details"] is None for e in others)
    assert last["generated_text"] == text_of(events) != ""
    assert last["details"]["finish_reason"] == "length"
    assert last["details"]["generated_tokens"] == 12
    assert last["details"]["seed"] is None
    _, prompt_tokens = await engine.post("/tokenize", {"inputs": PROMPT})
    assert last["details"]["input_length"] == len(prompt_tokens)
    assert all(event["token"]["logprob"] < 0 for event in events)


async def test_keys_stand_in_the_order_of_tgi(engine: Client) -> None:
    *_, last = await engine.stream(max_new_tokens=2, details=True, top_n_tokens=2)
    assert list(last) == ["index", "token", "top_tokens", "generated_text", "details"]
    assert list(last["token"]) == ["id", "text", "logprob", "special"]
    assert list(last["details"]) == ["finish_reason", "generated_tokens", "seed", "input_length"]


async def test_head_of_a_stream_is_that_of_tgi(engine: Client) -> None:
    body = {"inputs": "日本", "parameters": {"max_new_tokens": 1}}
    async with engine.session.post(engine.url + "/generate_stream", json=body) as response:
        content = await response.read()
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["x-compute-characters"] == "2"
    assert content.startswith(b'data: {"index":1,')
    assert content.endswith(b"}\n\n")


async def test_without_details_the_last_event_has_none(engine: Client) -> None:
    *_, last = await engine.stream(max_new_tokens=2)
    assert last["details"] is None
    assert "top_tokens" not in last


async def test_end_of_sequence_is_a_special_token_that_counts(engine: Client) -> None:
    events = await engine.stream(
        max_new_tokens=50, details=True, grammar={"type": "regex", "value": "yes"}
    )
    *others, last = events
    assert last["token"]["special"] is True
    assert last["token"]["text"].startswith("<|")
    assert not any(event["token"]["special"] for event in others)
    assert last["generated_text"] == "yes"
    assert last["details"]["finish_reason"] == "eos_token"
    assert last["details"]["generated_tokens"] == len(events)


async def test_special_tokens_inside_an_answer_are_marked_and_not_in_the_text(
    engine: Client,
) -> None:
    events = await engine.stream("<|im_start|>user\nHi<|im_end|>\n", max_new_tokens=8)
    assert events[0]["token"] == {**events[0]["token"], "text": "<|im_start|>", "special": True}
    assert len(events) == 8
    assert events[-1]["generated_text"] == text_of(events)
    assert "<|im_start|>" not in events[-1]["generated_text"]


async def test_length_is_told_before_end_of_sequence(engine: Client) -> None:
    grammar = {"type": "regex", "value": "yes"}
    whole = await engine.stream(max_new_tokens=50, grammar=grammar)
    events = await engine.stream(max_new_tokens=len(whole), grammar=grammar, details=True)
    assert events[-1]["token"]["special"] is True
    assert events[-1]["details"]["finish_reason"] == "length"


async def test_characters_are_never_cut_and_each_token_is_told(engine: Client) -> None:
    events = await engine.stream(max_new_tokens=100, grammar=JAPANESE, details=True)
    text = events[-1]["generated_text"]
    assert text.endswith("😀🎉")
    assert len(text) == 8
    assert text_of(events) == text
    assert "\ufffd" not in text
    assert events[-1]["details"]["generated_tokens"] == len(events)
    assert any(event["token"]["text"] == "" for event in events), "several tokens a character"
    # A withheld token is one the next tokens complete: the last but the end has text.
    assert events[-2]["token"]["text"] != ""


async def test_tokens_of_a_character_are_those_the_tokenizer_gives(engine: Client) -> None:
    events = await engine.stream(max_new_tokens=100, grammar=ONE_EMOJI)
    status, tokens = await engine.post("/tokenize", {"inputs": "🤖"})
    assert status == 200
    ids = [event["token"]["id"] for event in events if not event["token"]["special"]]
    assert ids == [token["id"] for token in tokens]


@pytest.mark.parametrize("max_new_tokens", [1, 2])
async def test_an_answer_that_ends_inside_a_character_leaves_it_out(
    engine: Client, max_new_tokens: int
) -> None:
    events = await engine.stream(max_new_tokens=max_new_tokens, grammar=ONE_EMOJI, details=True)
    assert len(events) == max_new_tokens
    assert events[-1]["generated_text"] == ""
    assert events[-1]["details"]["finish_reason"] == "length"
    assert events[-1]["details"]["generated_tokens"] == max_new_tokens


async def test_stop_sequence_ends_the_answer_and_stays_in_it(engine: Client) -> None:
    whole = await engine.stream(max_new_tokens=20)
    stop = whole[6]["token"]["text"] + whole[7]["token"]["text"]
    expected = text_of(whole[:8])
    assert stop not in text_of(whole[:7])
    events = await engine.stream(max_new_tokens=20, stop=["never written", stop], details=True)
    assert events[-1]["generated_text"] == expected == text_of(events)
    assert events[-1]["details"]["finish_reason"] == "stop_sequence"
    assert events[-1]["details"]["generated_tokens"] == 8


async def test_stop_sequence_that_ends_inside_a_token_does_not_match(engine: Client) -> None:
    grammar = {"type": "regex", "value": "the yesterday"}
    whole = await engine.stream(max_new_tokens=20, grammar=grammar)
    token = max((event["token"]["text"] for event in whole[:-1]), key=len)
    inside = token[:-1]
    events = await engine.stream(max_new_tokens=20, grammar=grammar, stop=[inside], details=True)
    assert inside in events[-1]["generated_text"]
    assert events[-1]["generated_text"] == whole[-1]["generated_text"]
    assert events[-1]["details"]["finish_reason"] == "eos_token"


async def test_top_tokens_are_the_likeliest_in_order(engine: Client) -> None:
    events = await engine.stream(max_new_tokens=6, top_n_tokens=3)
    for event in events:
        top = event["top_tokens"]
        logprobs = [token["logprob"] for token in top]
        assert len(top) == 3
        assert logprobs == sorted(logprobs, reverse=True)
        assert top[0]["id"] == event["token"]["id"]  # greedy takes the likeliest


async def test_truncate_keeps_the_last_tokens(engine: Client) -> None:
    _, tokens = await engine.post("/tokenize", {"inputs": PROMPT, "parameters": {"truncate": 5}})
    tail = PROMPT.encode()[tokens[0]["start"] :].decode()
    cut = await engine.stream(truncate=5, max_new_tokens=8, details=True)
    expected = await engine.stream(tail, max_new_tokens=8, details=True)
    assert cut[-1]["details"] == expected[-1]["details"]
    assert cut[-1]["details"]["input_length"] == 5
    assert cut[-1]["generated_text"] == expected[-1]["generated_text"]


async def test_return_full_text_prefixes_the_answer_only(engine: Client) -> None:
    events = await engine.stream("Once", max_new_tokens=3, return_full_text=True)
    assert events[-1]["generated_text"] == "Once" + text_of(events)


async def test_without_max_new_tokens_the_context_is_the_limit(small: Client) -> None:
    prompt = " word" * (SMALL_CONTEXT - 20)
    never_ends: dict[str, Any] = {"type": "regex", "value": "[a-z ]{9999}"}
    events = await small.stream(prompt, details=True, grammar=never_ends)
    details = events[-1]["details"]
    assert details["finish_reason"] == "length"
    assert details["input_length"] + details["generated_tokens"] == SMALL_CONTEXT
