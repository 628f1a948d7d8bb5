"""A prompt that was cut is seen by what the server says it read; nothing else is taken for that."""

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.support.properties  # noqa: F401
from server.core.protocol import Message
from server.dialects.truncation import fewest_tokens, truncation

# Tokens that tokenizers in use have at the least for a text, by kind: bytes to a token at the most.
ENGLISH = "The quick brown fox jumps over the lazy dog, and nobody minds. " * 200
CHINESE = "大型语言模型可以回答问题。也可以写代码。今天的天气很好。我们去公园散步吧。" * 60
CODE = "        if value is None:\n            return {}\n\n" * 200


def test_recorded_cut() -> None:
    notice = truncation("word " * 6000, 2050)
    assert notice is not None
    assert notice.code == "prompt_truncated"
    assert notice.message == "the server read only 2,050 of about 6,000 tokens"
    assert notice.details == {"read": 2050, "tokens": 6000}


def test_conversations_count_as_one() -> None:
    messages = [Message("user", "word " * 3000), Message("assistant", "word " * 3000)]
    assert truncation(messages, 2050) is not None
    assert truncation(messages, 6030) is None


def test_counted_prompt_needs_no_guess() -> None:
    notice = truncation("大" * 4000, 2050, counted=3000)
    assert notice is not None
    assert notice.message == "the server read only 2,050 of 3,000 tokens"
    assert truncation("word " * 6000, 2990, counted=3000) is None
    assert truncation("word " * 6000, 20, counted=100) is None


@pytest.mark.parametrize("read", [None, 0])
def test_untold_is_no_cut(read: int | None) -> None:
    assert truncation("word " * 6000, read) is None


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (ENGLISH, len(ENGLISH) // 6),
        (CHINESE, len(CHINESE) // 3),  # Three characters to a token.
        ("中华人民共和国" * 2000, 2000),  # One token each, again and again.
        (CODE, len(CODE.split())),
        (" " * 100_000, 1000),
        ("\n" * 50_000, 400),
        ("-" * 100_000, 1000),
        ("=-" * 50_000, 6000),
        ("ha" * 50_000, 12_500),
        (base64.b64encode(random.Random(1).randbytes(60_000)).decode(), 80_000 // 5),
        ("0123456789" * 10_000, 100_000 // 4),
        ("🙂" * 20_000, 5000),
        ("Donaudampfschifffahrtsgesellschaft " * 500, 500 * 5),
        ("internationalization " * 2000, 2000),
    ],
    ids=range(14),
)
def test_no_false_alarm(text: str, tokens: int) -> None:
    assert truncation(text, tokens) is None


@given(st.text(max_size=1200), st.integers(1, 10_000))
def test_never_for_a_short_prompt(text: str, read: int) -> None:
    if len(text.encode()) < 2048:
        assert truncation(text, read) is None


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1)),
    st.sampled_from([" ", "\n", "  ", " \n\t"]),
)
def test_every_word_is_a_token_at_least(words: list[str], blank: str) -> None:
    """Tokenizers do not join words: as many tokens as words are always enough to say nothing."""
    text = blank.join(words * 50)
    short = [word for word in text.split() if len(word.encode()) <= 32]
    assert fewest_tokens(" ".join(short).encode()) <= len(short)


@given(st.integers(300, 3000), st.floats(0.05, 0.3))
def test_a_clear_cut_is_always_seen(words: int, kept: float) -> None:
    text = "".join(f"number {i} of many; " for i in range(words))
    assert truncation(text, max(1, int(words * 5 * kept))) is not None
