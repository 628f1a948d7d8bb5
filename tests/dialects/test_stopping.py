"""Cutting at stop texts: against the plainest way to say where an answer ends."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.core.protocol import TokenInfo
from server.dialects.stopping import StopCutter

ROLES = ("\n\nUser:", "\nUser:")
# Few letters, so that texts overlap, repeat and contain one another.
TEXTS = st.text("ab\n", max_size=5)
STOPS = st.lists(TEXTS, max_size=4)
TOKENS = st.lists(st.tuples(TEXTS, st.booleans()), max_size=12)


def tokens_of(*texts: str) -> list[TokenInfo]:
    return [TokenInfo(number, text, -0.5, special=False) for number, text in enumerate(texts)]


def text_of(tokens: list[TokenInfo]) -> str:
    return "".join(token.text for token in tokens if not token.special)


def cut_whole(text: str, stops: list[str]) -> tuple[str, str | None]:
    """Return the text up to its first stop text, and which one that is, the slow way."""
    wanted = sorted((stop for stop in stops if stop), key=len, reverse=True)
    for end in range(len(text) + 1):
        for stop in wanted:
            if text[:end].endswith(stop):
                return text[: end - len(stop)], stop
    return text, None


def run(cutter: StopCutter, reads: list[list[TokenInfo]]) -> list[list[TokenInfo]]:
    """Return what each read hands on, and last what the end does."""
    return [*(cutter.feed(tokens) for tokens in reads), cutter.finish()]


@given(TOKENS, STOPS, st.data())
@example([("\n\nUs", False), ("er", False), (": Hi", False)], list(ROLES), None)
def test_the_cut_is_where_the_whole_text_would_be_cut(
    pieces: list[tuple[str, bool]], stops: list[str], data: st.DataObject | None
) -> None:
    tokens = [
        TokenInfo(number, text, None, special) for number, (text, special) in enumerate(pieces)
    ]
    reads = []
    while tokens:
        size = data.draw(st.integers(1, 4)) if data else 1
        reads.append(tokens[:size])
        tokens = tokens[size:]
    whole = [token for read in reads for token in read]
    cutter = StopCutter(stops)
    handed_on = [token for read in run(cutter, reads) for token in read]

    assert (text_of(handed_on), cutter.stopped_at) == cut_whole(text_of(whole), stops)
    assert [token.id for token in handed_on] == list(range(len(handed_on)))
    for got, original in zip(handed_on[:-1], whole, strict=False):
        assert got == original
    if handed_on and cutter.stopped_at is None:
        assert handed_on == whole


@given(st.lists(TEXTS, max_size=12), STOPS)
def test_no_token_waits_that_no_stop_text_could_still_cut(
    texts: list[str], stops: list[str]
) -> None:
    cutter = StopCutter(stops)
    came: list[TokenInfo] = []
    given_on: list[TokenInfo] = []
    for token in tokens_of(*texts):
        came.append(token)
        given_on += cutter.feed([token])
        if cutter.stopped_at is not None:
            return
        text = text_of(came)
        # Every way in which this text could yet be cut.
        futures = (
            cut_whole(text + stop[size:], stops)[0]
            for stop in stops
            for size in range(1, len(stop))
            if text.endswith(stop[:size])
        )
        shortest = min(map(len, futures), default=len(text))
        waiting = came[len(given_on) :]
        if shortest >= len(text):
            assert not waiting
        else:
            assert len(text_of(given_on)) <= shortest
            if waiting:
                end = len(text_of(given_on)) + len(waiting[0].text)
                assert end > shortest or len(text_of(given_on)) == shortest


def test_a_token_that_the_cut_goes_through_keeps_its_id_and_its_probability() -> None:
    cutter = StopCutter(ROLES)

    assert cutter.feed([TokenInfo(7, "Yes.\n\nUser: and", -0.25, special=False)]) == [
        TokenInfo(7, "Yes.", -0.25, special=False)
    ]
    assert cutter.stopped_at == "\n\nUser:"


def test_text_that_only_begins_like_a_stop_text_comes_whole() -> None:
    reads = [tokens_of(text) for text in ("Yes", "\n", "\n", "Us", "ers", " know")]

    assert list(map(text_of, run(StopCutter(ROLES), reads))) == [
        "Yes", "", "", "", "\n\nUsers", " know", "",
    ]  # fmt: skip


def test_held_back_text_belongs_to_the_answer_at_its_end() -> None:
    cutter = StopCutter(ROLES)

    assert text_of(cutter.feed(tokens_of("Yes.", "\n\nUser"))) == "Yes."
    assert text_of(cutter.finish()) == "\n\nUser"
    assert cutter.stopped_at is None


def test_nothing_comes_after_a_stop_text() -> None:
    cutter = StopCutter(["STOP"])

    assert text_of(cutter.feed(tokens_of("a", "STOP", "b"))) == "a"
    assert cutter.feed(tokens_of("c")) == []
    assert cutter.finish() == []


@pytest.mark.parametrize("stops", [(), ("",)])
def test_without_stop_texts_everything_passes_as_it_is(stops: tuple[str, ...]) -> None:
    tokens = tokens_of("any", "\n\nUser:")

    assert StopCutter(stops).feed(tokens) is tokens


def test_long_stop_texts_and_long_tokens_take_no_square_of_their_length() -> None:
    size = 200_000
    cutter = StopCutter(["a" * size + "b", "a" * size + "c"])

    assert cutter.feed(tokens_of("a" * size)) == []
    assert len(text_of(cutter.feed(tokens_of("a" * size, "c")))) == size


def test_a_stop_text_that_is_shown_ends_the_answer_whole() -> None:
    """Also where it ends inside a token, of which the rest goes."""
    cutter = StopCutter(["Human: "], shows_stop=True)
    reads = [tokens_of("Hu"), tokens_of("man", ":"), tokens_of(" you"), tokens_of("more")]
    handed_on = run(cutter, reads)
    assert [one.text for read in handed_on for one in read] == ["Hu", "man", ":", " "]
    assert cutter.stopped_at == "Human: "
