"""Resume in each phase on purpose: the dialogue is held there, and every socket is cut.

Three sockets work in one session; what each has is held against what was written, to the byte.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from server.settings.models import ModelSettings
from tests.conftest import StartFake
from tests.fakes.tgi import serve
from tests.fakes.tgi_options import FakeOptions
from tests.support.ports import free_ports
from tests.wire.cutter import Cutter, Plan, cutting
from tests.wire.gateway import Running, Speaker, gateway, until
from tests.wire.ledger import Ledger, deltas_of

SOCKETS = 3
TOKENS = 12
PARAMETERS = {"max_new_tokens": 100}


class Client:
    """One of the session's clients: a socket that can be cut, and what came over all of them."""

    def __init__(self, cutter: Cutter, written: list[list[str]]) -> None:
        self.plan: Plan = cutter.plan()
        self.ledger = Ledger(written)
        self._http = aiohttp.ClientSession()
        self._speaker: Speaker | None = None

    async def enter(self, session: str | None = None) -> dict[str, Any]:
        """Connect and say hello; return the answer."""
        await self.leave()
        self._speaker = Speaker(await self._http.ws_connect(self.plan.url))
        self.ledger.next_socket()
        known = {} if session is None else {"session": session, "cursors": self.ledger.seqs}
        result: dict[str, Any] = (await self._speaker.ask("hello", **known))["result"]
        if result["generations"]:
            self.ledger.learn([one["id"] for one in result["generations"]])
        return result

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Run a command; what comes meanwhile goes into the ledger."""
        assert self._speaker is not None
        command = await self._speaker.say(kind, **fields)
        while True:
            event = await self._hear()
            if event.get("id") == command:
                return event

    async def hear_until(self, kind: str, count: int = 1) -> None:
        """Return when so many events of that kind have come."""
        while count:
            count -= (await self._hear())["type"] == kind

    async def hear_everything(self) -> None:
        """Return when every generation has come to its end."""
        while not self.ledger.is_complete:
            await self._hear()

    async def leave(self) -> None:
        """Close what is left of the socket."""
        if self._speaker is not None:
            await self._speaker.socket.close()

    async def close(self) -> None:
        await self.leave()
        await self._http.close()

    async def _hear(self) -> dict[str, Any]:
        assert self._speaker is not None
        event = await self._speaker.hear()
        if event["type"] in ("state", "delta", "end"):
            self.ledger.apply(event)
        return event


@asynccontextmanager
async def clients(running: Running, written: list[list[str]]) -> AsyncIterator[list[Client]]:
    async with cutting(running.port) as cutter, AsyncExitStack() as stack:
        made = [Client(cutter, written) for _ in range(SOCKETS)]
        for client in made:
            stack.push_async_callback(client.close)
        yield made


async def attach_all(those: list[Client], running: Running, models: list[str]) -> str:
    """Have the first client ask and the others join; return the session."""
    first, *others = those
    session = str((await first.enter())["session"])
    targets = [{"model": model} for model in models]
    asked = await first.ask("generate", targets=targets, prompt="go", parameters=PARAMETERS)
    first.ledger.learn(asked["result"]["generations"])
    for client in others:
        assert (await client.enter(session))["resumed"]
    return session


async def cut_all(those: list[Client], running: Running, session: str) -> dict[str, str]:
    """Cut every socket, come back with each, and return the states the answers are in."""
    before = running.live
    for client in those:
        client.plan.cut_now()
    await until(lambda: running.sockets == 0, "every socket is gone")
    assert running.live == before, "a cut socket takes no answer with it"
    result: dict[str, Any] = {}
    for client in those:
        result = await client.enter(session)
        assert result["resumed"]
    return {one["id"]: one["state"] for one in result["generations"]}


async def finish(those: list[Client]) -> None:
    for client in those:
        await client.hear_everything()
        client.ledger.check()


@asynccontextmanager
async def silent(port: int) -> AsyncIterator[None]:
    """Take connections and say nothing, as a server that loads; break them at the end."""
    taken: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in taken:
            writer.transport.abort()


async def test_resume_while_models_start() -> None:
    first, last = free_ports(2)
    fakes = {
        name: (FakeOptions(model_id=name, answer_tokens=TOKENS), port)
        for name, port in (("one", first), ("two", last))
    }
    models = {name: f"http://127.0.0.1:{port}" for name, (_, port) in fakes.items()}
    written = [deltas_of(options, "go", PARAMETERS) for options, _ in fakes.values()]
    # Where nothing listens a server of another's is soon given up: these take connections.
    silence = AsyncExitStack()
    for _, port in fakes.values():
        await silence.enter_async_context(silent(port))
    async with (
        silence,
        gateway(models, engines={"connect_timeout": 60.0}) as running,
        clients(running, written) as those,
    ):
        session = await attach_all(those, running, list(fakes))
        for _ in range(2):
            assert set((await cut_all(those, running, session)).values()) == {"starting"}
        async with AsyncExitStack() as stack:
            await silence.aclose()
            for options, port in fakes.values():
                await stack.enter_async_context(serve(options, port=port))
            await finish(those)


async def test_resume_while_answers_are_queued(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(answer_tokens=TOKENS, hold_after=0)
    model = ModelSettings(runner="remote", url=fake.url, max_concurrent=1)
    written = [deltas_of(fake.options, "go", PARAMETERS)] * 3
    async with gateway({"m": model}) as running, clients(running, written) as those:
        session = await attach_all(those, running, ["m"] * 3)
        await fake.state.reaches(started=1)
        await those[0].ask("ping")
        for _ in range(2):
            states = await cut_all(those, running, session)
            assert sorted(states.values()) == ["queued", "queued", "running"]
        fake.state.release()
        await finish(those)


@pytest.mark.parametrize("tokens", [0, 1, 5], ids=["before the first token", "first", "middle"])
async def test_resume_while_answers_are_written(fake_tgi: StartFake, tokens: int) -> None:
    fake = await fake_tgi(answer_tokens=TOKENS, hold_after=tokens)
    written = [deltas_of(fake.options, "go", PARAMETERS)] * 2
    async with gateway({"m": fake.url}) as running, clients(running, written) as those:
        session = await attach_all(those, running, ["m", "m"])
        await fake.state.reaches(started=2, tokens=2 * tokens)
        for _ in range(2):
            states = await cut_all(those, running, session)
            assert set(states.values()) == {"running"}
        fake.state.release()
        await finish(those)


async def test_resume_after_the_end(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(answer_tokens=TOKENS)
    written = [deltas_of(fake.options, "go", PARAMETERS)] * 2
    async with gateway({"m": fake.url}) as running, clients(running, written) as those:
        session = await attach_all(those, running, ["m", "m"])
        await those[0].hear_everything()  # the others have not looked yet
        for _ in range(2):
            states = await cut_all(those, running, session)
            assert set(states.values()) == {"ended"}
            await those[1].hear_everything()
        await finish(those)


async def test_each_socket_has_cursors_of_its_own(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(answer_tokens=TOKENS, hold_after=5)
    written = [deltas_of(fake.options, "go", PARAMETERS)]
    async with gateway({"m": fake.url}) as running, clients(running, written) as those:
        session = await attach_all(those, running, ["m"])
        await those[0].hear_until("delta")
        with contextlib.suppress(ConnectionError):  # cut where it is, the others are not
            those[0].plan.cut_now()
            await those[0].hear_everything()
        await those[0].enter(session)
        fake.state.release()
        await asyncio.gather(*(client.hear_everything() for client in those))
        await finish(those)
