"""From llama.cpp's steps to TGI's events, without a model."""

from pathlib import Path
from typing import Any

import pytest

from server.engine.decoder import Decoder, StreamEvent
from server.engine.errors import IncompleteGeneration
from server.engine.gguf import ModelFile
from server.engine.llama import Probability, Step

# 0 ends, 1 and 2 are words, 3 to 6 are parts of あ (E3 81 82), 7 two of them in one.
MODEL = ModelFile(
    Path("m.gguf"),
    {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.token_type": (3, 1, 1, 6, 6, 6, 3, 1),
        "tokenizer.ggml.tokens": [b"<e>", b"a", b"b\n", b"<0xE3>", b"<0x81>", b"<0x82>", b"<s>"],
        "tokenizer.ggml.eos_token_id": 0,
    },
)


def decoder(**changed: Any) -> Decoder:
    """Return a decoder, with TGI's defaults but for `changed`."""
    options = {"max_new_tokens": 10, "stop": [], "top_n_tokens": 0, "seed": None}
    return Decoder(MODEL, **{**options, "input_length": 3, **changed})


def step(token: int, text: str, count: int) -> Step:
    """Return the step in which `token` is shown as the `count`th."""
    return Step(text, [token], count, [Probability(token, text, -0.5)])


def run(decoder: Decoder, *steps: Step) -> list[StreamEvent]:
    """Return all events, and check what holds for every answer."""
    events = [event for one in steps for event in decoder.feed(one)]
    assert [event.index for event in events] == list(range(1, len(events) + 1))
    assert decoder.details is not None
    text = "".join(event.token.text for event in events if not event.token.special)
    assert events[-1].generated_text == text
    assert all(event.generated_text is None for event in events[:-1])
    return events


def ids(events: list[StreamEvent]) -> list[int]:
    return [event.token.id for event in events]


EOS = Step(stop=True, stop_type="eos", tokens_predicted=2)


def test_end_token_is_held_until_it_is_known_to_be_one() -> None:
    one = decoder()
    assert len(one.feed(step(1, "a", 1))) == 1
    assert one.feed(step(0, "<e>", 2)) == []
    (last,) = one.feed(EOS)
    assert last.generated_text == "a"
    assert last.details is not None
    assert last.details.finish_reason == "eos_token"


def test_special_token_in_the_middle_comes_with_the_next() -> None:
    events = run(decoder(max_new_tokens=3), *steps_of((1, "a"), (6, "<s>"), (1, "a")))
    assert [event.token.special for event in events] == [False, True, False]
    assert events[-1].generated_text == "aa"


def steps_of(*tokens: tuple[int, str]) -> list[Step]:
    return [step(token, text, count) for count, (token, text) in enumerate(tokens, 1)]


def test_unseen_tokens_are_told_by_their_bytes() -> None:
    events = run(decoder(max_new_tokens=4), step(1, "a", 1), step(5, "あ", 4))
    assert ids(events) == [1, 3, 4, 5]
    assert [event.token.text for event in events] == ["a", "", "", "あ"]
    assert events[1].token.logprob is None


@pytest.mark.parametrize("limit", [1, 2])
def test_limit_inside_a_character(limit: int) -> None:
    events = run(decoder(max_new_tokens=limit), step(5, "あ", 3))
    assert ids(events) == [3, 4][:limit]
    assert events[-1].generated_text == ""


def test_unseen_tokens_that_cannot_be_told_share_an_event() -> None:
    one = decoder(max_new_tokens=4)
    events = run(one, step(1, "\ufffda", 3), step(1, "a", 4))
    assert ids(events) == [1, 1]
    assert one.details is not None
    assert one.details.generated_tokens == 4


def test_limit_inside_a_character_that_cannot_be_told() -> None:
    one = decoder(max_new_tokens=2)
    events = run(one, step(1, "\ufffda", 3))
    assert events[-1].generated_text == ""
    assert one.details is not None
    assert one.details.generated_tokens == 2


@pytest.mark.parametrize(
    ("stop", "tokens"), [(["a"], [1]), (["ab"], [1, 2]), (["x", "b\n"], [1, 2]), (["b"], [1, 2])]
)
def test_stop_sequence_matches_where_a_token_ends(stop: list[str], tokens: list[int]) -> None:
    one = decoder(stop=stop)
    events = run(one, *steps_of((1, "a"), (2, "b\n"), (1, "a")))
    assert ids(events) == tokens
    assert one.details is not None
    assert one.details.finish_reason == "stop_sequence"


def test_stop_sequence_may_be_a_special_token() -> None:
    events = run(decoder(stop=["<s>"]), *steps_of((1, "a"), (6, "<s>"), (1, "a")))
    assert events[-1].token.special
    assert events[-1].generated_text == "a"


def test_length_is_told_before_a_stop_sequence() -> None:
    one = decoder(stop=["a"], max_new_tokens=1)
    run(one, step(1, "a", 1))
    assert one.details is not None
    assert one.details.finish_reason == "length"


def test_word_of_the_prompt_is_no_token() -> None:
    assert decoder().feed(Step("", [0], 0)) == []


def test_end_that_is_not_marked_as_special_still_has_an_event() -> None:
    events = run(decoder(), step(1, "a", 1), EOS)
    assert events[-1].token.special
    assert events[-1].generated_text == "a"


def test_llama_that_stops_too_early_is_an_error() -> None:
    one = decoder()
    one.feed(step(1, "a", 1))
    with pytest.raises(IncompleteGeneration):
        one.feed(Step(stop=True, stop_type="limit", tokens_predicted=1))
