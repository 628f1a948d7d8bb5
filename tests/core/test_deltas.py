"""The texts of an answer: joined on demand, the same before and after they are sealed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.deltas import Deltas


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
    text, stop = made.since(cursor, max_chars=max_chars)
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
            text, cursor = made.since(cursor, max_chars=max_chars)
            parts.append(text)
        assert "".join(parts) == made.text() == "".join(texts)


def test_what_is_sealed_does_not_grow() -> None:
    made = deltas(["a"], is_sealed=True)
    made.seal()
    with pytest.raises(ValueError, match="sealed"):
        made.append(["b"])
    assert len(made) == 1
