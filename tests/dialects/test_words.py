"""What went wrong, in words for people: short, readable, and without keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.dialects.words import MAX_CHARACTERS, as_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("  two\n words ", "two words"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("<html><head><title>502 Bad</title></head><body>nginx</body></html>", "502 Bad"),
        ("<!DOCTYPE html><title>\n Fish &amp; chips </title>", "Fish & chips"),
        ("<html><head><title></title></head><body><h1>Not here</h1><p>Sorry</p>", "Not here Sorry"),
        ("<html><style>p { color: red }</style><script>let x</script><p>Sorry</p>", "Sorry"),
        ("<html><body>cut in a <ta", "cut in a"),
        ("<html>", ""),
        ("<?xml version='1.0'?><Error><Message>Denied</Message></Error>", "Denied"),
        ("Bearer abc123 is wrong", "[key] is wrong"),
        ("key sk-abcdef-123456 is wrong", "key [key] is wrong"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert as_words(text) == words


@given(st.text(max_size=30), st.integers(0, 100))
def test_words_are_few_and_in_one_line(text: str, times: int) -> None:
    words = as_words(text * times)
    assert len(words) <= MAX_CHARACTERS
    assert words == " ".join(words.split())
