"""Ask a dialect as the relay does, and hold what comes against the bytes that passed."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from server.core.errors import SidestreamError
from server.core.protocol import Notice, TokenInfo
from server.dialects.base import Ask, Endpoint, Finish, Prompt, Upstream
from server.dialects.tgi.upstream import TGI

CEILING_SECONDS = 60


@dataclass
class Heard:
    """What came of one answer, whole or not."""

    tokens: list[TokenInfo] = field(default_factory=list)
    waits: list[Notice | None] = field(default_factory=list)
    finish: Finish | None = None
    error: SidestreamError | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once there are tokens."""

    @property
    def text(self) -> str:
        """Return what readers see."""
        return "".join(token.text for token in self.tokens if not token.special)

    def take(self, tokens: list[TokenInfo]) -> None:
        """Take what a read brought."""
        self.tokens += tokens
        self.began.set()


@asynccontextmanager
async def tgi_at(url: str, *, read_timeout: float = 45.0, key: str = "") -> AsyncIterator[TGI]:
    """Speak TGI's dialect to a server; `read_timeout` is in seconds."""
    upstream = TGI(
        Endpoint(url, api_key=key), connect_timeout_seconds=5.0, read_timeout_seconds=read_timeout
    )
    try:
        yield upstream
    finally:
        await upstream.close()


async def ask(
    upstream: Upstream,
    prompt: Prompt | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    model: str = "",
    heard: Heard | None = None,
) -> Heard:
    """Return what came, with the error if it ended in one."""
    heard = heard or Heard()
    content = Prompt(prompt) if isinstance(prompt, str) else prompt
    parameters = {"max_new_tokens": 40} if parameters is None else parameters
    whole = Ask(content, parameters, model=model, chosen=frozenset(parameters), wants_tokens=True)
    try:
        heard.finish = await upstream.generate(whole, heard.take, heard.waits.append)
    except SidestreamError as error:
        heard.error = error
    return heard


async def post(url: str, body: object, *, key: str = "") -> tuple[int, Any]:
    """Return the status and the body that the server itself gives, read by another client."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=CEILING_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.post(url, json=body) as response,
    ):
        text = await response.text()
    return response.status, json.loads(text) if text else None


def events_of(body: bytes) -> list[dict[str, Any]]:
    """Return the JSON of a stream's events, comments and `[DONE]` left out."""
    blocks = body.replace(b"\r\n", b"\n").split(b"\n\n")
    lines = [line for block in blocks for line in block.split(b"\n") if line.startswith(b"data:")]
    data = [line.removeprefix(b"data:").strip() for line in lines]
    return [json.loads(one) for one in data if one != b"[DONE]"]
