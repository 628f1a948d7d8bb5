"""Tell whether a server read less of a prompt than it was sent.

Some servers cut a prompt that does not fit, and answer as if nothing had been. All that shows it is
the number of tokens they say they read. Without the model's tokenizer a text's tokens are not
known; but there is a number below which no tokenizer gets.

Rules:

1. A false alarm is worse than none: fewer tokens than expected is a remark only where no tokenizer
   in use could have written the text with so few.
2. Tokenizers do not join words across blanks. Letters without blanks (Chinese, keys, data) may have
   long tokens; repeats of one sign, or of a phrase, longer ones still.
"""

import re
import zlib
from collections.abc import Sequence
from typing import Final

from server.core.content import text_of
from server.core.protocol import Message, Notice

_LEAST_TOKENS: Final = 256
"""Below this nothing is said: a template, or what a server counts, weighs too much."""
_COUNTED_SLACK: Final = 0.9
_LONG_WORD_BYTES: Final = 32
_BYTES_A_WORD_TOKEN: Final = 8
# The longest tokens for common phrases have some twenty bytes; only one phrase again and again
# is written with nothing else.
_BYTES_A_TOKEN: Final = 12
_BYTES_A_REPEATED_TOKEN: Final = 32
_SAMPLE_BYTES: Final = 64 * 1024
_REPETITIVE: Final = 20
_RUNS: Final = re.compile(rb"(.)\1{3,}", re.DOTALL)


def truncation(
    content: Sequence[Message] | str, tokens_read: int | None, *, counted: int | None = None
) -> Notice | None:
    """Return a notice where the server cannot have read all of the prompt.

    `counted` is the prompt's length where the model's own tokenizer told it.
    """
    if not tokens_read:
        return None
    if counted is not None:
        is_cut = counted >= _LEAST_TOKENS and tokens_read < counted * _COUNTED_SLACK
        return _notice(tokens_read, counted, f"{counted:,}") if is_cut else None
    text = (
        content
        if isinstance(content, str)
        else "\n".join(text_of(message.content) for message in content)
    )
    data = text.encode(errors="replace")
    if tokens_read >= len(data) / _BYTES_A_WORD_TOKEN:
        return None  # Nearly every answer; looking closer at a book takes a while.
    least = fewest_tokens(data)
    if least < _LEAST_TOKENS or tokens_read >= least:
        return None
    likely = likely_tokens(data)
    return _notice(tokens_read, likely, f"about {likely:,}")


def fewest_tokens(text: bytes) -> int:
    """Return a number of tokens below which no tokenizer can write a text."""
    words = _RUNS.sub(rb"\1", text).split()
    short = [len(word) for word in words if len(word) <= _LONG_WORD_BYTES]
    long = b"".join(word for word in words if len(word) > _LONG_WORD_BYTES)
    of_short = sum(min(1.0, (size + 1) / _BYTES_A_WORD_TOKEN) for size in short)
    sample = long[:_SAMPLE_BYTES]
    is_repetitive = len(sample) > _REPETITIVE * len(zlib.compress(sample, 1))
    return int(
        of_short + len(long) / (_BYTES_A_REPEATED_TOKEN if is_repetitive else _BYTES_A_TOKEN)
    )


def likely_tokens(text: bytes) -> int:
    """Return roughly how many tokens a text has, rounded so as not to look exact."""
    tokens = sum(max(1, round(len(word) / 4.5)) for word in text.split())
    unit: int = 10 ** max(0, len(str(tokens)) - 2)
    return round(tokens / unit) * unit


def _notice(tokens_read: int, tokens: int, told: str) -> Notice:
    return Notice(
        "prompt_truncated",
        f"the server read only {tokens_read:,} of {told} tokens",
        {"read": tokens_read, "tokens": tokens},
    )
