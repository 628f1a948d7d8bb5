"""Tokens of a chunk: ids and probabilities as told, and never at the cost of the text."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.protocol import Alternative, TokenInfo
from server.dialects.openai.tokens import read_tokens
from server.dialects.openai.unseen import Unseen

_ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "token": st.one_of(st.none(), st.text("ab ", max_size=3)),
        "logprob": st.one_of(st.none(), st.floats(), st.just("x")),
        "id": st.one_of(st.none(), st.integers(0, 9)),
        "top_logprobs": st.one_of(st.none(), st.lists(st.none(), max_size=1)),
    },
)


def entry(text: str, logprob: object = -0.5, **more: Any) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()), **more}


def chat(*entries: object) -> dict[str, Any]:
    return {"content": list(entries)}


def test_one_token_an_entry() -> None:
    tokens = read_tokens("ab", chat(entry("a", id=1), entry("b", -1)), None)
    assert tokens == [TokenInfo(1, "a", -0.5, False), TokenInfo(-1, "b", -1.0, False)]


def test_alternatives_have_ids_where_they_are_told() -> None:
    top = [entry("a", id=1), entry("\ufffd", -2, id=7), entry("c", -3)]
    (token,) = read_tokens("a", chat(entry("a", id=1, top_logprobs=top)), None)
    assert token.top == [
        Alternative(1, "a", -0.5),
        Alternative(7, "\ufffd", -2.0),
        Alternative(-1, "c", -3.0),
    ]


def test_the_older_form_is_in_lists() -> None:
    logprobs = {
        "tokens": ["a", "b"],
        "token_logprobs": [-0.5, None],
        "top_logprobs": [{"a": -0.5, "x": -2}, None],
        "text_offset": [0, 1],
    }
    assert read_tokens("ab", logprobs, [3, 4]) == [
        TokenInfo(3, "a", -0.5, False, [Alternative(-1, "a", -0.5), Alternative(-1, "x", -2.0)]),
        TokenInfo(4, "b", None, False),
    ]


def test_an_entry_of_several_tokens_has_no_id() -> None:
    last = entry(" question", id=1962)
    merged = entry(" this question", id=1962, top_logprobs=[last])
    assert read_tokens(" this question", chat(merged), None) == [
        TokenInfo(-1, " this question", None, False)
    ]


def test_an_entry_of_one_token_keeps_its_id_whatever_the_others_are() -> None:
    one = entry("a", id=1, top_logprobs=[entry("b", id=2)])
    assert read_tokens("a", chat(one), None)[0].id == 1


@pytest.mark.parametrize("text", ["sky i", "T", "the sky is"])
def test_entries_that_are_not_the_text_give_way_to_it(text: str) -> None:
    assert read_tokens(text, chat(entry("the sky")), [5]) == [TokenInfo(-1, text, None, False)]
    assert read_tokens("", chat(entry("the sky")), [5]) == []


def test_part_of_a_character_is_a_token_without_text() -> None:
    assert read_tokens("", chat(entry("")), [5]) == [TokenInfo(5, "", -0.5, False)]


def test_a_token_that_is_not_shown_at_the_end_is_special() -> None:
    end = chat(entry("<|im_end|>"))
    assert read_tokens("", end, [2], is_end=True) == [TokenInfo(2, "<|im_end|>", -0.5, True)]
    assert read_tokens("", None, [2], is_end=True) == [TokenInfo(2, "", None, True)]
    assert read_tokens("a", None, [3], is_end=True) == [TokenInfo(3, "a", None, False)]


def test_ids_alone_tell_a_token_only_if_there_is_one() -> None:
    assert read_tokens("a", None, [3]) == [TokenInfo(3, "a", None, False)]
    assert read_tokens("ab", None, [3, 4]) == [TokenInfo(-1, "ab", None, False)]
    assert read_tokens("ab", None, []) == [TokenInfo(-1, "ab", None, False)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), None, "x"])
def test_a_logprob_that_is_no_number_is_unknown(value: object) -> None:
    assert read_tokens("a", chat(entry("a", value)), None)[0].logprob is None


@given(
    st.text("ab ", max_size=6),
    st.one_of(st.none(), st.just({}), st.builds(chat, _ENTRY), st.builds(chat, _ENTRY, _ENTRY)),
    st.one_of(st.none(), st.lists(st.integers(0, 9), max_size=3)),
    st.booleans(),
)
def test_the_text_is_never_changed(text: str, logprobs: Any, ids: Any, is_end: bool) -> None:
    tokens = read_tokens(text, logprobs, ids, is_end=is_end)
    assert "".join(token.text for token in tokens if not token.special) == text


def test_tokens_kept_back_come_without_text_before_the_one_that_brings_it() -> None:
    last = entry("\ufffd", id=218)
    whole = entry("🚀", id=218, top_logprobs=[last])
    assert read_tokens("🚀", chat(whole), None, unseen=2) == [
        TokenInfo(-1, "", None, False),
        TokenInfo(-1, "", None, False),
        TokenInfo(218, "🚀", -0.5, False, [Alternative(218, "\ufffd", -0.5)]),
    ]


def test_a_token_with_an_id_and_no_bytes_is_special() -> None:
    assert read_tokens("", chat(entry("", id=2)), None) == [TokenInfo(2, "", -0.5, True)]


def _written(*counts: object) -> list[int | None]:
    unseen = Unseen()
    return [unseen.before({"timings": {"predicted_n": count}}, {}) for count in counts]


def test_the_number_written_tells_how_many_were_kept_back() -> None:
    assert _written(1, 2, 5, 6) == [0, 0, 2, 0]
    # Many more are no part of a character; nothing is not known either.
    assert _written(1, 9, 10) == [0, None, 0]
    assert _written(None, "3", True, 0, -1) == [None] * 5
    assert Unseen().before({"timings": None}, {}) is None
    assert Unseen().before({}, {}) is None
    assert Unseen().before({"timings": {"predicted_n": 1}}, None) is None


@pytest.mark.parametrize(
    ("written", "is_ended_by_model", "specials"),
    [
        (3, True, []),
        (4, True, [True]),
        (5, False, [False, False]),
        (6, True, [False, False, True]),
        (40, True, []),
        (2, False, []),
        (None, True, []),
    ],
)
def test_the_rest_comes_with_the_end(
    written: int | None, is_ended_by_model: bool, specials: list[bool]
) -> None:
    unseen = Unseen()
    assert unseen.rest(4, is_ended_by_model=True) == []
    unseen.before({"timings": {"predicted_n": 3}}, {})
    rest = unseen.rest(written, is_ended_by_model=is_ended_by_model)
    assert [token.special for token in rest] == specials
    assert {token.text for token in rest} <= {""}


def test_the_last_one_is_known_by_the_length_that_was_asked_for() -> None:
    unseen = Unseen(3)
    were_all = []
    for number in (2, 3):
        unseen.before({"timings": {"predicted_n": number}}, {})
        were_all.append(unseen.is_all)
    assert were_all == [False, True]
    assert not Unseen().is_all
