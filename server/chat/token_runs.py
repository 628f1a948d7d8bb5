"""Divide tokens into runs of one label, as a log takes them."""

from collections.abc import Iterable
from itertools import groupby

from server.core.deltas import ANSWER, Label
from server.core.protocol import TokenInfo


def runs_of(tokens: list[TokenInfo]) -> Iterable[tuple[Label, list[TokenInfo]]]:
    """Divide tokens by what they are; most are all answer."""
    for token in tokens:
        if token.kind != "answer":
            return ((label, list(run)) for label, run in groupby(tokens, _label))
    return ((ANSWER, tokens),)


def _label(token: TokenInfo) -> Label:
    return ANSWER if token.kind == "answer" else Label(token.kind, token.mark, token.call)
