"""Tell what a grammar takes, by its tree: slow, and simple enough to be believed."""

from collections.abc import Mapping
from functools import cache

from server.dialects.gbnf.nodes import Alt, Chars, Node, Ref, Seq


def takes(root: Node, text: str, rules: Mapping[str, Node] | None = None) -> bool:
    """Tell whether all of a text is what a grammar says."""
    named = dict(rules or {})

    @cache
    def ends(node: Node, start: int) -> frozenset[int]:
        if isinstance(node, Ref):
            return ends(named[node.name], start)
        if isinstance(node, Chars):
            is_in = start < len(text) and any(
                low <= ord(text[start]) <= high for low, high in node.ranges
            )
            return frozenset({start + 1} if is_in else ())
        if isinstance(node, Alt):
            return frozenset().union(*(ends(item, start) for item in node.items))
        if isinstance(node, Seq):
            places = frozenset({start})
            for item in node.items:
                places = frozenset().union(*(ends(item, place) for place in places))
            return places
        reached = frozenset({start}) if node.least == 0 else frozenset()
        places, times = frozenset({start}), 0
        while places and (node.most is None or times < node.most):
            times += 1
            places = frozenset().union(*(ends(node.item, place) for place in places))
            if times >= node.least:
                if places <= reached:
                    break
                reached |= places
        return reached

    return len(text) in ends(root, 0)
