"""End an answer at a stop text where TGI does not: inside a token, or where it was not asked to.

Rules:

1. A stop text that was asked for stays in the answer, as TGI has it. TGI ends only where a token
   ends with one; where the text ends inside a token, that token is cut behind it.
2. Ours, at which the next role would begin, is cut off. TGI takes few of them, so that there may be
   no room for ours.
3. Where the server goes on, the connection is closed, which ends its work.
"""

from collections.abc import Sequence

import msgspec

from server.core.errors import SidestreamError
from server.core.protocol import TokenInfo
from server.dialects.base import Finish, Meter, OnTokens
from server.dialects.stopping import StopCutter, StopSearch
from server.dialects.tgi.wire import AnswerReader


class CutAnswerReader:
    """Read one answer as `AnswerReader` does, and end it at the first of `roles` or behind `asked`.

    `asked` are the stop texts that somebody asked for, `roles` those that are ours.
    """

    def __init__(
        self,
        on_tokens: OnTokens,
        meter: Meter,
        *,
        roles: Sequence[str] = (),
        asked: Sequence[str] = (),
    ) -> None:
        self._reader = AnswerReader(self._hear, meter)
        self._on_tokens = on_tokens
        self._roles = StopCutter(roles)
        self._asked = _KeptStop(asked)
        self._heard = 0
        self._last_tokens: list[TokenInfo] = []

    def feed(self, chunk: bytes) -> bool:
        """Hand on what `chunk` completes, and tell whether that was all."""
        return self._reader.feed(chunk) or self._is_over()

    def finish(self) -> Finish:
        """Hand on the last tokens and return how the answer ended, or raise why it did not."""
        if self._is_over():
            return self._stopped(None)
        try:
            finish = self._reader.finish()
        except SidestreamError:
            if self._is_over():
                return self._stopped(None)
            self._hand_on(self._asked.feed(self._roles.finish()))
            raise
        if not self._is_over():
            self._hand_on(self._asked.feed(self._roles.finish()))
        return self._stopped(finish) if self._is_over() else finish

    def _is_over(self) -> bool:
        return self._asked.is_reached or self._roles.stopped_at is not None

    def _hear(self, tokens: list[TokenInfo]) -> None:
        self._heard += len(tokens)
        ready = self._asked.feed(self._roles.feed(tokens))
        if self._is_over():
            # Kept for the step in which the end is told.
            self._last_tokens += ready
        else:
            self._hand_on(ready)

    def _stopped(self, finish: Finish | None) -> Finish:
        self._hand_on(self._last_tokens)
        if finish is None:
            return Finish("stop", None, self._heard)
        if self._roles.stopped_at is None and not self._asked.has_cut:
            # The server's own end, which may be another: a length is reached first.
            return finish
        return Finish("stop", finish.prompt_tokens, finish.completion_tokens)

    def _hand_on(self, tokens: list[TokenInfo]) -> None:
        if tokens:
            self._on_tokens(tokens)


class _KeptStop:
    """Cut tokens behind the first of several stop texts; nothing is held back.

    TGI looks for `text$`, which also matches before a line feed at the end, so that one stays.
    """

    __slots__ = ("_searches", "has_cut", "is_reached")

    def __init__(self, stop: Sequence[str]) -> None:
        self._searches = [StopSearch(text) for text in dict.fromkeys(stop) if text]
        self.is_reached = False
        self.has_cut = False
        """Whether something came behind the stop text."""

    def feed(self, tokens: list[TokenInfo]) -> list[TokenInfo]:
        """Return the tokens up to the stop text; none, once it has been reached."""
        if self.is_reached:
            self.has_cut = self.has_cut or bool(tokens)
            return []
        if self._searches:
            for place, token in enumerate(tokens):
                end = None if token.special else self._look(token.text)
                if end is not None:
                    return self._cut(tokens, place, end)
        return tokens

    def _look(self, text: str) -> int | None:
        ends = [search.feed(text) for search in self._searches]
        return min((end for end in ends if end is not None), default=None)

    def _cut(self, tokens: list[TokenInfo], place: int, end: int) -> list[TokenInfo]:
        self.is_reached = True
        kept, text = tokens[: place + 1], tokens[place].text
        self.has_cut = len(kept) < len(tokens)
        if text[end:] not in ("", "\n"):
            self.has_cut = True
            kept[place] = msgspec.structs.replace(kept[place], text=text[:end])
        return kept
