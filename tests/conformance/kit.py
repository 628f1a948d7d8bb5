"""Rules, what they are tried on, and their verdicts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tests.conformance.peer import Breach, Peer

RULE_SECONDS = 120.0
"""Enough for a small model to start, and for a wrong server to be found out."""


@dataclass(frozen=True)
class Subject:
    """The server that is held against the rules, and what may be asked of it."""

    url: str
    models: Sequence[str]

    @property
    def http_url(self) -> str:
        """Return the address for requests that are not to become a socket."""
        return self.url.replace("ws", "http", 1)

    @asynccontextmanager
    async def peer(self, kinds: Sequence[str] = ()) -> AsyncIterator[Peer]:
        """Open a socket, for who knows these kinds of text."""
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            try:
                opened = http.ws_connect(self.url, max_msg_size=0, compress=15, heartbeat=None)
                socket = await stack.enter_async_context(opened)
            except aiohttp.ClientError as error:
                raise Breach(f"no socket can be opened: {error}") from None
            yield Peer(socket, kinds)


@dataclass(frozen=True)
class Rule:
    """One thing that a server does, in the words of its docstring."""

    area: str
    name: str
    text: str
    check: Callable[[Subject], Awaitable[None]]


@dataclass(frozen=True)
class Verdict:
    """What came of a rule."""

    rule: Rule
    holds: bool
    reason: str = ""


RULES: list[Rule] = []


def rule(check: Callable[[Subject], Awaitable[None]]) -> Callable[[Subject], Awaitable[None]]:
    """Make a rule of a function: its docstring is what must hold."""
    area = check.__module__.rpartition(".")[2]
    text = " ".join((check.__doc__ or "").split())
    RULES.append(Rule(area, check.__name__, text, check))
    return check


async def judge(subject: Subject, judged: Rule) -> Verdict:
    """Try one rule."""
    try:
        async with asyncio.timeout(RULE_SECONDS):
            await judged.check(subject)
    except Breach as breach:
        return Verdict(judged, holds=False, reason=str(breach))
    except ConnectionError as error:
        return Verdict(judged, holds=False, reason=f"the connection broke: {error}")
    except TimeoutError:
        return Verdict(judged, holds=False, reason=f"nothing came of it within {RULE_SECONDS:g} s")
    return Verdict(judged, holds=True)
