"""Extract the message for people from an error of a server or a proxy.

Rules:

1. Whatever it is, an error page among them, becomes one short text: a page is its title, or the
   first words of it.
2. Words may repeat what was sent; neither a key that was sent nor what looks like one reaches
   anybody.
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

# Shorter ones are no secrets, such as `none`, and are parts of words.
_MIN_KEY_CHARACTERS: Final = 8
# Keys and values of headers that servers were given, as long as this process runs.
_sent: Final[set[str]] = set()


def withhold(secret: str) -> None:
    """Have no words of a server repeat a secret from now on."""
    if len(secret) >= _MIN_KEY_CHARACTERS:
        _sent.add(secret)


def as_words(text: str) -> str:
    """Return a text or a page as a few words: empty if it has none, bounded, without keys."""
    if _PAGE.match(text):
        text = _page_words(text[:_MAX_PAGE_CHARACTERS])
    text = " ".join(text[: 4 * MAX_CHARACTERS].split())
    for secret in _sent:
        text = text.replace(secret, "[key]")
    text = _KEY.sub("[key]", text)
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1].rstrip() + "…"


def _page_words(page: str) -> str:
    title = _TITLE.search(page)
    if title is not None and (words := html.unescape(_TAG.sub(" ", title[1])).strip()):
        return words
    return html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", page)))


def text_or_empty(value: object) -> str:
    """Return a value that is a text, and an empty text for any other."""
    return value if isinstance(value, str) else ""
