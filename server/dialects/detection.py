"""Detect a server's dialect and flavour by requests that cost nothing: pure functions.

Strategy: a server's answers are compared with the signs of the flavours, in their order, and of the
dialects. The list of models is asked first, where most servers say what they are; the other routes
follow one by one, until a server is recognised.

Rules:

1. No route that is asked costs the server anything. `/health` is not among them: with some servers
   it has a model write.
2. A server that imitates others is looked for before them, as llama-swap and KoboldCpp are before
   Ollama.
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
from server.dialects.openai.listing import GATEWAY, RELAYED
from server.dialects.openai.tolerant_json import decode_or_none
from server.dialects.registry import DIALECTS

# The gateway's list, and what its own model servers say of themselves.
_SIDESTREAM: Final = (
    Sign(at="data.0.owned_by", like=rf"^({GATEWAY}|{RELAYED})$"),
    Sign("/info", at="router", like=r"^sidestream-engine$"),
)
# Servers with a dialect of their own, such as Ollama, come after all that imitate them.
SIGNS: Final[Mapping[str, tuple[tuple[Sign, ...], ...]]] = {
    **{name: flavour.recognised_by for name, flavour in FLAVOURS.items()},
    **{name: one.recognised_by for name, one in DIALECTS.items() if one.recognised_by},
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
    """Return the name of the flavour or dialect, nothing where no server is recognised."""
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
    value = find(decode_or_none(reply.body), sign.at)
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
