"""Ask an upstream as the relay does, and keep what comes."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from server.core.errors import SidestreamError
from server.core.protocol import Message, Notice, TokenInfo
from server.dialects.base import Ask, Finish, Prompt, Upstream

CHAT = [Message("system", "Be brief."), Message("user", "Say hi.")]
CEILING_SECONDS = 40


@dataclass
class Heard:
    """What came of one answer."""

    tokens: list[TokenInfo] = field(default_factory=list)
    waits: list[Notice | None] = field(default_factory=list)
    waited: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    finish: Finish | None = None
    error: SidestreamError | None = None

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)

    def on_tokens(self, tokens: list[TokenInfo]) -> None:
        self.tokens += tokens
        self.began.set()

    def on_wait(self, notice: Notice | None) -> None:
        self.waits.append(notice)
        self.waited.set()


async def generate(
    upstream: Upstream,
    content: Any = CHAT,
    parameters: dict[str, Any] | None = None,
    *,
    heard: Heard | None = None,
    prompt: Prompt | None = None,
    **more: Any,
) -> Heard:
    heard = heard or Heard()
    prompt = prompt or await upstream.prompt(content, needs_count=True)
    ask = Ask(prompt, parameters or {}, **more)
    try:
        heard.finish = await upstream.generate(ask, heard.on_tokens, heard.on_wait)
    except SidestreamError as error:
        heard.error = error
    return heard


async def soon(waiting: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(waiting, CEILING_SECONDS)
