"""Sets of characters by the names that they have in regular expressions: ASCII, as with TGI."""

import re
from typing import Final

from server.dialects.gbnf.nodes import chars, others

_DIGIT: Final = chars((0x30, 0x39))
_WORD: Final = chars((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: Final = chars((0x09, 0x0D), (0x20, 0x20))
CLASSES: Final = {
    "d": _DIGIT,
    "w": _WORD,
    "s": _SPACE,
    "D": others(_DIGIT),
    "W": others(_WORD),
    "S": others(_SPACE),
}
CONTROLS: Final = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "a": 7, "e": 27}
CODES: Final = re.compile(
    r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|[xuU]\{([0-9A-Fa-f]{1,8})\}"
)
NAMED_CLASS: Final = re.compile(r"\[:(\^?)(\w+):\]")
POSIX: Final = {
    "digit": _DIGIT,
    "space": _SPACE,
    "word": _WORD,
    "alpha": chars((0x41, 0x5A), (0x61, 0x7A)),
    "alnum": chars((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)),
    "lower": chars((0x61, 0x7A)),
    "upper": chars((0x41, 0x5A)),
    "punct": chars((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "xdigit": chars((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
    "blank": chars((0x09, 0x09), (0x20, 0x20)),
}
