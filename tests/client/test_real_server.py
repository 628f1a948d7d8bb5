"""The Python client against the real gateway, over a wire that breaks at any byte."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from server.client import (
    ConnectionState,
    Generation,
    LogLine,
    Rhythm,
    SidestreamError,
    Target,
    connect,
)
from server.settings.models import ModelSettings
from tests.conftest import StartFake
from tests.support.launching import fake_launcher
from tests.support.ports import free_ports
from tests.wire.cutter import Cut, Side, cutting
from tests.wire.gateway import gateway, until
from tests.wire.ledger import deltas_of

QUICK = Rhythm(min_delay_seconds=0.005, max_delay_seconds=0.05)
PARAMETERS = {"max_new_tokens": 100}


async def joined(generation: Generation) -> str:
    return "".join([text async for text in generation])


async def whole(log: AsyncIterator[LogLine]) -> str:
    return "".join([line.text async for line in log])


async def test_whatever_is_cut_every_answer_is_whole(fake_tgi: StartFake) -> None:
    fakes = [await fake_tgi(model_id=name, answer_tokens=16, delay_ms=1) for name in ("a", "b")]
    places = random.Random(41)
    dialogues = 60

    def somewhere() -> list[Cut]:
        sides: list[Side] = ["up", "down"]
        lengths = {"up": 700, "down": 4000}
        chosen = [places.choice(sides) for _ in range(3)]
        return [
            Cut(side, places.randint(1, lengths[side]), places.random() < 0.5) for side in chosen
        ]

    models = {fake.options.model_id: fake.url for fake in fakes}
    async with gateway(models) as running, cutting(running.port) as cutter:

        async def hold(number: int) -> None:
            prompt = f"dialogue {number}"
            plan = cutter.plan()
            async with connect(plan.url, rhythm=QUICK) as client:
                plan.cuts += somewhere()
                plan.cut_now()
                answers = await client.generate(["a", "b"], prompt=prompt, parameters=PARAMETERS)
                texts = await asyncio.gather(*map(joined, answers))
                while plan.cuts:  # those that have not come yet come after the end
                    await client.ping()
            for fake, answer, text in zip(fakes, answers, texts, strict=True):
                assert text == answer.text == "".join(deltas_of(fake.options, prompt, PARAMETERS))
                assert (await answer.result()).finish_reason == "stop"

        async with asyncio.TaskGroup() as group:
            for number in range(dialogues):
                group.create_task(hold(number))
        assert all(fake.state.counts["started"] == dialogues for fake in fakes), "nothing twice"
        await until(lambda: running.sockets == 0, "every socket is gone")


async def test_a_conversation_with_parameters_and_details(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(answer_tokens=5)
    async with gateway({"m": fake.url}) as running, connect(running.url) as client:
        question = [
            {"role": "user", "content": "What is AI?"},
            {"role": "assistant", "content": "Why?"},
            {"role": "user", "content": "Because."},
        ]
        targets = [Target("m", {"max_new_tokens": 3}, "Be brief."), Target("m")]
        short, whole = await client.generate(targets, question, details=True)
        result = await short.result()
        assert result.finish_reason == "length"
        assert "Be brief." in fake.state.requests[0]["inputs"]
        written = deltas_of(fake.options, fake.state.requests[0]["inputs"], {})
        assert [token.text for token in result.tokens] == written[:3]
        assert (await whole.result()).usage.completion_tokens == 6
        assert result.timings.total_ms > 0
        assert client.models["m"].capabilities["chat"]


async def test_the_oldest_turns_are_left_out_and_the_lengths_are_told(
    fake_tgi: StartFake,
) -> None:
    fake = await fake_tgi(max_total_tokens=100, hold_after=1)
    async with gateway({"m": fake.url}) as running, connect(running.url) as client:
        turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
        question = [*turns * 9, {"role": "user", "content": "And?"}]
        (refused,) = await client.generate("m", question)
        with pytest.raises(SidestreamError, match="the prompt has") as caught:
            await refused.result()
        assert caught.value.code == "prompt_too_long"
        assert caught.value.details is not None
        assert refused.prompt_tokens == caught.value.details["prompt_tokens"] > 100
        (answer,) = await client.generate("m", question, trim="oldest_turns")
        await fake.state.reaches(tokens=1)
        await until(lambda: bool(answer.text), "the first token is here")
        assert answer.context_tokens == 100
        assert answer.prompt_tokens is not None
        fake.state.release()
        result = await answer.result()
        assert result.usage.prompt_tokens == answer.prompt_tokens < 100
        assert result.usage.context_tokens == 100
        assert [notice.code for notice in result.notices] == ["turns_left_out", "context_full"]


async def test_commands_that_cannot_be_encoded_fail_alone_and_keep_the_socket_open(
    fake_tgi: StartFake,
) -> None:
    fake = await fake_tgi(answer_tokens=3)
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    async with gateway({"m": fake.url}) as running, connect(running.url) as client:
        states = list[str]()
        client.on("connection", lambda state: states.append(state.name))
        for parameters in (
            {"temperature": float("nan")},
            {"stop": ["cut \ud83d"]},
            {"stop": {"a set"}},
            {"stop": nested},
            {"stop": ["long" * 2_000_000]},
        ):
            with pytest.raises(SidestreamError) as caught:
                await client.generate("m", "go", parameters=parameters)
            assert caught.value.code == "invalid_command", caught.value
        (answer,) = await client.generate("m", "go")
        assert await joined(answer)
        assert states == [], "the socket has stayed"


async def test_a_command_that_no_socket_outlives_is_given_up() -> None:
    sockets = 0

    async def serve(request: web.Request) -> web.WebSocketResponse:
        nonlocal sockets
        sockets += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            command = message.json()
            if command["type"] == "generate":
                break
            welcome = {"protocol": 1, "server": {}, "session": "s", "resumed": True}
            result = {**welcome, "models": [], "generations": []}
            await socket.send_json([{"type": "result", "id": command["id"], "result": result}])
        return socket

    app = web.Application()
    app.router.add_get("/ws", serve)
    async with (
        TestServer(app) as there,
        connect(str(there.make_url("/ws")), rhythm=QUICK) as client,
    ):
        with pytest.raises(SidestreamError, match="broke each time") as caught:
            await client.generate("m", "go")
        assert (caught.value.code, sockets) == ("connection_closed", 10)
        await client.ping()


async def test_cancelling_frees_the_model_and_the_text_stays(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(answer_tokens=9, hold_after=4)
    async with gateway({"m": fake.url}) as running, connect(running.url) as client:
        first, second, third = await client.generate(["m"] * 3, "go")
        await fake.state.reaches(tokens=12)
        await client.cancel([first])
        assert (await first.result()).finish_reason == "cancelled"
        assert await joined(first) == first.text != ""
        await fake.state.reaches(cancelled=1)
        assert second.is_live
        await client.cancel()
        assert {(await one.result()).finish_reason for one in (second, third)} == {"cancelled"}
        assert client.generations == {}


async def test_a_call_that_is_cancelled_takes_its_answers_with_it(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(answer_tokens=9, hold_after=0)
    async with gateway({"m": fake.url}) as running, connect(running.url) as client:
        asking = asyncio.create_task(client.generate("m", "go"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        await until(lambda: running.kept == 1, "the server has been asked")
        await until(lambda: running.live == 0, "the answer is cancelled")


async def test_models_start_and_stop_and_their_changes_are_told() -> None:
    fake = fake_launcher("--json-output")
    model = ModelSettings(runner="process", weights="/nowhere")
    async with (
        gateway({"m": model}, engines={"ports": free_ports(2)}, embedded=fake) as running,
        connect(running.url) as client,
        connect(running.url) as other,
    ):
        seen: list[str] = []

        async def watch() -> None:
            async for changed in other.changes():
                seen.append(changed.state)
                if changed.state == "stopped" and len(seen) > 1:
                    return

        watching = asyncio.create_task(watch())
        assert (await client.start("m")).state != "ready"
        await until(lambda: client.models["m"].state == "ready", "it is ready")
        lines = [line.text async for line in client.logs("m", tail=50, follow=False)]
        assert lines
        assert (await client.stop("m")).state in {"stopping", "ready"}
        async with asyncio.timeout(20):
            await watching
        assert seen[0] == seen[-1] == "stopped"
        assert "ready" in seen


async def test_another_client_goes_on_with_the_session(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(answer_tokens=8, hold_after=4)
    async with gateway({"m": fake.url}) as running:
        async with connect(running.url) as first:
            (interrupted,) = await first.generate("m", "go", request_id="mine")
            await fake.state.reaches(tokens=4)
            session = first.session
        assert interrupted.finish_reason == "interrupted"
        with pytest.raises(SidestreamError) as caught:
            await interrupted.result()
        assert caught.value.code == "connection_closed"
        fake.state.release()
        async with connect(running.url, session=session) as second:
            assert second.session == session
            (again,) = await second.generate("m", "go", request_id="mine")
            assert (await again.result()).finish_reason == "stop"
            assert fake.state.counts["started"] == 1


async def test_errors_have_the_servers_code(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(answer_tokens=8, error_after=2)
    async with gateway({"m": fake.url}) as running, connect(running.url) as client:
        for work, code in (
            (client.generate("nobody", "go"), "unknown_model"),
            (client.generate("m"), "invalid_command"),
            (client.generate("m", "go", parameters={"top_k": -3}), "invalid_parameters"),
            (client.start("nobody"), "unknown_model"),
            (anext(client.logs("nobody")), "unknown_model"),
        ):
            with pytest.raises(SidestreamError) as caught:
                await work
            assert caught.value.code == code
        (failing,) = await client.generate("m", "go")
        with pytest.raises(SidestreamError, match="CUDA"):
            await joined(failing)
        assert failing.text != ""


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    first, _ = free_ports(1)
    with pytest.raises(SidestreamError, match=f"{first}") as caught:
        await connect(f"ws://127.0.0.1:{first}/ws").__aenter__()
    assert caught.value.code == "connection_closed"


async def test_a_server_that_is_another_is_told_at_once() -> None:
    async with gateway({}) as running:
        with pytest.raises(SidestreamError, match="404"):
            await connect(running.url.replace("/ws", "/sw")).__aenter__()
        with pytest.raises(SidestreamError, match="403"):
            await connect(running.url, headers={"Host": "evil.test"}).__aenter__()


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async def silent(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.receive()
        return socket

    app = web.Application()
    app.router.add_get("/ws", silent)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
        with pytest.raises(SidestreamError, match="no answer"):
            await connect(url, rhythm=Rhythm(open_timeout_seconds=0.1)).__aenter__()
    finally:
        await runner.cleanup()


async def test_client_gives_up_after_max_attempts_and_fails_everything_pending(
    fake_tgi: StartFake,
) -> None:
    fake = await fake_tgi(answer_tokens=8, hold_after=4)
    states: list[ConnectionState] = []
    impatient = Rhythm(min_delay_seconds=0.01, max_delay_seconds=0.04, max_attempts=3)
    async with gateway({"m": fake.url}) as running:
        client = connect(running.url, rhythm=impatient)
        client.on("connection", states.append)
        await client.__aenter__()
        (answer,) = await client.generate("m", "go")
        reading = asyncio.create_task(joined(answer))
        log = asyncio.create_task(whole(client.logs("m")))
        await until(lambda: answer.seq == 4, "there is text")
    await until(lambda: client.connection.name == "closed", "it has given up")
    for work, code in (
        (reading, "interrupted"),  # the gateway said so when it went
        (log, "connection_closed"),
        (client.ping(), "connection_closed"),
    ):
        with pytest.raises(SidestreamError) as caught:
            await work
        assert caught.value.code == code
    waits = [state.retry_in_seconds for state in states if state.retry_in_seconds]
    assert len(waits) == 3
    for ceiling, wait in zip((0.01, 0.02, 0.04), waits, strict=True):
        assert ceiling / 2 <= wait <= ceiling
    await client.close()


async def test_nothing_is_left_behind(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(answer_tokens=8, hold_after=4)

    async def use(url: str) -> None:
        async with connect(url) as client:
            await client.generate(["m", "m"], "go")
            waiting = asyncio.create_task(client.ping())
            changes = client.changes()
            await anext(changes)
            await asyncio.sleep(0)
        with pytest.raises(SidestreamError):
            await waiting
        async for _ in changes:
            pass  # those that had come already; then it ends
        await client.close()
        await until(lambda: running.sockets == 0, "the socket is gone")
        fake.state.release()
        await until(lambda: running.live == 0, "the answers have come to their end")
        await until(lambda: running.connections == 0, "so has every connection")

    async with gateway({"m": fake.url}) as running:
        await use(running.url)
        before = len(asyncio.all_tasks())
        await use(running.url)
        await until(lambda: len(asyncio.all_tasks()) <= before, "no task is left")
