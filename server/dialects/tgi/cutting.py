"""End an answer at a stop text that the server is not asked to stop at, or shows when it does.

TGI ends at a stop text and includes it; it takes few of them, so that there may be no room for
ours. Here the text is cut either way, and where the server goes on, the connection is closed.
"""

from collections.abc import Sequence

from server.core.errors import SidestreamError
from server.core.protocol import TokenInfo
from server.dialects.base import Finish, OnTokens
from server.dialects.meter import Meter
from server.dialects.stopping import StopCutter
from server.dialects.tgi.wire import AnswerReader


class CutAnswerReader:
    """Read one answer as `AnswerReader` does, and end it at the first of `stop`."""

    def __init__(self, on_tokens: OnTokens, meter: Meter, stop: Sequence[str]) -> None:
        self._reader = AnswerReader(self._hear, meter)
        self._on_tokens = on_tokens
        self._cutter = StopCutter(stop)
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
            self._hand_on(self._cutter.finish())
            raise
        if self._is_over():
            return self._stopped(finish)
        self._hand_on(self._cutter.finish())
        return finish

    def _is_over(self) -> bool:
        return self._cutter.stopped_at is not None

    def _hear(self, tokens: list[TokenInfo]) -> None:
        self._heard += len(tokens)
        ready = self._cutter.feed(tokens)
        if self._is_over():
            # Kept for the step in which the end is told.
            self._last_tokens += ready
        else:
            self._hand_on(ready)

    def _stopped(self, finish: Finish | None) -> Finish:
        self._hand_on(self._last_tokens)
        if finish is None:
            return Finish("stop", None, self._heard)
        return Finish("stop", finish.prompt_tokens, finish.completion_tokens)

    def _hand_on(self, tokens: list[TokenInfo]) -> None:
        if tokens:
            self._on_tokens(tokens)
