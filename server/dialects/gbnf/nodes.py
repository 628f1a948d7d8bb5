"""A grammar as a tree: what a text may be. Sets have no NUL, which ends a text in llama.cpp."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from server.core.errors import InvalidParameters

LAST: Final = 0x10FFFF
Range = tuple[int, int]


class GrammarRefused(InvalidParameters):
    """A grammar that cannot be translated; the text says which part of it."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"`grammar` {problem}")


@dataclass(frozen=True)
class Chars:
    """One character out of a set: ranges of code points, in order and apart."""

    ranges: tuple[Range, ...]


@dataclass(frozen=True)
class Seq:
    """One part after the other; none is the empty text."""

    items: tuple["Node", ...] = ()


@dataclass(frozen=True)
class Alt:
    """One of several."""

    items: tuple["Node", ...]


@dataclass(frozen=True)
class Repeat:
    """The same again and again; `most` is None where there is no end."""

    item: "Node"
    least: int
    most: int | None


@dataclass(frozen=True)
class Ref:
    """A rule, by its name."""

    name: str


Node = Chars | Seq | Alt | Repeat | Ref
EMPTY: Final = Seq()


def chars(*ranges: Range) -> Chars:
    """Return a set of characters, whatever the order of its ranges."""
    merged: list[Range] = []
    for low, high in sorted((max(low, 1), high) for low, high in ranges if high >= 1):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return Chars(tuple(merged))


def others(of: Chars) -> Chars:
    """Return all characters that are not in a set."""
    found, start = [], 1
    for low, high in of.ranges:
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        found.append((start, LAST))
    return Chars(tuple(found))


def both(one: Chars, other: Chars) -> Chars:
    """Return the characters that are in both sets."""
    return chars(
        *(
            (max(low, least), min(high, most))
            for low, high in one.ranges
            for least, most in other.ranges
            if max(low, least) <= min(high, most)
        )
    )


def text(words: str) -> Node:
    """Return exactly this text."""
    return Seq(tuple(Chars(((ord(char), ord(char)),)) for char in words))


def seq(*items: Node) -> Node:
    """Return one part after the other."""
    return items[0] if len(items) == 1 else Seq(items)


def alt(items: Iterable[Node]) -> Node:
    """Return one of several, each once."""
    several = tuple(dict.fromkeys(items))
    return several[0] if len(several) == 1 else Alt(several)


def optional(item: Node) -> Node:
    """Return something that may be left out."""
    return Repeat(item, 0, 1)


def is_nullable(node: Node) -> bool:
    """Tell whether a node may be the empty text; a rule never is."""
    if isinstance(node, Seq):
        return all(map(is_nullable, node.items))
    if isinstance(node, Alt):
        return any(map(is_nullable, node.items))
    return isinstance(node, Repeat) and (node.least == 0 or is_nullable(node.item))


def repeatable(node: Node) -> list[Node]:
    """Return what says the same when any of it is repeated without end, and is never empty.

    Of parts that may all be left out, any order comes about by repeating.
    """
    if isinstance(node, Chars | Ref) or not is_nullable(node):
        return [node]
    if isinstance(node, Repeat):
        return [] if node.most == 0 else repeatable(node.item)
    return [found for item in node.items for found in repeatable(item)]
