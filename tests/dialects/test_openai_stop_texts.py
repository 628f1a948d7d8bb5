"""Stop texts: the answer ends at the first of them, wherever its tokens begin and end."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.protocol import TokenInfo
from server.dialects.openai.stop_texts import StopTexts
from server.dialects.openai.tokens import plain

_TEXT = st.text("abA\n", max_size=12)
_STOPS = st.lists(st.text("abA\n", max_size=4), max_size=4)


def cut_by_hand(text: str, stops: Sequence[str]) -> str:
    places = [text.find(stop) for stop in stops if stop and stop in text]
    return text[: min(places)] if places else text


def run(stops: Sequence[str], tokens: Sequence[TokenInfo]) -> tuple[str, str]:
    """Return the answer up to the stop text, and the stop text."""
    texts = StopTexts(stops)
    taken: list[TokenInfo] = []
    for token in tokens:
        taken += texts.feed([token])
        if texts.found:
            return "".join(each.text for each in taken), texts.found
    taken += texts.rest()
    return "".join(each.text for each in taken), texts.found


@given(st.lists(_TEXT, max_size=6), _STOPS, st.booleans())
def test_it_cuts_where_a_search_in_the_whole_text_would(
    parts: list[str], stops: list[str], has_ids: bool
) -> None:
    tokens = [TokenInfo(7 if has_ids else -1, part, None, False) for part in parts]
    text = "".join(parts)
    answer, found = run(stops, tokens)
    assert answer == cut_by_hand(text, stops)
    if found:
        assert found in stops
        assert text.startswith(answer + found)
    else:
        assert answer == text


@given(_TEXT, _STOPS)
def test_no_more_is_held_back_than_may_belong_to_a_stop_text(text: str, stops: list[str]) -> None:
    texts = StopTexts(stops)
    passed = ""
    for end, character in enumerate(text, start=1):
        passed += "".join(token.text for token in texts.feed([plain(character)]))
        if texts.found:
            return
        held = text[len(passed) : end]
        begun = [stop for stop in stops if stop.startswith(held) and stop != held]
        assert not held or begun or cut_by_hand(held, stops) != held


@pytest.mark.parametrize(
    ("stops", "parts", "expected"),
    [
        (["END"], ["the ", "E", "N", "D", " x"], ["the "]),
        (["END"], ["the END x"], ["the "]),
        (["END"], ["the E", "N"], ["the ", "E", "N"]),
        (["\n\nUser:"], ["a\n", "\nb"], ["a", "\n", "\nb"]),
        (["xyz", "y"], ["x", "y", "z"], []),
        (["xyz", "y"], ["x", "y", "a"], ["x"]),
        (["ab", "abc"], ["abc"], []),
        ([""], ["a"], ["a"]),
        ([], ["a"], ["a"]),
    ],
)
def test_examples(stops: list[str], parts: list[str], expected: list[str]) -> None:
    texts = StopTexts(stops)
    taken: list[TokenInfo] = []
    for part in parts:
        taken += texts.feed([plain(part)])
        if texts.found:
            break
    else:
        taken += texts.rest()
    assert [token.text for token in taken] == expected


def test_a_token_with_an_id_is_not_handed_on_in_halves() -> None:
    texts = StopTexts(["END"])
    assert texts.feed([TokenInfo(5, "the E", -0.5, False)]) == []
    assert texts.feed([TokenInfo(6, "ast", -0.1, False)]) == [
        TokenInfo(5, "the E", -0.5, False),
        TokenInfo(6, "ast", -0.1, False),
    ]


def test_the_token_that_a_stop_text_begins_in_keeps_what_is_before_it() -> None:
    texts = StopTexts(["END"])
    assert texts.feed([TokenInfo(5, "the E", -0.5, False)]) == []
    assert texts.feed([TokenInfo(6, "ND.", -0.1, False)]) == [TokenInfo(5, "the ", -0.5, False)]
    assert texts.found == "END"
    assert texts.rest() == []
    assert texts.found == "END"
