"""Count a prompt's tokens where a server offers a way.

A flavour names the ways, the best one first; what a server answers shows which of them it has. One
that it has not is not asked for again.
"""

from collections.abc import Sequence
from typing import Final

from server.core.errors import InvalidParameters
from server.core.protocol import Message
from server.dialects.http.client import HTTPClient
from server.dialects.messages import in_openais_form
from server.dialects.openai.errors import failure
from server.dialects.openai.flavour import NO_ROUTE, Count, Flavour, fill, find
from server.dialects.openai.tolerant_json import decode_or_none

# The tokens of a prompt, some ten bytes each, for a context of a million.
_MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024

Content = Sequence[Message] | str


class Counting:
    """Count prompts with one server."""

    def __init__(self, http: HTTPClient, flavour: Flavour) -> None:
        self._http = http
        self._title = flavour.title
        self._ways = {True: flavour.counts_text, False: flavour.counts_chat}

    def has_way(self, content: Content) -> bool:
        """Tell whether there may be a way to count that kind of prompt."""
        return bool(self._ways[isinstance(content, str)])

    async def count(self, content: Content, model: str) -> int | None:
        """Return the prompt's length, None where the server turns out to have no way to tell.

        Raises `EngineError`, also for a prompt that the server refuses.
        """
        is_text = isinstance(content, str)
        value: object = content
        if not isinstance(content, str):
            value = in_openais_form(content)
        while ways := self._ways[is_text]:
            told = await self._tell(ways[0], value, model)
            if told is not None:
                return told
            self._ways[is_text] = ways[1:]
        return None

    async def last_tokens(self, content: Content, model: str, most: int) -> list[int] | None:
        """Return the ids of a prompt's last tokens, at most `most`; None if it has no more.

        Raises `EngineError`, and `InvalidParameters` where the server has no way to tell them.
        """
        count = await self.count(content, model)
        if count is not None and count <= most:
            return None
        value: object = content
        ways = self._ways[True]
        if not isinstance(content, str):
            ways = tuple(way for way in self._ways[False] if way.render is not None)
            value = in_openais_form(content)
        if ways and (render := ways[0].render) is not None:
            value = await self._post(render, value, model)
        ids = await self._post(ways[0], value, model) if ways and isinstance(value, str) else None
        if not isinstance(ids, list) or not all(isinstance(item, int) for item in ids):
            raise InvalidParameters(
                f"`truncate` is not taken by {self._title}: it does not tell a prompt's tokens"
            )
        return ids[-most:]

    async def _tell(self, way: Count, value: object, model: str) -> int | None:
        if way.render is not None:
            value = await self._post(way.render, value, model)
            if not isinstance(value, str):
                return None
        told = await self._post(way, value, model)
        if isinstance(told, list):
            return len(told)
        return told if isinstance(told, int) and not isinstance(told, bool) else None

    async def _post(self, way: Count, value: object, model: str) -> object | None:
        reply = await self._http.post(
            way.route, fill(way.body, value, model), max_bytes=_MAX_ANSWER_BYTES
        )
        if reply.status in NO_ROUTE:
            return None
        if reply.status != 200:
            raise failure(reply, engine=self._title)
        return find(decode_or_none(reply.body), way.at)
