"""A thousand cuts at any byte, on either side: every text the same, and nothing twice.

Each dialogue asks two models and is followed by two sockets of one session; every one of their
connections is cut at a random place until it has been cut as often as planned. A connection whose
place lies beyond the dialogue's end is kept busy with pings until it is reached, so that the time
after the end is cut too.
"""

import asyncio
import contextlib
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from server.settings.models import ModelSettings
from tests.conftest import StartFake
from tests.wire.cutter import Cut, Cutter, Plan, Side, cutting
from tests.wire.gateway import gateway, until
from tests.wire.ledger import Ledger, deltas_of

DIALOGUES = 250
CUTS_PER_SOCKET = 2
AT_ONCE = 24
TOKENS = 20
PARAMETERS = {"max_new_tokens": 100}


@dataclass
class Dialogue:
    """Two answers in one session, and who follows them."""

    prompt: str
    written: list[list[str]]
    session: asyncio.Future[str]
    phases: Counter[str]
    ledgers: list[Ledger] = field(default_factory=list)


class Follower:
    """One client of a dialogue, on one socket after another; the first of them asks."""

    def __init__(self, dialogue: Dialogue, plan: Plan, *, asks: bool) -> None:
        self._dialogue = dialogue
        self._plan = plan
        self._planned = len(plan.cuts)
        self._asks = asks
        self._ledger = Ledger(dialogue.written)
        dialogue.ledgers.append(self._ledger)
        self._has_session = not asks
        self._session: str | None = None
        self._was_greeted = False
        self._was_answered = False
        self._last_id = 0

    async def follow(self, http: aiohttp.ClientSession) -> None:
        """Connect until everything has come and every planned cut was made."""
        if not self._asks:
            self._session = await self._dialogue.session
        while self._plan.connections <= self._planned:
            self._was_greeted = False
            self._ledger.next_socket()
            try:
                async with http.ws_connect(self._plan.url) as socket:
                    await self._use(socket)
            except (aiohttp.ClientError, ConnectionError):
                pass  # the handshake was cut
            self._dialogue.phases[self._phase] += self._plan.connections <= self._planned
        assert self._ledger.is_complete
        self._ledger.check()

    @property
    def _phase(self) -> str:
        if not self._was_greeted:
            return "before hello is answered"
        if not self._was_answered:
            return "before generate is answered"
        if not self._ledger.has_text:
            return "before the first token"
        return "after the end" if self._ledger.is_complete else "in the middle"

    async def _use(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        is_last = self._plan.connections > self._planned
        known = {"session": self._session, "cursors": self._ledger.seqs} if self._session else {}
        await self._say(socket, "hello", **known)
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            for event in json.loads(message.data):
                await self._take(socket, event)
            if self._ledger.is_complete and self._was_answered:
                if is_last:
                    return
                await self._say(socket, "ping")

    async def _take(self, socket: aiohttp.ClientWebSocketResponse, event: dict[str, Any]) -> None:
        assert event["type"] != "error", event
        if event["type"] in ("state", "delta", "end"):
            self._ledger.apply(event)
        elif event["type"] == "result" and "session" in event["result"]:
            await self._enter(socket, event["result"])
        elif event["type"] == "result" and "generations" in event["result"]:
            self._was_answered = True
            self._ledger.learn(event["result"]["generations"])
            if not self._dialogue.session.done():
                assert self._session
                self._dialogue.session.set_result(self._session)

    async def _enter(self, socket: aiohttp.ClientWebSocketResponse, result: dict[str, Any]) -> None:
        self._was_greeted = True
        # A session in which nothing was asked is forgotten with its socket.
        assert result["resumed"] or not self._was_answered
        self._session = result["session"]
        if not self._asks:
            self._was_answered = True
            self._ledger.learn([one["id"] for one in result["generations"]])
        elif not self._was_answered:
            if result["generations"]:  # it had arrived, and only its answer was lost
                self._ledger.learn([one["id"] for one in result["generations"]])
            await self._say(
                socket,
                "generate",
                targets=[{"model": "one"}, {"model": "two"}],
                prompt=self._dialogue.prompt,
                parameters=PARAMETERS,
                request_id="the only one",
            )

    async def _say(self, socket: aiohttp.ClientWebSocketResponse, kind: str, **fields: Any) -> None:
        self._last_id += 1
        with contextlib.suppress(ConnectionError):  # what is received next says so too
            await socket.send_str(json.dumps({"id": self._last_id, "type": kind, **fields}))


async def test_a_thousand_cuts_lose_nothing_and_double_nothing(fake_tgi: StartFake) -> None:
    fakes = [
        await fake_tgi(model_id=name, answer_tokens=TOKENS, delay_ms=1.0) for name in ("one", "two")
    ]
    random_cuts = random.Random(20261122)
    phases: Counter[str] = Counter()

    async def hold(cutter: Cutter, number: int, lengths: dict[Side, int] | None) -> list[Plan]:
        prompt = f"dialogue {number}"
        dialogue = Dialogue(
            prompt,
            [deltas_of(fake.options, prompt, PARAMETERS) for fake in fakes],
            asyncio.get_running_loop().create_future(),
            phases,
        )
        plans = [cutter.plan(random_places(lengths)) for _ in range(2)]
        followers = [Follower(dialogue, plan, asks=index == 0) for index, plan in enumerate(plans)]
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            for follower in followers:
                group.create_task(follower.follow(http))
        one, other = dialogue.ledgers
        assert one.texts == other.texts
        return plans

    def random_places(lengths: dict[Side, int] | None) -> list[Cut]:
        if lengths is None:
            return []
        cuts = []
        for _ in range(CUTS_PER_SOCKET):
            side: Side = random_cuts.choice(("up", "down"))
            is_abrupt = random_cuts.random() < 0.5
            cuts.append(Cut(side, random_cuts.randint(1, lengths[side]), is_abrupt))
        return cuts

    models = {
        fake.options.model_id: ModelSettings(runner="remote", url=fake.url, max_concurrent=16)
        for fake in fakes
    }
    async with (
        gateway(models, server={"command_rate": 1e6}) as running,
        cutting(running.port) as cutter,
    ):
        whole = await hold(cutter, 0, None)
        lengths = whole[0].carried[0]
        places = asyncio.Semaphore(AT_ONCE)
        plans: list[Plan] = []

        async def one_of_many(number: int) -> None:
            async with places:
                plans.extend(await hold(cutter, number, lengths))

        async with asyncio.TaskGroup() as group:
            for number in range(DIALOGUES):
                group.create_task(one_of_many(number))
        assert sum(plan.made for plan in plans) >= 1000
        assert len(phases) == 5, phases
        assert running.live == 0
        assert all(fake.state.counts["started"] == DIALOGUES + 1 for fake in fakes)
        await until(lambda: running.sockets == 0, "every socket is gone")
