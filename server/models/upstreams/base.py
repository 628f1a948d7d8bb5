"""The seam between the relay and a model server's dialect.

An upstream speaks to one running server. It translates the dialect's requests, events and
errors, and holds no lifecycle: when the server is gone, so is the upstream's use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from server.core.protocol import FinishReason, Message, TokenInfo


@dataclass(frozen=True)
class EngineInfo:
    """What a server says of itself: limits in tokens or requests, null where unknown."""

    model_id: str = ""
    version: str = ""
    max_input_tokens: int | None = None
    max_total_tokens: int | None = None
    max_concurrent_requests: int | None = None
    has_chat_template: bool = False
    revision: str = ""
    image: str = ""


@dataclass(frozen=True)
class Prompt:
    """Text for the model, and its length where the server has counted it."""

    text: str
    tokens: int | None = None


@dataclass(frozen=True)
class Finish:
    """How an answer ended, in the protocol's words, and what it cost."""

    reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int | None
    is_cached: bool = False

    def as_cached(self) -> "Finish":
        """Return the same end of an answer that was given before."""
        return replace(self, is_cached=True)


# Called with the tokens that one read from the server brought.
OnTokens = Callable[[list[TokenInfo]], None]


class Upstream(Protocol):
    """Speak one dialect to one running model server."""

    @property
    def heard(self) -> int:
        """Return how often words of an answer have come; only ever more."""

    async def is_healthy(self, *, timeout_seconds: float) -> bool:
        """Tell whether the server answers and says that it is well; raises nothing."""

    async def describe(self) -> EngineInfo:
        """Ask the server for its limits and abilities; raises `EngineError`."""

    async def metrics(self, *, max_bytes: int) -> str:
        """Return the server's own figures as Prometheus' text.

        Raises `EngineError` when there are none, or more than `max_bytes` of them.
        """

    async def prompt(self, content: Sequence[Message] | str, *, needs_count: bool) -> Prompt:
        """Turn a conversation, or text as it is, into a prompt; raises `EngineError`.

        Without `needs_count` its tokens are counted only if that costs nothing.
        """

    async def count(self, text: str) -> Prompt:
        """Return the text with its length in tokens, if the server tells; raises `EngineError`."""

    async def generate(
        self, prompt: str, parameters: dict[str, Any], on_tokens: OnTokens
    ) -> Finish:
        """Answer `prompt`: hand the tokens on as they come, return how the answer ended.

        The last tokens are handed on in the same step of the loop in which it returns or raises.
        Raises the error the server reports; `EngineLost` when the connection breaks and
        `EngineTimeout` when nothing comes; or what `on_tokens` raises. Cancelling closes the
        connection, which ends the generation in the server.
        """
