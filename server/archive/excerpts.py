"""What is shown of a text in one line, without Markdown's signs: what was found, or a title.

A search is asked of the index as `Search.query`; where in a text its words stand is looked for
again by `Search.excerpt`, in the text as it was written, since the index has it folded.
"""

import functools
import re
import unicodedata
from typing import Final

from server.archive.shapes import Piece
from server.archive.words import part, words_of

# As much as two lines of a list show, and how much of it stands before the first hit.
_EXCERPT_CHARS: Final = 180
_CHARS_BEFORE: Final = 40
# How much is read of a line that never ends, and of a text whose hit spans lines.
_MAX_CHARS: Final = 100_000
# How much of it Markdown's signs are taken out of, around the first hit.
_CLEANED_CHARS: Final = 600
# A list shows about as much in one line.
_TITLE_CHARS: Final = 80

_BLOCK_SIGNS: Final = re.compile(
    r"\s*(?:>\s?|#{1,6}(?:\s+|$)|[-*+]\s+(?:\[[ xX]\]\s+)?|\d{1,9}[.)]\s+)"
)
_FENCE: Final = re.compile(r"\s*(?:`{3,}[^`]*|~{3,}.*)")
_INLINE_SIGNS: Final = re.compile(
    r"(?P<ticks>`+)(?P<code>.+?)(?P=ticks)"
    r"|!?\[(?P<label>[^\[\]]*)\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+\"[^\"]*\")?\)"
    r"|\\(?P<literal>[!-/:-@\[-`{-~])"
    r"|\*+(?=\S)|(?<=\S)\*+|~~(?=\S)|(?<=\S)~~"
    r"|\b_+(?=\w)|(?<=[^\W_])_+(?!\w)|(?<!\w)_+(?=\w)|`+"
)
_TABLE_BARS: Final = re.compile(r"\s*\|.*|[^|]*\|[^|]*\|.*")
_TABLE_RULE: Final = re.compile(r"[\s|:=-]+")


class Search:
    """The words that are looked for, all of which a text has to have."""

    def __init__(self, words: str) -> None:
        found = [words_of(word).split() for word in words.split()]
        self._words = [word for word in found if word]
        self._patterns = [re.compile(_pattern(word)) for word in self._words]
        # Without words it finds nothing.
        self._pattern = re.compile("|".join(map(_pattern, self._words)) or r"(?!)")

    @property
    def query(self) -> str:
        """Return an FTS5 query: each word quoted, so that none is an operator, and as a prefix."""
        return " ".join(f'"{" ".join(word)}"*' for word in self._words)

    def mark(self, text: str) -> list[Piece]:
        """Return a whole text in pieces, or none if nothing of it was looked for."""
        spans = self._spans(text)
        return _cut(text, spans, 0, len(text)) if spans else []

    def excerpt(self, text: str) -> list[Piece]:
        """Return the line with the most of the words, cut to what is shown, in pieces."""
        line = unicodedata.normalize("NFC", self._line(text) or text[:_MAX_CHARS])
        if len(line) > _CLEANED_CHARS:
            spans = self._spans(line)
            start = max(spans[0][0] - _CLEANED_CHARS // 2, 0) if spans else 0
            line = line[start : start + _CLEANED_CHARS]
        plain = without_signs(line)
        spans = self._spans(plain)
        if not spans:  # in an address, or over the end of a line
            plain = " ".join(line.split())
            spans = self._spans(plain)
        first = spans[0][0] if spans else 0
        start = 0
        if first > _CHARS_BEFORE:
            space = plain.find(" ", first - _CHARS_BEFORE, first)
            start = first - _CHARS_BEFORE if space < 0 else space + 1
        end = min(start + _EXCERPT_CHARS, len(plain))
        if end < len(plain):
            space = plain.rfind(" ", end - _CHARS_BEFORE, end)
            end = end if space < 0 else space
        pieces = _cut(plain, spans, start, end)
        if start > 0:
            pieces.insert(0, Piece("…", hit=False))
        if end < len(plain):
            pieces.append(Piece("…", hit=False))
        return pieces

    def _line(self, text: str) -> str:
        best, most = "", 0
        for line in text.splitlines():
            parted = part(line[:_MAX_CHARS])
            count = sum(1 for pattern in self._patterns if pattern.search(parted))
            if count > most:
                best, most = line[:_MAX_CHARS], count
            if most == len(self._patterns):
                break
        return best

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Return where the words stand, in order, without overlaps."""
        parted, places = part(text), list(range(len(text)))
        if not text.isascii():
            several = [*map(_part_character, text)]
            parted = "".join(several)
            places = [place for place, one in enumerate(several) for _ in one]
        spans: list[tuple[int, int]] = []
        for found in self._pattern.finditer(parted):
            start, end = places[found.start()], places[found.end() - 1] + 1
            while end < len(text) and not _part_character(text[end]):
                end += 1  # points and accents that are left out
            # What a character is folded to may be found in two parts.
            if not spans or start >= spans[-1][1]:
                spans.append((start, end))
        return spans


def without_signs(line: str) -> str:
    """Return a line of Markdown as it reads: without the signs that a page does not show."""
    while found := _BLOCK_SIGNS.match(line):
        line = line[found.end() :]
    if _FENCE.fullmatch(line):
        return ""
    if _TABLE_BARS.fullmatch(line):
        line = "" if _TABLE_RULE.fullmatch(line) else line.replace("|", " ")
    return " ".join(_INLINE_SIGNS.sub(_inner, line).split())


def title_of(text: str, attached: list[str] | None = None) -> str:
    """Return the title of a conversation with this first prompt: its first line, cut at a word.

    A prompt without text is called by the names of what is `attached`.
    """
    lines = (without_signs(line) for line in text[:_MAX_CHARS].splitlines())
    title = next(filter(words_of, lines), "") or " ".join(text[:_MAX_CHARS].split())
    if not title and attached:
        more = f" and {len(attached) - 1} more" if len(attached) > 1 else ""
        title = f"{attached[0]}{more}"
    if len(title) <= _TITLE_CHARS:
        return title
    space = title.rfind(" ", _TITLE_CHARS // 2, _TITLE_CHARS)
    return title[: space if space > 0 else _TITLE_CHARS - 1] + "…"


_part_character = functools.lru_cache(maxsize=1 << 16)(part)


def _inner(found: re.Match[str]) -> str:
    return found["code"] or found["label"] or found["literal"] or ""


def _pattern(word: list[str]) -> str:
    """Return where a word stands in a parted text: its parts behind each other, to its end."""
    return r"(?<!\S)" + r"\s+".join(map(re.escape, word)) + r"\S*"


def _cut(text: str, spans: list[tuple[int, int]], start: int, end: int) -> list[Piece]:
    pieces: list[Piece] = []
    for first, last in spans:
        if first >= end:
            break
        pieces.append(Piece(text[start:first], hit=False))
        pieces.append(Piece(text[first : min(last, end)], hit=True))
        start = min(last, end)
    pieces.append(Piece(text[start:end], hit=False))
    return [piece for piece in pieces if piece.text]
