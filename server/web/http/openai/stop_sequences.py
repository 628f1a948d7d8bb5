"""Cut an answer before its first stop sequence, as OpenAI does.

TGI leaves the stop sequence in the text, and notices it only at the end of a token. Here it is cut
off anywhere, so text that may be the beginning of a stop sequence is held back until that is
decided.
"""

from collections import deque
from collections.abc import Sequence

from server.chat.reading import Part
from server.core.protocol import TokenInfo


class StopSequenceFilter:
    """Pass an answer's text and tokens through up to the first stop sequence."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self._shown_chars = 0
        self._read_chars = 0
        self._tokens: deque[tuple[int, TokenInfo]] = deque()
        self.was_stopped = False
        self.token_offset = 0
        """The offset in the text of the tokens that `feed` returned last."""

    def feed(self, part: Part) -> tuple[str, list[TokenInfo]]:
        """Return the text that is decided by now, and the tokens that it is made of."""
        if self.was_stopped:
            return "", []
        for token in part.tokens:
            if not token.special:
                self._tokens.append((self._read_chars, token))
                self._read_chars += len(token.text)
        text = self._held + part.text
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            # The sequence that ends first, however the text was cut into tokens.
            self.was_stopped = True
            shown = text[: min(found)[1]]
        elif part.end is not None:
            shown = text
        else:
            shown = text[: len(text) - _may_be_stop(text, self._stops)]
        self._held = text[len(shown) :]
        return self._pass_on(shown)

    def flush(self) -> tuple[str, list[TokenInfo]]:
        """Return what is held back, where something else than text of the answer follows."""
        held, self._held = self._held, ""
        return self._pass_on(held)

    def _pass_on(self, shown: str) -> tuple[str, list[TokenInfo]]:
        self._shown_chars += len(shown)
        return shown, self._take_tokens()

    def _take_tokens(self) -> list[TokenInfo]:
        """Return the tokens whose text was passed on; of a token that was cut, a part counts."""
        self.token_offset = self._tokens[0][0] if self._tokens else self._read_chars
        taken = []
        while self._tokens:
            start, token = self._tokens[0]
            is_begun = start < self._shown_chars and self.was_stopped
            if not is_begun and start + len(token.text) > self._shown_chars:
                break
            taken.append(token)
            self._tokens.popleft()
        return taken


def _may_be_stop(text: str, stops: Sequence[str]) -> int:
    """Return how many characters at the end of `text` may be the beginning of a stop sequence."""
    return max(
        (
            size
            for stop in stops
            for size in range(1, min(len(stop), len(text) + 1))
            if text.endswith(stop[:size])
        ),
        default=0,
    )
