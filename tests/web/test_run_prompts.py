"""One prompt of a run is followed over HTTP while its answers are written."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from server.chat.reading import until_end
from server.runs.questions import SetQuestions
from server.runs.shapes import RunAnswer
from server.web.http import event_stream
from server.web.http.event_stream import EventStream
from server.web.keys import RUNS
from tests.fakes.openai_options import FakeOptions
from tests.fakes.tgi import Fake
from tests.web.conftest import StartWithFake
from tests.web.gateway import Gateway
from tests.web.gateway import before_fake as before_openai

CEILING_SECONDS = 20.0
HELD: dict[str, Any] = {"hold_after": 1, "text": "one two three"}
CHECKED = {"prompts": ["Count."], "checks": [{"type": "contains", "value": "three"}]}


@dataclass
class Stream:
    """A stream of events that is read line by line."""

    response: aiohttp.ClientResponse
    events: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, kind: str) -> dict[str, Any]:
        """Return the next event of a kind."""
        async with asyncio.timeout(CEILING_SECONDS):
            while line := await self.response.content.readline():
                if line.startswith(b"data: "):
                    self.events.append(json.loads(line.removeprefix(b"data: ")))
                    if self.events[-1].get("type") == kind:
                        return self.events[-1]
        raise AssertionError(f"no {kind} among {self.events}")

    async def rest(self) -> list[dict[str, Any]]:
        """Return all events, once the stream has ended."""
        async with asyncio.timeout(CEILING_SECONDS):
            text = (await self.response.read()).decode()
        lines = [line for line in text.splitlines() if line.startswith("data: ")]
        self.events += [json.loads(line.removeprefix("data: ")) for line in lines]
        return self.events


@asynccontextmanager
async def followed(gateway: Gateway, run: str, prompt: str = "0") -> AsyncIterator[Stream]:
    address = f"{gateway.url}/runs/{run}/prompts/{prompt}/events"
    async with gateway.http.get(address) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield Stream(response)
        response.close()


async def begun(gateway: Gateway, given: dict[str, Any] | None = None, **more: Any) -> str:
    """Begin a run; return its id."""
    kept = await gateway.post("/prompt-sets", given or CHECKED)
    wanted = {"prompt_set": kept.json["id"], "targets": [{"model": "m"}], **more}
    reply = await gateway.post("/runs", wanted)
    assert reply.status == 201, reply.text
    run: str = reply.json["id"]
    return run


async def writing(fake: Fake, gateway: Gateway) -> str:
    """Begin a run whose answer has one token; return its id."""
    run = await begun(gateway)
    await fake.state.reaches(tokens=1)
    return run


def leaving(gateway: Gateway, patch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return what is set once somebody follows no more."""
    left = asyncio.Event()
    following = gateway.app[RUNS].following
    subscribe = following.subscribe

    def subscribed(*words: Any, **more: Any) -> Callable[[], None]:
        unsubscribe = subscribe(*words, **more)

        def leave() -> None:
            unsubscribe()
            left.set()

        return leave

    patch.setattr(following, "subscribe", subscribed)
    return left


async def test_an_answer_is_followed_up_to_its_checks(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(**HELD)
    run = await writing(fake, gateway)
    async with followed(gateway, run) as stream:
        first = await stream.until("snapshot")
        assert (first["target"], first["repeat"]) == (0, 0)
        fake.state.release()
        events = await stream.rest()
    text = "".join(event["text"] for event in events if event["type"] in ("snapshot", "delta"))
    answer, end = events[-2:]
    assert answer["answer"]["text"] == "one two three"
    assert "one two three".startswith(text)
    assert answer["answer"]["checks"][0]["passed"] is True
    assert answer["answer"] == (await gateway.get(f"/runs/{run}/prompts/0")).json["answers"][0]
    assert end["type"] == "end"


async def test_thinking_is_told_apart_from_the_answer() -> None:
    options = FakeOptions(reasoning="I count to three.", text="one two", hold_after=1)
    async with before_openai(options) as (gateway, fake):
        run = await begun(gateway)
        await fake.state.reaches(tokens=1)
        async with followed(gateway, run) as stream:
            while not any(event.get("reasoning") for event in stream.events):
                event = await stream.until("snapshot")
                assert event["text"] == ""
            fake.state.release()
            *_, answer, _ = await stream.rest()
        told = {"reasoning": "", "answer": ""}
        for event in stream.events:
            if event["type"] == "snapshot":
                told = {"reasoning": event["reasoning"], "answer": event["text"]}
            elif event["type"] == "delta":
                told[event.get("kind", "answer")] += event["text"]
        assert answer["answer"]["reasoning"] == "I count to three."
        assert answer["answer"]["text"] == "one two"
        assert "I count to three.".startswith(told["reasoning"])
        assert "one two".startswith(told["answer"])


async def test_repeats_and_targets_are_told_apart(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(text="three")
    targets = [{"model": "m"}, {"model": "m", "name": "other"}]
    run = await begun(gateway, targets=targets, repeats=2)
    async with followed(gateway, run) as stream:
        events = await stream.rest()
    answers = [event["answer"] for event in events if event["type"] == "answer"]
    places = sorted((one["target"], one["repeat"]) for one in answers)
    assert places == [(0, 0), (0, 1), (1, 0), (1, 1)]


async def test_other_prompts_are_not_told_of(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(**HELD, model={"max_concurrent": 4})
    run = await begun(gateway, {"prompts": ["One?", "Two?"]})
    await fake.state.reaches(tokens=2)
    async with followed(gateway, run, "1") as stream:
        await stream.until("snapshot")
        fake.state.release()
        events = await stream.rest()
    assert [event["answer"]["prompt"] for event in events if event["type"] == "answer"] == [1]


async def test_a_reader_that_pauses_gets_what_was_written_meanwhile_joined(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_send, is_checked = asyncio.Event(), asyncio.Event()
    send, check = EventStream.send, SetQuestions.check

    async def send_one(stream: EventStream, events: bytes) -> None:
        await send(stream, events)
        await may_send.wait()

    async def check_late(*words: Any) -> Any:
        await is_checked.wait()
        return await check(*words)

    monkeypatch.setattr(EventStream, "send", send_one)
    monkeypatch.setattr(SetQuestions, "check", check_late)
    words = " ".join(f"word{number}" for number in range(400))
    gateway, fake = await before_fake(hold_after=1, text=words, max_total_tokens=5000)
    target = {"model": "m", "parameters": {"max_new_tokens": 4000}}
    run = await begun(gateway, {"prompts": ["Count."]}, targets=[target])
    await fake.state.reaches(tokens=1)
    async with followed(gateway, run) as stream:
        await stream.until("snapshot")
        live = gateway.app[RUNS]._executor.live(run)
        assert live is not None
        (generation,) = live.live.values()
        fake.state.release()
        async with asyncio.timeout(CEILING_SECONDS):
            await until_end(generation)
        may_send.set()
        await stream.until("delta")
        while stream.events[-1].get("state") != "ended":
            await stream.until("state")
        assert sum(event["type"] == "delta" for event in stream.events) == 1
        is_checked.set()
        events = await stream.rest()
    assert "".join(event.get("text", "") for event in events[:-2]) == words
    assert events[-2]["answer"]["text"] == words


async def test_many_answers_are_sent_in_pieces_with_turns_of_others_in_between(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await before_fake(text="three")
    run = await begun(gateway, repeats=8)
    await gateway.get(f"/runs/{run}/events")
    answers = gateway.app[RUNS].store.answers
    read, send = answers.read, EventStream.send
    sizes: list[int] = []
    others: list[str] = []

    async def read_long(*words: Any) -> list[RunAnswer]:
        return [replace(one, text="word " * 4_000) for one in await read(*words)]

    async def send_noted(stream: EventStream, events: bytes) -> None:
        assert others == [], "nobody else had a turn"
        others.append("waits")
        asyncio.get_running_loop().call_soon(others.clear)
        sizes.append(len(events))
        await send(stream, events)

    monkeypatch.setattr(answers, "read", read_long)
    monkeypatch.setattr(EventStream, "send", send_noted)
    async with followed(gateway, run) as stream:
        events = await stream.rest()
    assert [event["type"] for event in events] == ["answer"] * 8 + ["end"]
    assert {len(event["answer"]["text"]) for event in events[:-1]} == {20_000}
    assert len(sizes) > 1
    assert max(sizes) < 64 * 1024 + 21_000


async def test_a_reader_that_has_stopped_is_let_go(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_TIMEOUT_SECONDS", 0.1)
    gateway, _ = await before_fake(text="three")
    run = await begun(gateway)
    await gateway.get(f"/runs/{run}/events")
    answers = gateway.app[RUNS].store.answers
    read = answers.read

    async def read_long(*words: Any) -> list[RunAnswer]:
        # More than the kernel lets its buffers grow to.
        return [replace(one, text="word " * 8_000_000) for one in await read(*words)]

    monkeypatch.setattr(answers, "read", read_long)
    left = leaving(gateway, monkeypatch)
    async with followed(gateway, run) as stream:
        async with asyncio.timeout(CEILING_SECONDS):
            await left.wait()
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.response.read()


async def test_silence_has_comments(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(**HELD, server={"keep_alive": 0.05})
    run = await writing(fake, gateway)
    async with followed(gateway, run) as stream:
        async with asyncio.timeout(CEILING_SECONDS):
            while (await stream.response.content.readline()) != b":\n":
                pass
        fake.state.release()
        assert (await stream.rest())[-1]["type"] == "end"


async def test_a_deleted_run_ends_the_events_with_an_error(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(**HELD)
    run = await writing(fake, gateway)
    async with followed(gateway, run) as stream:
        await stream.until("snapshot")
        await gateway.ask("DELETE", f"/runs/{run}")
        assert (await stream.rest())[-1]["error"]["code"] == "unknown_run"


async def test_who_leaves_is_forgotten(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, fake = await before_fake(**HELD, server={"keep_alive": 0.05})
    run = await writing(fake, gateway)
    left = leaving(gateway, monkeypatch)
    async with followed(gateway, run) as stream:
        await stream.until("snapshot")
        live = gateway.app[RUNS]._executor.live(run)
        assert live is not None
        assert len(live._watchers[0]) == 1
    async with asyncio.timeout(CEILING_SECONDS):
        await left.wait()
    assert live._watchers == {}
    fake.state.release()
    assert (await gateway.get(f"/runs/{run}/events")).events[-1]["state"] == "done"


async def test_what_is_unknown_is_refused(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(text="three")
    run = await begun(gateway)
    paths = [f"/runs/{run}/prompts/{number}/events" for number in ("1", "00", "-1", "x", "9" * 99)]
    for path in (*paths, "/runs/r_no/prompts/0/events"):
        reply = await gateway.get(path)
        assert (reply.status, reply.json["error"]["code"]) == (404, "unknown_run"), path
    for path in (f"/runs/{run}/prompts/0/events", f"/runs/{run}/events"):
        for method in ("HEAD", "POST"):
            assert (await gateway.ask(method, path)).status == 405, (method, path)
