"""Write a grammar as llama.cpp takes it.

Rules:

1. What is repeated without end is never empty itself: llama.cpp would repeat nothing for ever.
2. Many repeats are written as repeats of groups: llama.cpp writes each of them out, and some
   versions take no more than 2,000.
"""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

from server.dialects.gbnf.nodes import (
    EMPTY,
    Alt,
    Chars,
    GrammarRefused,
    Node,
    Ref,
    Repeat,
    Seq,
    alt,
    is_nullable,
    repeatable,
    seq,
)

_MOST_WRITTEN: Final = 1000
_GROUP: Final = 500
_MOST_REPEATS: Final = 100_000
_MAX_CHARACTERS: Final = 256 * 1024
# Deeper trees are no grammar that anybody means, and would exhaust Python's stack.
_MAX_DEPTH: Final = 100
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def write(root: Node, rules: Mapping[str, Node] | None = None) -> str:
    """Return the grammar of `root` as llama.cpp takes it; raises `GrammarRefused`."""
    rules = rules or {}
    for node in (root, *rules.values()):
        _check_depth(node)
    _check_ends(rules)
    lines = [f"{name} ::= {_write(node)}" for name, node in {"root": root, **rules}.items()]
    written = "\n".join(lines)
    if len(written) > _MAX_CHARACTERS:
        raise GrammarRefused("is too large")
    return written


def _check_depth(node: Node) -> None:
    level: Sequence[Node] = [node]
    for _ in range(_MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise GrammarRefused("is nested too deeply")


def _check_ends(rules: Mapping[str, Node]) -> None:
    """Raise `GrammarRefused` where a rule begins with itself, and so never ends."""
    try:
        TopologicalSorter({name: _begins_with(node) for name, node in rules.items()}).prepare()
    except CycleError:
        raise GrammarRefused("has a part that begins with itself") from None


def _begins_with(node: Node) -> set[str]:
    if isinstance(node, Ref):
        return {node.name}
    if isinstance(node, Alt):
        return {name for item in node.items for name in _begins_with(item)}
    if isinstance(node, Repeat):
        return _begins_with(node.item)
    found: set[str] = set()
    for item in node.items if isinstance(node, Seq) else ():
        found |= _begins_with(item)
        if not is_nullable(item):
            break
    return found


def _inside(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Seq | Alt):
        return node.items
    return (node.item,) if isinstance(node, Repeat) else ()


def _write(node: Node) -> str:
    if isinstance(node, Ref):
        return node.name
    if isinstance(node, Chars):
        return _write_set(node)
    if isinstance(node, Alt):
        return "(" + " | ".join(map(_write, node.items)) + ")"
    if isinstance(node, Seq):
        return _write_sequence(node)
    return _write_repeat(node)


def _write_sequence(node: Seq) -> str:
    """Write characters that stand one after the other as one text."""
    parts: list[str] = []
    literal = ""
    for item in node.items:
        if isinstance(item, Chars) and len(item.ranges) == 1 and len(set(item.ranges[0])) == 1:
            literal += _escape(item.ranges[0][0], '"\\')
            continue
        if literal:
            parts.append(f'"{literal}"')
            literal = ""
        if item != EMPTY:
            parts.append(f"({_write(item)})" if isinstance(item, Seq) else _write(item))
    if literal or not parts:
        parts.append(f'"{literal}"')
    return " ".join(parts)


def _write_set(node: Chars) -> str:
    if not node.ranges:
        raise GrammarRefused("has a set of no characters, which nothing can match")
    special = "\\]-^["
    written = ""
    for low, high in node.ranges:
        written += _escape(low, special)
        if high > low:
            written += "-" + _escape(high, special)
    return f"[{written}]"


def _escape(code: int, special: str) -> str:
    char = chr(code)
    if char in special and char not in _NAMED:
        return f"\\x{code:02X}"
    if char in _NAMED:
        return _NAMED[char] if char != '"' or '"' in special else char
    if " " <= char <= "~":
        return char
    if code <= 0x7F:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _write_repeat(node: Repeat) -> str:
    item, least, most = node.item, node.least, node.most
    if most is None and is_nullable(item):
        several = repeatable(item)
        if not several:
            return '""'
        item, least = alt(several), 0
    if max(least, most or 0) > _MOST_REPEATS:
        raise GrammarRefused(f"repeats more than {_MOST_REPEATS} times")
    if most == 0:
        return '""'
    if max(least, most or 0) > _MOST_WRITTEN:
        return _write(_in_groups(item, least, most))
    written = _write(item)
    if isinstance(item, Seq | Repeat):
        written = f"({written})"
    if (least, most) == (1, 1):
        return written
    if most is None:
        return written + {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    if (least, most) == (0, 1):
        return written + "?"
    return written + (f"{{{least}}}" if least == most else f"{{{least},{most}}}")


def _in_groups(item: Node, least: int, most: int | None) -> Node:
    """Return the repeats as repeats of groups, with as little choice as possible."""
    parts: list[Node] = []
    groups, rest = divmod(least, _GROUP)
    if groups:
        parts.append(Repeat(Repeat(item, _GROUP, _GROUP), groups, groups))
    if rest:
        parts.append(Repeat(item, rest, rest))
    if most is None:
        parts.append(Repeat(item, 0, None))
    elif more := most - least:
        # The rest covers every number that is less than a group.
        groups = max(0, (more - _GROUP + 1) // _GROUP)
        if groups:
            parts.append(Repeat(Repeat(item, _GROUP, _GROUP), 0, groups))
        rest = more - groups * _GROUP
        parts.append(Repeat(item, 0, rest))
    return seq(*parts)
