"""Why no token of an answer has come yet, as servers tell it inside the stream.

llama.cpp tells how much of the prompt it has read. llama-swap tells that it loads a model, as if
that were the model's thinking, in chunks without the `id`, `object` and `model` of real ones: their
text is shown while it lasts and is no part of the answer. A server without those fields altogether
really thinks: its words are given back by `end`.
"""

from collections.abc import Mapping
from typing import Any, Final

from server.core.protocol import Notice
from server.dialects.base import OnWait
from server.dialects.openai.choices import Choice

# Of what a server tells while it loads, the end is news.
_MAX_CHARACTERS: Final = 2000


class Waiting:
    """Tell why nothing comes yet, and that it is over.

    `is_over` tells whether a real chunk of the answer has come. `takes_loading` is false for a
    server that is known to think in chunks without names.
    """

    __slots__ = ("_is_shown", "_loading", "_on_wait", "_takes_loading", "is_over")

    def __init__(self, on_wait: OnWait, *, takes_loading: bool) -> None:
        self._on_wait = on_wait
        self._takes_loading = takes_loading
        self._loading = ""
        self._is_shown = False
        self.is_over = False

    def takes(self, choice: Choice, chunk: Mapping[str, Any]) -> bool:
        """Tell whether a chunk only says why nothing comes yet, and if so, tell that."""
        if choice.text or choice.reason or choice.tool_calls:
            return False
        if not _is_nameless(chunk):
            return not choice.reasoning and self.take_progress(chunk)
        if self.is_over or not self._takes_loading:
            return False
        if choice.reasoning:
            self._loading += choice.reasoning
            self._show(Notice("server_loads", self._loading[-_MAX_CHARACTERS:].strip()))
        return True

    def take_progress(self, chunk: Mapping[str, Any]) -> bool:
        """Tell how much of the prompt is read, if the chunk says that."""
        told = chunk.get("prompt_progress")
        if not isinstance(told, dict):
            return False
        processed, total = told.get("processed"), told.get("total")
        if not isinstance(processed, int) or not isinstance(total, int):
            return False
        self._show(
            Notice(
                "prompt_progress",
                f"read {processed} of {total} tokens of the prompt",
                {"processed": processed, "total": total},
            )
        )
        return True

    def end(self, chunk: Mapping[str, Any] | None = None) -> str:
        """Tell that it is over, as a real chunk or the end of the stream shows.

        Returns what was taken for words about loading, if the chunk has no names either.
        """
        self.is_over = True
        loading, self._loading = self._loading, ""
        if self._is_shown:
            self._is_shown = False
            self._on_wait(None)
        return loading if chunk is not None and _is_nameless(chunk) else ""

    def _show(self, notice: Notice) -> None:
        self._is_shown = True
        self._on_wait(notice)


def _is_nameless(chunk: Mapping[str, Any]) -> bool:
    """Tell whether a chunk lacks what every real one of a server with names has."""
    return not (chunk.get("id") or chunk.get("object") or chunk.get("model"))
