"""What stands between the values of JSON: commas, colons, and rules that let some be left out."""

from collections.abc import Sequence

from server.dialects.gbnf import json_texts as texts
from server.dialects.gbnf.nodes import EMPTY, Node, Ref, Repeat, alt, optional, seq, text

_COMMA = seq(text(","), texts.BLANK)


class Rules:
    """Keep the rules of a grammar, by name."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def named(self, node: Node) -> Node:
        """Return a rule that stands for a node, so that it is written once."""
        if node == EMPTY or isinstance(node, Ref):
            return node
        name = f"part-{len(self.nodes)}"
        self.nodes[name] = node
        return Ref(name)


def pair(name: Node, value: Node) -> Node:
    """Return a property with its value."""
    return seq(name, text(":"), texts.BLANK, value)


def any_value(rules: Rules) -> Node:
    """Return any JSON value."""
    name, value = "value", Ref("value")
    if name not in rules.nodes:
        member = pair(texts.string(0, None), value)
        rules.nodes[name] = alt(
            (
                seq(text("{"), _separated(member, 0, None), text("}")),
                seq(text("["), _separated(value, 0, None), text("]")),
                texts.string(0, None),
                texts.NUMBER,
                *map(text, ("true", "false", "null")),
            )
        )
    return value


def array(first: Sequence[Node], more: Node | None, least: int, most: int | None) -> Node:
    """Return an array that has `first` and then, unless None, from `least` to `most` of all."""
    left = None if most is None else most - len(first)
    lacking = max(0, least - len(first))
    if not first:
        inside = EMPTY if more is None else _separated(more, lacking, left)
        return seq(text("["), inside, text("]"))
    places = [part for item in first for part in (_COMMA, item)][1:]
    rest = EMPTY if more is None or left == 0 else Repeat(seq(_COMMA, more), lacking, left)
    return seq(text("["), *places, rest, text("]"))


def members(
    rules: Rules,
    pairs: Sequence[tuple[Node, bool]],
    other: Node | None,
    least: int,
    most: int | None,
) -> Node:
    """Return properties in their order, each with whether it has to be there, then others.

    What may come from one of them on is a rule, with a comma before it and without: the text of the
    grammar grows with their number, however many may be left out.
    """
    behind: Node = EMPTY if other is None else Repeat(seq(_COMMA, other), 0, None)
    alone: Node = EMPTY if other is None else _separated(other, least, most)
    for member, is_needed in reversed(pairs):
        with_it = seq(member, behind)
        alone = rules.named(with_it if is_needed else alt((with_it, alone)))
        with_comma = seq(_COMMA, with_it)
        behind = rules.named(with_comma if is_needed else alt((with_comma, behind)))
    return alone


def _separated(item: Node, least: int, most: int | None) -> Node:
    """Return so many of the same with commas between them."""
    if most == 0:
        return EMPTY
    tail = Repeat(seq(_COMMA, item), max(0, least - 1), None if most is None else most - 1)
    return seq(item, tail) if least else optional(seq(item, tail))
