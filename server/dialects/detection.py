"""Find out who answers at an address, by what may be asked for nothing: pure functions.

Strategy: what the servers said is held against the signs that stand in the flavours, in their
order. The list of models is asked first, for most say there who they are; the other routes follow
one by one, until somebody is recognised.

Rules:

1. No route of a look costs the server anything. `/health` is not among them: with some servers it
   has a model write.
2. Who imitates others is looked for before them: llama-swap and KoboldCpp answer as Ollama does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import msgspec

from server.dialects.http.client import Reply
from server.dialects.openai.flavour import MODELS, Sign, find
from server.dialects.openai.flavours import FLAVOURS
from server.dialects.openai.tolerant_json import decode

OLLAMA: Final = "ollama"

_OLLAMA: Final = (
    (Sign("/api/version", at="version"), Sign("/", like=r"^Ollama is running")),
    (Sign("/api/version", at="version"), Sign("/api/tags", at="models.0.digest")),
)
# The gateway's list, and what its own model servers say of themselves.
_SIDESTREAM: Final = (
    Sign(at="data.0.owned_by", like=r"^sidestream$"),
    Sign("/info", at="router", like=r"^sidestream-engine$"),
)
# Ollama has a dialect of its own, and comes after all that imitate it.
SIGNS: Final[Mapping[str, tuple[tuple[Sign, ...], ...]]] = {
    **{name: flavour.recognised_by for name, flavour in FLAVOURS.items()},
    OLLAMA: _OLLAMA,
}
ROUTES: Final = tuple(
    dict.fromkeys(
        sign.route
        for groups in SIGNS.values()
        for group in groups
        for sign in group
        if sign.route not in ("", MODELS)
    )
)
"""The routes to ask after the list of models, in this order."""


@dataclass(frozen=True)
class Seen:
    """What an address has answered so far, by route."""

    url: str
    replies: Mapping[str, Reply] = field(default_factory=dict)


def recognise(seen: Seen) -> str:
    """Return the flavour's name, or `OLLAMA`, or nothing where nobody is recognised."""
    return next(
        (
            name
            for name, groups in SIGNS.items()
            if any(all(_is_there(sign, seen) for sign in group) for group in groups)
        ),
        "",
    )


def is_sidestream(seen: Seen) -> bool:
    """Tell whether a gateway like this one answers there, or a model server of one."""
    return any(_is_there(sign, seen) for sign in _SIDESTREAM)


def _is_there(sign: Sign, seen: Seen) -> bool:
    text = _text(sign, seen)
    return text is not None and re.search(sign.like, text) is not None


def _text(sign: Sign, seen: Seen) -> str | None:
    if not sign.route:
        return urlsplit(seen.url).hostname or ""
    reply = seen.replies.get(sign.route)
    if reply is None:
        return None
    if sign.header:
        return reply.headers.get(sign.header)
    if reply.status != 200:
        return None
    if not sign.at:
        return reply.body.decode(errors="replace")
    try:
        value = find(decode(reply.body), sign.at)
    except ValueError:
        return None
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
