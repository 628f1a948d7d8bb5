"""The texts of JSON values as grammars: strings, numbers within bounds, literals."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from server.dialects.gbnf.nodes import (
    Alt,
    Chars,
    Node,
    Repeat,
    Seq,
    alt,
    both,
    chars,
    optional,
    others,
    seq,
    text,
)

QUOTE: Final = text('"')
# TGI lets a model write one blank there; more, or line feeds, small models write without end.
BLANK: Final = optional(text(" "))
_PLAIN: Final = others(chars((0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F)))
_HEX: Final = chars((0x30, 0x39), (0x41, 0x46), (0x61, 0x66))
_SHORT: Final = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
ANY_CHAR: Final = alt(
    (
        _PLAIN,
        seq(text("\\"), chars(*((ord(c), ord(c)) for c in '"\\/bfnrt'))),
        seq(text("\\u"), Repeat(_HEX, 4, 4)),
    )
)
DIGIT: Final = chars((0x30, 0x39))
_FROM_ONE: Final = chars((0x31, 0x39))
# As many as a float of 64 bits tells apart; a small model would write digits without end.
_MOST_DIGITS: Final = 15
INTEGER: Final = seq(
    optional(text("-")),
    alt((text("0"), seq(_FROM_ONE, Repeat(DIGIT, 0, _MOST_DIGITS)))),
)
FRACTION: Final = seq(text("."), Repeat(DIGIT, 1, _MOST_DIGITS))
NUMBER: Final = seq(
    INTEGER,
    optional(FRACTION),
    optional(
        seq(
            chars((0x45, 0x45), (0x65, 0x65)),
            optional(chars((0x2B, 0x2B), (0x2D, 0x2D))),
            Repeat(DIGIT, 1, 3),
        )
    ),
)


@dataclass(frozen=True)
class Bound:
    """A bound of a number; it is open where the number cannot be the bound itself."""

    at: Decimal
    is_open: bool


_ZERO: Final = Bound(Decimal(0), is_open=False)


def literal(value: Any) -> Node:
    """Return exactly this value, as it is written without blanks."""
    return text(msgspec.json.encode(value).decode())


def string(least: int, most: int | None) -> Node:
    """Return a string of so many characters."""
    return seq(QUOTE, Repeat(ANY_CHAR, least, most), QUOTE)


def quoted(node: Node) -> Node:
    """Return a string with what a regular expression says, written as JSON writes it."""
    return seq(QUOTE, _escaped(node), QUOTE)


def _escaped(node: Node) -> Node:
    if isinstance(node, Seq):
        return seq(*map(_escaped, node.items))
    if isinstance(node, Alt):
        return alt(map(_escaped, node.items))
    if isinstance(node, Repeat):
        return Repeat(_escaped(node.item), node.least, node.most)
    if not isinstance(node, Chars):
        return node
    plain = both(node, _PLAIN)
    found: list[Node] = [plain] if plain.ranges else []
    for char, short in _SHORT.items():
        if both(node, chars((ord(char), ord(char)))).ranges:
            found.append(text("\\" + short))
    return alt(found) if found else node


def number(low: Bound | None, high: Bound | None) -> Node:
    """Return a number between bounds that are whole, without an exponent."""
    branches: list[Node] = []
    if low is None or low.at < 0:
        near = Bound(-high.at, high.is_open) if high is not None and high.at <= 0 else _ZERO
        far = None if low is None else Bound(-low.at, low.is_open)
        branches.append(seq(text("-"), _size(near, far)))
    if high is None or high.at > 0 or (high.at == 0 and not high.is_open):
        branches.append(_size(low if low is not None and low.at >= 0 else _ZERO, high))
    return alt(branches)


def _size(near: Bound, far: Bound | None) -> Node:
    """Return a number of 0 or more between two bounds."""
    least, fraction = int(near.at), optional(FRACTION)
    some = seq(text("."), Repeat(DIGIT, 0, _MOST_DIGITS), _FROM_ONE)
    nothing = optional(seq(text("."), Repeat(text("0"), 1, _MOST_DIGITS)))
    if far is not None and far.at == least:
        return seq(text(str(least)), nothing)
    branches: list[Node] = [seq(text(str(least)), some if near.is_open else fraction)]
    most = None if far is None else int(far.at) - 1
    if most is None or most > least:
        branches.append(seq(_magnitude(least + 1, most), fraction))
    if far is not None and not far.is_open:
        branches.append(seq(text(str(int(far.at))), nothing))
    return alt(branches)


def integer(least: int | None, most: int | None) -> Node:
    """Return a whole number from `least` to `most`, where these are known."""
    if least is None and most is None:
        return INTEGER
    branches: list[Node] = []
    if least is None or least < 0:
        low = None if least is None else -least
        high = 1 if most is None or most >= 0 else -most
        branches.append(seq(text("-"), _magnitude(high, low)))
    if most is None or most >= 0:
        branches.append(_magnitude(max(least or 0, 0), most))
    return alt(branches)


def _magnitude(least: int, most: int | None) -> Node:
    """Return a number of 0 or more, from `least` to `most`."""
    shown = str(least)
    if most is None:
        # Longer ones are all larger.
        more = seq(_FROM_ONE, Repeat(DIGIT, len(shown), max(_MOST_DIGITS, len(shown))))
        same = _between(shown, "9" * len(shown))
        return alt((same, more))
    branches = []
    for length in range(len(shown), len(str(most)) + 1):
        low = max(least, 10 ** (length - 1) if length > 1 else 0)
        high = min(most, 10**length - 1)
        branches.append(_between(str(low), str(high)))
    return alt(branches)


def _between(low: str, high: str) -> Node:
    """Return the numbers between two with equally many digits."""
    if not low:
        return Seq()
    if low == high:
        return text(low)
    first, last, rest = int(low[0]), int(high[0]), len(low) - 1
    if not rest:
        return chars((0x30 + first, 0x30 + last))
    if low[1:] == "0" * rest and high[1:] == "9" * rest:
        return seq(chars((0x30 + first, 0x30 + last)), Repeat(DIGIT, rest, rest))
    if first == last:
        return seq(text(low[0]), _between(low[1:], high[1:]))
    branches = [seq(text(low[0]), _between(low[1:], "9" * rest))]
    if last - first > 1:
        branches.append(
            seq(chars((0x31 + first, 0x2F + last)), Repeat(DIGIT, rest, rest)),
        )
    branches.append(seq(text(high[0]), _between("0" * rest, high[1:])))
    return alt(branches)
