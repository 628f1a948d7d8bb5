"""The texts of an answer: joined on demand, the same before and after they are sealed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.deltas import ANSWER, Deltas, Label
from server.core.protocol import ToolCall


def deltas(texts: list[str], *, is_sealed: bool) -> Deltas:
    made = Deltas()
    made.append(texts)
    if is_sealed:
        made.seal()
    return made


@given(
    st.lists(st.text(max_size=5), max_size=30),
    st.integers(0, 30),
    st.integers(0, 40),
    st.booleans(),
)
def test_a_part_is_what_the_texts_joined_are(
    texts: list[str], cursor: int, max_chars: int, is_sealed: bool
) -> None:
    cursor = min(cursor, len(texts))
    made = deltas(texts, is_sealed=is_sealed)
    text, stop, _ = made.since(cursor, max_chars=max_chars)
    assert text == "".join(texts[cursor:stop])
    assert cursor <= stop <= len(texts)
    if cursor < len(texts):
        assert stop > cursor
        assert len(text) <= max_chars or stop == cursor + 1
        if stop < len(texts):
            assert len(text) + len(texts[stop]) > max_chars


@given(st.lists(st.text(max_size=5), max_size=30), st.integers(1, 10))
def test_bounded_parts_make_the_whole_sealed_or_not(texts: list[str], max_chars: int) -> None:
    for is_sealed in (False, True):
        made = deltas(texts, is_sealed=is_sealed)
        cursor, parts = 0, []
        while cursor < len(made):
            text, cursor, _ = made.since(cursor, max_chars=max_chars)
            parts.append(text)
        assert "".join(parts) == made.text() == "".join(texts)


def test_sealed_deltas_cannot_grow() -> None:
    made = deltas(["a"], is_sealed=True)
    made.seal()
    with pytest.raises(ValueError, match="sealed"):
        made.append(["b"])
    assert len(made) == 1


_LABELS = st.sampled_from(
    [
        ANSWER,
        Label("reasoning"),
        Label("reasoning", is_mark=True),
        Label("tool_call", call=ToolCall(0, "look")),
        Label("tool_call", call=ToolCall(1, "look")),
    ]
)
_PIECES = st.lists(st.tuples(_LABELS, st.lists(st.text("ab", max_size=3), max_size=3)), max_size=8)


@given(
    _PIECES, st.sampled_from([(), ("reasoning",), ("reasoning", "tool_call")]), st.integers(0, 9)
)
def test_parts_of_one_kind_make_the_whole_of_each(
    pieces: list[tuple[Label, list[str]]], kinds: tuple[str, ...], max_chars: int
) -> None:
    for is_sealed in (False, True):
        made = Deltas()
        for label, texts in pieces:
            made.append(texts, label)
        if is_sealed:
            made.seal()
        cursor, parts = 0, []
        while cursor < len(made):
            before = cursor
            text, cursor, label = made.since(cursor, max_chars=max_chars, kinds=kinds)
            assert cursor > before
            assert not label.is_mark
            parts.append((label, text))
        for wanted in ("answer", "reasoning", "tool_call"):
            told = "".join(text for label, text in parts if label.kind == wanted)
            assert told == "".join(
                text
                for label, texts in pieces
                for text in texts
                if (label.kind if label.kind in kinds else "answer") == wanted
                and not (label.is_mark and label.kind in kinds)
            )
        assert "".join(run.text for run in made.runs()) == made.text()
