"""What a server or a proxy said went wrong, as words for people.

Rules:

1. Whatever it is, an error page among them, becomes one short text: a page is its title, or the
   first words of it.
2. Words may repeat what was sent; what looks like a key does not reach anybody.
"""

import html
import re
from typing import Final

# Longer than any real error text; a proxy in between may answer with a whole page.
MAX_CHARACTERS: Final = 600
# A page is looked through no further than this.
_MAX_PAGE_CHARACTERS: Final = 64 * 1024

_PAGE: Final = re.compile(r"\s*(?:<\?xml|<!doctype|<!--|<[a-z][a-z0-9]*[\s>/])", re.IGNORECASE)
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_UNSEEN: Final = re.compile(r"<(script|style|head)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"<[^<>]*>?")
# What providers' keys begin with, and what stands behind `Bearer`.
_KEY: Final = re.compile(
    r"(?i:\bbearer\s+)[^\s'\",]+"
    r"|\b(?:sk|gsk|xai|hf|csk|fw|nvapi|pplx|tgp|key|tok)[-_][A-Za-z0-9_*.\-]{6,}"
    r"|\bAIza[A-Za-z0-9_\-]{10,}"
)


def as_words(text: str) -> str:
    """Return a text or a page as a few words: empty if it has none, bounded, without keys."""
    if _PAGE.match(text):
        text = _page_words(text[:_MAX_PAGE_CHARACTERS])
    text = _KEY.sub("[key]", " ".join(text[: 4 * MAX_CHARACTERS].split()))
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1].rstrip() + "…"


def _page_words(page: str) -> str:
    title = _TITLE.search(page)
    if title is not None and (words := html.unescape(_TAG.sub(" ", title[1])).strip()):
        return words
    return html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", page)))
