"""A thousand cuts at any byte, across kinds of text: each reader gets what it knows, byte for byte.

Two answers are written at once: one whose server tells thinking, tool calls and answer apart
itself, and one with marks in its text. Sockets of one session, which know all kinds, some or none,
are cut at random places until they have been cut as often as planned; whenever one is back, the
answers go on a little. What each has heard is held against the deltas that a socket without cuts
heard, and their text against what was written.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

import aiohttp
import pytest

from server.core.protocol import TokenInfo, ToolCall
from server.dialects.base import Ask, Finish, OnTokens, OnWait
from server.dialects.tgi.upstream import TGI
from tests.conftest import StartFake
from tests.wire.cutter import Cut, Plan, Side, cutting
from tests.wire.gateway import gateway, speaking, until

CUTS: Final = 125
READERS: Final[Sequence[Sequence[str]]] = 2 * (
    (),
    ("reasoning", "tool_call"),
    ("reasoning",),
    ("tool_call",),
)
RUNS: Final = 150
BATCHES: Final = 600
WORDS: Final = (
    "salt",
    " the sea",
    " é",
    "🌊",
    "\n",
    "<",
    "</think>",
    "<think>",
    "{",
    '"',
    "\\",
    " ",
)

Texts = dict[str, str]


def written_apart(chance: random.Random) -> list[TokenInfo]:
    """Return an answer whose server tells its kinds apart, with marks around them."""

    def token(text: str, **label: Any) -> TokenInfo:
        return TokenInfo(chance.randrange(1000), text, None, False, **label)

    tokens: list[TokenInfo] = []
    for index in range(RUNS):
        words = chance.choices(WORDS, k=chance.randint(0, 12))
        kind = chance.choice(("answer", "reasoning", "tool_call"))
        if kind == "answer":
            tokens += map(token, words)
            continue
        call = ToolCall(index, f"tool{index}", f"call_{index}") if kind == "tool_call" else None
        label = {"kind": kind, "call": call}
        tokens.append(token(f"<{kind}>", mark=True, **label))
        tokens += (token(word, **label) for word in words)
        tokens.append(token(f"</{kind}>\n", mark=True, **label))
    return [*tokens, TokenInfo(0, "</s>", None, True)]


def written_with_marks(chance: random.Random) -> tuple[list[TokenInfo], Texts]:
    """Return an answer with marks in its text, cut into tokens anywhere, and what it says."""
    words = [word for word in WORDS if "think" not in word]
    thought = "So," + "".join(chance.choices(words, k=500))
    # After the first word of the answer, marks are text.
    answer = "Well" + "".join(chance.choices(WORDS, k=500))
    text = f"<think>\n{thought}</think>\n\n{answer}"
    places = [*accumulate(chance.choices(range(1, 6), k=len(text)))]
    ends = [0, *(place for place in places if place < len(text)), len(text)]
    parts = [text[start:stop] for start, stop in pairwise(ends)]
    tokens = [TokenInfo(number, part, None, False) for number, part in enumerate(parts)]
    return tokens, {"reasoning": thought, "answer": answer}


def batched(tokens: Sequence[TokenInfo]) -> list[list[TokenInfo]]:
    """Divide an answer into what arrives together."""
    size = -(-len(tokens) // BATCHES)
    return [list(tokens[at : at + size]) for at in range(0, len(tokens), size)]


def said(token: dict[str, Any], kinds: Sequence[str]) -> tuple[str, Any, str]:
    """Return kind, call and text of a delta's token, for who knows these kinds."""
    text = "" if token["special"] else token["text"]
    if token.get("kind") not in kinds:
        return "answer", None, text
    return token["kind"], token.get("call"), "" if token.get("mark") else text


def read(units: Iterable[dict[str, Any]], kinds: Sequence[str]) -> Texts:
    """Return the text of each kind, as who knows these kinds reads it."""
    texts: Texts = {}
    for unit in units:
        kind, _, text = said(unit, kinds)
        if text:
            texts[kind] = texts.get(kind, "") + text
    return texts


def units_of(events: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the tokens of each generation's deltas, one for each `seq`."""
    units: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event["type"] == "delta":
            units.setdefault(event["generation"], []).extend(event["tokens"])
    return units


class Reader:
    """One client of the session, on one socket after another."""

    def __init__(self, plan: Plan, kinds: Sequence[str], pace: asyncio.Semaphore) -> None:
        self.kinds = kinds
        self.cursors: dict[str, int] = {}
        self.ended: set[str] = set()
        self.heard: list[tuple[str, int, dict[str, Any]]] = []
        """Of every delta: its generation, the cursor before it, and the event."""
        self.resumed_at: set[tuple[str, int]] = set()
        self._plan = plan
        self._planned = len(plan.cuts)
        self._pace = pace

    async def follow(self, http: aiohttp.ClientSession, session: str, names: Sequence[str]) -> None:
        """Connect until every planned cut was made."""
        self.cursors = dict.fromkeys(names, 0)
        while self._plan.made < self._planned:
            with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                async with http.ws_connect(self._plan.url) as socket:
                    await self._use(socket, session, pings=True)

    async def finish(self, http: aiohttp.ClientSession, session: str) -> None:
        """Read on one more socket, which is not cut, until both answers have ended."""
        async with http.ws_connect(self._plan.url) as socket:
            await self._use(socket, session, pings=False)

    async def _use(
        self, socket: aiohttp.ClientWebSocketResponse, session: str, *, pings: bool
    ) -> None:
        hello = {"session": session, "cursors": self.cursors, "kinds": self.kinds}
        await socket.send_str(json.dumps({"id": 1, "type": "hello", **hello}))
        self.ended.clear()
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            for event in json.loads(message.data):
                self._take(event)
            if pings:
                # So that the place of the cut is reached, however little is written.
                await socket.send_str('{"id":2,"type":"ping"}')
            elif self.ended == set(self.cursors):
                return

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "result" and event["id"] == 1:
            assert event["result"]["resumed"]
            self.resumed_at |= self.cursors.items()
            for _ in self.cursors:
                self._pace.release()
        elif event["type"] == "delta":
            name, cursor = event["generation"], self.cursors[event["generation"]]
            assert event["seq"] > cursor, f"it came twice: {event}, after {cursor}"
            self.heard.append((name, cursor, event))
            self.cursors[name] = event["seq"]
        elif event["type"] == "end":
            name = event["generation"]
            assert event["seq"] == self.cursors[name], f"text is missing: {event}"
            assert event["finish_reason"] == "stop", event
            self.ended.add(name)

    def check(self, units: dict[str, list[dict[str, Any]]]) -> None:
        """Hold every delta against those that it stands for, and all of them against the whole."""
        texts: dict[str, Texts] = {name: {} for name in units}
        for name, cursor, event in self.heard:
            if event["text"]:
                kind = event.get("kind", "answer")
                texts[name][kind] = texts[name].get(kind, "") + event["text"]
            stood_for = [said(unit, self.kinds) for unit in units[name][cursor : event["seq"]]]
            labels = [(kind, call) for kind, call, _ in stood_for]
            label = (event.get("kind", "answer"), event.get("call"))
            assert all(each == label for each in labels), f"{event} stands for {stood_for}"
            text = "".join(text for _, _, text in stood_for)
            assert event["text"].encode() == text.encode(), f"{event} stands for {stood_for}"
        assert texts == {name: read(units[name], self.kinds) for name in units}


async def test_a_thousand_cuts_across_kinds_lose_nothing_and_double_nothing(
    fake_tgi: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(20261130)
    apart = written_apart(chance)
    marked, marked_texts = written_with_marks(chance)
    answers = {"apart": apart, "marked": marked}
    pace = asyncio.Semaphore(0)

    async def scripted(_: TGI, ask: Ask, on_tokens: OnTokens, __: OnWait) -> Finish:
        for batch in batched(answers[str(ask.prompt.content)]):
            await pace.acquire()
            on_tokens(batch)
        return Finish("stop", 3, None)

    def cuts() -> list[Cut]:
        made: list[Cut] = []
        for _ in range(CUTS):
            side: Side = "up" if chance.random() < 0.25 else "down"
            longest = {"up": 700, "down": 6000}[side]
            made.append(Cut(side, chance.randint(1, longest), chance.random() < 0.5))
        return made

    monkeypatch.setattr(TGI, "generate", scripted)
    fake = await fake_tgi()
    async with (
        gateway({"m": fake.url}, server={"command_rate": 1e6}) as running,
        cutting(running.port) as cutter,
        speaking(running.url) as observer,
        aiohttp.ClientSession() as http,
    ):
        readers = [Reader(cutter.plan(cuts()), kinds, pace) for kinds in READERS]
        hello = await observer.ask("hello", kinds=["reasoning", "tool_call"])
        session = hello["result"]["session"]
        names: dict[str, str] = {}
        for prompt in answers:
            asked = {"prompt": prompt, "details": True, "parameters": {"max_new_tokens": 9}}
            begun = await observer.ask("generate", targets=[{"model": "m"}], **asked)
            (names[prompt],) = begun["result"]["generations"]
        watching = asyncio.create_task(
            observer.hear_until(
                lambda _: sum(event["type"] == "end" for event in observer.events) == len(answers)
            )
        )
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(reader.follow(http, session, [*names.values()]))
        for _ in range(2 * BATCHES):
            pace.release()
        await watching
        for reader in readers:
            await reader.finish(http, session)
        assert running.live == 0
    assert sum(reader._plan.made for reader in readers) == CUTS * len(READERS) == 1000

    units = units_of(observer.events)
    for prompt, name in names.items():
        whole = "".join(token.text for token in answers[prompt] if not token.special)
        assert read(units[name], ()) == {"answer": whole}
    assert read(units[names["marked"]], ("reasoning",)) == marked_texts
    places = set.union(*(reader.resumed_at for reader in readers))
    assert len(places) > 300, "most cuts are in the middle"
    for reader in readers:
        reader.check(units)
    await until(lambda: running.sockets == 0, "every socket is gone")
