"""The words of a text, as the search index has them: in every script, folded, one space apart.

SQLite's own tokenizers find a word only where spaces or signs end it, which Chinese, Japanese, Thai
and others do not write; their trigrams find nothing shorter than three characters. So the words are
told apart here, and the index gets them with spaces between:

1. Case, width, ligatures and the accents of Latin, Greek, Cyrillic, Hebrew and Arabic make no
   difference: `STRASSE` is `Straße`, and `Cafe` is `café`.
2. In scripts without spaces between words, and in Hangul, whose particles follow without one, each
   character is a word; a search for several asks for them as a phrase. So `東京都` has `京都`.
3. A picture character (emoji) is a word. All other signs and spaces part words and are none.

A text and a search are folded by the same function, so that a text finds itself.
"""

import bisect
import re
import unicodedata
from typing import Final

# Blocks whose characters are a word each: ranges, ends included.
_SINGLE: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x1AAF),  # Tai Le, New Tai Lue, Buginese, Tai Tham
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),
    (0x3021, 0x312F),  # Hangzhou numerals, Hiragana, Katakana, Bopomofo
    (0x3130, 0x318F),  # Hangul Compatibility Jamo
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),  # Yi
    (0xA960, 0xA97F),
    (0xA980, 0xA9FF),  # Javanese, Myanmar Extended-B
    (0xAA60, 0xAADF),
    (0xAC00, 0xD7FF),  # Hangul
    (0xF900, 0xFAFF),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)
_STARTS: Final = [start for start, _ in _SINGLE]
# Accents, points and vowel signs that people leave out when they search.
_LEFT_OUT: Final = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\ufe00-\ufe0f\u200b-\u200f\u00ad]"
)


def fold(text: str) -> str:
    """Return a text in which case, width and accents make no difference."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFKC", _LEFT_OUT.sub("", apart))


def words_of(text: str) -> str:
    """Return the words of a text, folded, one space apart."""
    return " ".join(part(text).split())


def part(text: str) -> str:
    """Return a text folded, with a space wherever a word begins or ends, and in place of signs."""
    return fold(text).translate(_parted)


class _Parted(dict[int, str]):
    """What stands in the index for each character; looked up once and remembered."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        if kind == "So":
            parted = f" {character} "
        elif kind[0] not in "LNM" and kind != "Co":
            parted = " "
        else:
            at = bisect.bisect_right(_STARTS, code) - 1
            is_alone = at >= 0 and code <= _SINGLE[at][1]
            parted = f" {character} " if is_alone else character
        self[code] = parted
        return parted


_parted: Final = _Parted()
