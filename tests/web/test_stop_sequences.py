"""OpenAI's clients never see a stop sequence, nor a piece of one, nor lose text before it."""

from hypothesis import example, given
from hypothesis import strategies as st

import tests.support.properties  # noqa: F401
from server.chat.reading import Part
from server.core.protocol import End, Timings, TokenInfo, Usage
from server.web.http.openai.stop_sequences import StopSequenceFilter

END = End("g", 1, "stop", Usage(1, 1), Timings(None, None, 1.0, None))
# Few letters, so that stop sequences occur, begin, overlap and contain each other.
LETTERS = st.text("ab\n", max_size=12)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=4)


def tokens(texts: list[str]) -> list[TokenInfo]:
    return [TokenInfo(number, text, -1.0, special=False) for number, text in enumerate(texts)]


def read(texts: list[str], stops: list[str]) -> tuple[str, list[str], list[str]]:
    """Feed a part for each text; return all that is shown, the pieces, and the tokens' texts."""
    shown = StopSequenceFilter(stops)
    pieces, told = [], []
    for number, text in enumerate(texts):
        part = Part(text, tokens([text]), END if number + 1 == len(texts) else None)
        piece, taken = shown.feed(part)
        pieces.append(piece)
        told += [token.text for token in taken]
    return "".join(pieces), pieces, told


@given(st.lists(LETTERS, min_size=1, max_size=8), STOPS)
@example(["ab", "ba"], ["bb", "abba"])
@example(["a", "a", "b"], ["aab", "ab"])
@example(["ba", "b"], ["bab", "a"])
@example(["bab"], ["bab", "a"])
def test_text_up_to_the_first_stop_is_shown(texts: list[str], stops: list[str]) -> None:
    """The first is the one that is complete before the others."""
    whole = "".join(texts)
    upto = [whole[:end] for end in range(len(whole) + 1)]
    stopped = next((read for read in upto if any(map(read.endswith, stops))), None)
    shown = whole
    if stopped is not None:
        longest = max((stop for stop in stops if stopped.endswith(stop)), key=len)
        shown = stopped.removesuffix(longest)
    assert read(texts, stops)[0] == shown


@given(st.lists(LETTERS, min_size=1, max_size=8), STOPS)
def test_every_token_of_the_shown_text_is_told_once(texts: list[str], stops: list[str]) -> None:
    shown, _, told = read(texts, stops)
    assert told == texts[: len(told)]
    assert "".join(told).startswith(shown)
    if told and told[-1]:
        assert len("".join(told[:-1])) < max(len(shown), 1)


def test_text_that_cannot_become_a_stop_is_shown_at_once() -> None:
    _, pieces, _ = read(["One", "\n", "two", "\n\n", "three"], ["\n\n"])
    assert pieces == ["One", "", "\ntwo", "", ""]


def test_special_tokens_are_not_told() -> None:
    shown = StopSequenceFilter([])
    end = TokenInfo(2, "</s>", -0.1, special=True)
    assert shown.feed(Part("x", [*tokens(["x"]), end], END)) == ("x", tokens(["x"]))
