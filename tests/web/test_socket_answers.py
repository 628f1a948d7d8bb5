"""The protocol spoken by hand over a WebSocket client of another make: answers and sessions."""

import asyncio
import itertools
import json

import pytest
import websockets

from server import __version__
from tests.conftest import StartFake
from tests.fakes.tgi_answers import answer
from tests.support.dialogue import Dialogue, Event
from tests.web.conftest import Start
from tests.web.gateway import own, remote
from tests.web.speaking import ready, speaking

CHAT = [{"role": "user", "content": "What is AI?"}]


def of(client: Dialogue, generation: str) -> list[Event]:
    """Return what came about a generation."""
    return [event for event in client.events if event.get("generation") == generation]


# --- the example of the protocol's own text -----------------------------------------------------


async def test_the_example_dialogue(start_gateway: Start, fake_tgi: StartFake) -> None:
    one, two = await fake_tgi(model_id="one", hold_after=3), await fake_tgi(model_id="two")
    models = {"smollm2-135m": remote(one.url), "gpt2": remote(two.url)}
    async with speaking(await start_gateway(models)) as client:
        result = await client.say(type="hello")
        assert set(result) >= {"protocol", "server", "session", "resumed", "models", "generations"}
        assert (result["protocol"], result["resumed"]) == (1, False)
        assert result["server"] == {"name": "sidestream", "version": __version__}
        assert [model["id"] for model in result["models"]] == ["smollm2-135m", "gpt2"]
        assert result["generations"] == []
        result = await client.say(
            type="generate",
            targets=[
                {"model": "smollm2-135m"},
                {"model": "gpt2", "parameters": {"temperature": 0.2}},
            ],
            messages=CHAT,
            parameters={"max_new_tokens": 12},
        )
        assert result == {"generations": ["g1", "g2"]}
        await client.delta("g1", 3)
        assert await client.say(type="cancel", generations=["g1"]) == {"cancelled": ["g1"]}
        end = await client.end("g1")
        timings = end.pop("timings")
        assert end == {
            "type": "end",
            "generation": "g1",
            "seq": 3,
            "finish_reason": "cancelled",
            "usage": {
                "prompt_tokens": end["usage"]["prompt_tokens"],
                "completion_tokens": 3,
                "estimated": True,
                "context_tokens": 2048,
            },
        }
        assert end["usage"]["prompt_tokens"] > 0
        assert timings.pop("starting_ms", 0) >= 0, "where it came before the servers were ready"
        assert set(timings) == {"queued_ms", "ttft_ms", "total_ms", "tokens_per_second"}
        assert (await client.end("g2"))["finish_reason"] == "length"
        assert two.state.requests[0]["parameters"]["temperature"] == 0.2
        await one.state.reaches(cancelled=1)


async def test_every_frame_is_an_array_of_events(start_gateway: Start) -> None:
    gateway = await start_gateway({"m": own()})
    address = gateway.url.replace("http", "ws")
    async with websockets.connect(f"{address}/ws") as socket:
        for number, command in enumerate(('"hello"', '"start","model":"m"', '"nonsense"'), 1):
            await socket.send(f'{{"id":{number},"type":{command}}}')
        answered: set[int] = set()
        while answered != {1, 2, 3}:
            frame = await socket.recv()
            assert isinstance(frame, str)
            events = json.loads(frame)
            assert isinstance(events, list)
            assert events
            answered |= {event["id"] for event in events if "id" in event}


# --- what holds for every answer ----------------------------------------------------------------


async def test_two_answers_come_interleaved_over_one_socket_each_in_its_order(
    start_gateway: Start, fake_tgi: StartFake
) -> None:
    fakes = [await fake_tgi(model_id=name, delay_ms=2) for name in ("one", "two")]
    models = {"one": remote(fakes[0].url), "two": remote(fakes[1].url)}
    async with speaking(await start_gateway(models)) as client:
        for model in models:
            await ready(client, model)
        ids = await client.ask("one", "two", prompt="Hi", parameters={"max_new_tokens": 40})
        for generation in ids:
            await client.end(generation)
        order = [e["generation"] for e in client.events if e["type"] == "delta"]
        switches = sum(a != b for a, b in itertools.pairwise(order))
        assert switches > 10
        for generation, fake in zip(ids, fakes, strict=True):
            whole = answer(fake.options, "Hi", {"max_new_tokens": 40})
            assert client.text(generation) == whole.generated_text
            kinds = [event["type"] for event in of(client, generation)]
            assert "".join(kind[0] for kind in kinds).strip("s").strip("d") == "e"
            seqs = [event["seq"] for event in of(client, generation) if "seq" in event]
            assert seqs == sorted(seqs)


async def test_the_answer_to_the_command_comes_before_what_it_sets_off(client: Dialogue) -> None:
    (generation,) = await client.ask("gpt2", prompt="Hi")
    await client.end(generation)
    (place,) = [
        n
        for n, e in enumerate(client.events)
        if e.get("result", {}) == {"generations": [generation]}
    ]
    first = min(n for n, e in enumerate(client.events) if e.get("generation") == generation)
    assert place < first


async def test_a_model_may_answer_twice_with_different_parameters(client: Dialogue) -> None:
    targets = [
        {"model": "gpt2", "parameters": {"max_new_tokens": 2}},
        {"model": "gpt2", "parameters": {"max_new_tokens": 5}},
    ]
    result = await client.say(type="generate", targets=targets, prompt="Hi")
    ends = [await client.end(generation) for generation in result["generations"]]
    assert [end["usage"]["completion_tokens"] for end in ends] == [2, 5]


async def test_a_base_model_gets_a_transcript_and_a_chat_model_its_template(
    client: Dialogue,
) -> None:
    ids = await client.ask("gpt2", "smollm2-135m", messages=CHAT, parameters={"max_new_tokens": 2})
    lengths = [(await client.end(generation))["usage"]["prompt_tokens"] for generation in ids]
    assert len(set(lengths)) == 2


async def test_details_bring_the_tokens(client: Dialogue) -> None:
    (generation,) = await client.ask(
        "gpt2", prompt="Hi", details=True, parameters={"top_n_tokens": 2}
    )
    await client.end(generation)
    tokens = [t for e in of(client, generation) if e["type"] == "delta" for t in e["tokens"]]
    assert set(tokens[0]) == {"id", "text", "logprob", "special", "top"}
    assert len(tokens[0]["top"]) == 2


# --- sessions -----------------------------------------------------------------------------------


async def test_a_session_is_resumed_where_it_was_cut(
    start_gateway: Start, fake_tgi: StartFake
) -> None:
    fake = await fake_tgi(hold_after=5)
    gateway = await start_gateway({"m": remote(fake.url)})
    async with speaking(gateway) as before:
        session = (await before.say(type="hello"))["session"]
        (generation,) = await before.ask("m", prompt="Hi", parameters={"max_new_tokens": 12})
        await before.delta(generation, 4)
    cursor, had = before.seq(generation), before.text(generation)
    async with speaking(gateway) as after:
        result = await after.say(type="hello", session=session, cursors={generation: cursor})
        assert result["resumed"] is True
        assert result["session"] == session
        assert [info["id"] for info in result["generations"]] == [generation]
        fake.state.release()
        end = await after.end(generation)
        whole = answer(fake.options, "Hi", {"max_new_tokens": 12}).generated_text
        assert had + after.text(generation) == whole
        assert end["seq"] == after.seq(generation)


@pytest.mark.parametrize("session", ["s_unknown", "", "../etc"])
async def test_a_session_that_is_not_there_is_a_fresh_one(
    start_gateway: Start, session: str
) -> None:
    async with speaking(await start_gateway({})) as client:
        result = await client.say(type="hello", session=session, cursors={"g1": 5})
        assert result["resumed"] is False
        assert result["session"] != session


async def test_two_sockets_of_one_session_both_get_everything(
    start_gateway: Start, fake_tgi: StartFake
) -> None:
    gateway = await start_gateway({"m": remote((await fake_tgi()).url)})
    async with speaking(gateway) as one, speaking(gateway) as other:
        session = (await one.say(type="hello"))["session"]
        assert (await other.say(type="hello", session=session))["resumed"] is True
        (generation,) = await one.ask("m", prompt="Hi", request_id="r1")
        ends = await asyncio.gather(one.end(generation), other.end(generation))
        assert ends[0] == ends[1]
        assert one.text(generation) == other.text(generation)
        assert await other.ask("m", prompt="Hi", request_id="r1") == [generation]


async def test_a_cursor_that_cannot_be_is_refused_and_hello_may_be_tried_again(
    start_gateway: Start, fake_tgi: StartFake
) -> None:
    gateway = await start_gateway({"m": remote((await fake_tgi()).url)})
    async with speaking(gateway) as before:
        session = (await before.say(type="hello"))["session"]
        (generation,) = await before.ask("m", prompt="Hi")
        await before.end(generation)
    async with speaking(gateway) as after:
        failed = await after.try_to(type="hello", session=session, cursors={generation: 10**6})
        assert failed["error"]["code"] == "invalid_command"
        result = await after.say(type="hello", session=session)
        assert result["resumed"] is True
        await after.end(generation)
        assert after.text(generation) == before.text(generation)
