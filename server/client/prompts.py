"""Follow one prompt of a run over HTTP, over any number of connections.

Each connection begins with all that is there of the answers, so that nothing is kept of the one
before but what was told already.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import aiohttp

from server.client.connection import Rhythm
from server.client.messages import CONNECTION_CLOSED, SidestreamError, WireValue

_STORAGE_FAILED: Final = "storage_failed"
AnswerState = Literal["waiting", "queued", "starting", "running", "ended", "complete"]
# The server sends comments more often.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)


class _CannotRead(Exception):
    """The server cannot read its file now."""


@dataclass(frozen=True)
class RunAnswer(WireValue):
    """An answer of a run as it is now; `text` and `reasoning` are what is written so far.

    One that has `ended` is being checked. `whole` is a `complete` one with all that the server
    tells of it, such as its checks.
    """

    target: int
    repeat: int
    state: AnswerState = "waiting"
    text: str = ""
    reasoning: str = ""
    whole: Mapping[str, Any] = field(default_factory=dict)


async def follow_prompt(
    url: str, run: str, prompt: int, headers: Mapping[str, str] | None, rhythm: Rhythm
) -> AsyncIterator[RunAnswer]:
    """Yield the answers to a prompt as `Client.follow_prompt` does; `url` is the WebSocket's."""
    base = "http" + url.removeprefix("ws").rpartition("/")[0]
    told: dict[tuple[int, int], RunAnswer] = {}
    failures = 0
    while failures <= rhythm.max_attempts:
        fruitless = failures
        try:
            address = f"{base}/runs/{run}/prompts/{prompt}/events"
            async with aclosing(_events(address, headers)) as events:
                async for event in events:
                    failures = 0
                    if event["type"] == "end":
                        if event["is_complete"] or event["state"] != "running":
                            return
                        continue
                    answer = _changed(told, event)
                    key = answer.target, answer.repeat
                    if told.get(key) != answer:
                        told[key] = answer
                        fruitless = 0
                        yield answer
        except _CannotRead:
            # Each connection may begin well and break off: only what is new is a success.
            failures = fruitless
        except (aiohttp.ClientError, TimeoutError, ValueError):
            pass  # The next connection begins with all that is there.
        failures += 1
        await asyncio.sleep(rhythm.delay_seconds(failures))
    raise SidestreamError(
        CONNECTION_CLOSED, "the server cannot be reached, or cannot read its file"
    )


async def _events(
    address: str, headers: Mapping[str, str] | None
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the events of one connection; raises `SidestreamError` for what another would not."""
    async with (
        aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as http,
        http.get(address) as response,
    ):
        if response.status >= 500 or response.status == 429:
            raise aiohttp.ClientConnectionError(f"status {response.status}")
        if response.status >= 400:
            body = await response.json(content_type=None)
            raise SidestreamError.from_wire(body["error"])
        rest = b""
        # Not by lines, whose length aiohttp limits.
        async for piece in response.content.iter_any():
            *whole, rest = (rest + piece).split(b"\n\n")
            for part in whole:
                if part.startswith(b"data: "):
                    event = json.loads(part.removeprefix(b"data: "))
                    if "error" in event:
                        # At the beginning it is a status 503.
                        if event["error"]["code"] == _STORAGE_FAILED:
                            raise _CannotRead
                        raise SidestreamError.from_wire(event["error"])
                    yield event


def _changed(told: Mapping[tuple[int, int], RunAnswer], event: Mapping[str, Any]) -> RunAnswer:
    """Return the answer that an event is about, as it is after it."""
    if event["type"] == "snapshot":
        return RunAnswer.from_wire(event)
    if event["type"] == "answer":
        whole = event["answer"]
        return RunAnswer.from_wire({**whole, "state": "complete", "whole": whole})
    known = told[event["target"], event["repeat"]]
    if event["type"] == "state":
        return replace(known, state=event["state"])
    if event.get("kind") == "reasoning":
        return replace(known, reasoning=known.reasoning + event["text"])
    return replace(known, text=known.text + event["text"])
