"""Cut an answer at the first of some texts, wherever tokens begin and end.

Rules:

1. The answer ends where the stop text that begins first begins, as if it were searched for in the
   whole text; so what is certain does not depend on how the text was cut into tokens.
2. No more is held back than may still turn out to belong to a stop text; a token with an id or a
   probability is held back whole, because half of it has neither.
3. Nothing is lost: what was held back is handed on when the answer ends without a stop text.
"""

from collections.abc import Iterable, Sequence

import msgspec

from server.core.protocol import TokenInfo
from server.dialects.base import NO_TOKEN_ID


class StopTexts:
    """Hand tokens on up to the first stop text; `found` is that text, empty until there is one."""

    __slots__ = ("_firsts", "_held", "_texts", "found")

    def __init__(self, texts: Iterable[str]) -> None:
        # Of two that begin in the same place the shorter is there first.
        self._texts = sorted({text for text in texts if text}, key=len)
        self._firsts = {text[0] for text in self._texts}
        self._held: list[TokenInfo] = []
        self.found = ""

    @property
    def is_needed(self) -> bool:
        """Tell whether there is any text to stop at."""
        return bool(self._texts)

    def feed(self, tokens: Sequence[TokenInfo]) -> list[TokenInfo]:
        """Return what is certain to belong to the answer, up to the stop text if it is there."""
        if not self._held and self._may_not_begin(tokens):
            return list(tokens)
        self._held += tokens
        text = "".join(token.text for token in self._held)
        cut, found = self._first(text)
        waits_from = self._first_begun(text)
        if found and cut <= waits_from:
            self.found = found
            return self._take(cut, is_cut=True)
        return self._take(min(cut, waits_from), is_cut=False)

    def _may_not_begin(self, tokens: Sequence[TokenInfo]) -> bool:
        """Tell whether no stop text can begin in these tokens, as in nearly all."""
        return not any(first in token.text for token in tokens for first in self._firsts)

    def rest(self) -> list[TokenInfo]:
        """Return what was held back, now that nothing more comes."""
        text = "".join(token.text for token in self._held)
        cut, self.found = self._first(text)
        if self.found:
            return self._take(cut, is_cut=True)
        held, self._held = self._held, []
        return held

    def _first(self, text: str) -> tuple[int, str]:
        """Return where the stop text that begins first begins, and which; the end if none is."""
        best = (len(text), "")
        for stop in self._texts:
            place = text.find(stop, 0, best[0] + len(stop) - 1) if best[1] else text.find(stop)
            if place >= 0:
                best = (place, stop)
        return best

    def _first_begun(self, text: str) -> int:
        """Return where the longest end of the text begins that a stop text may begin with."""
        longest = len(self._texts[-1]) - 1 if self._texts else 0
        for begin in range(max(0, len(text) - longest), len(text)):
            end = text[begin:]
            if any(len(stop) > len(end) and stop.startswith(end) for stop in self._texts):
                return begin
        return len(text)

    def _take(self, count: int, *, is_cut: bool) -> list[TokenInfo]:
        """Take so many characters of what is held; at a cut, the rest of it is dropped."""
        taken: list[TokenInfo] = []
        for n, token in enumerate(self._held):
            size = len(token.text)
            if size <= count and (size or not is_cut or count):
                taken.append(token)
                count -= size
                continue
            rest = self._held[n:]
            if count and (is_cut or _is_bare(token)):
                taken.append(msgspec.structs.replace(token, text=token.text[:count]))
                rest[0] = msgspec.structs.replace(token, text=token.text[count:])
            self._held = [] if is_cut else rest
            return taken
        self._held = []
        return taken


def _is_bare(token: TokenInfo) -> bool:
    return token.id == NO_TOKEN_ID and token.logprob is None and not token.special
