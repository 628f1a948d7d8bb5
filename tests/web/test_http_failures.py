"""What goes wrong over HTTP is told as early and as plainly as it can be."""

import asyncio
from typing import Any

import pytest

from server.settings.tables import EngineSettings, Settings
from server.web.keys import GENERATIONS
from tests.web.conftest import Start, StartWithFake
from tests.web.gateway import own, ports, running, server_settings

ASK = {"model": "m", "inputs": "Once upon a time"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
BOTH = [("/generate", ASK), ("/generate_stream", ASK), ("/v1/chat/completions", CHAT)]


@pytest.mark.parametrize(
    ("path", "body", "wrong", "status", "code"),
    [
        *((*both, {"error_after": 0}, 502, "engine_error") for both in BOTH),
        *((*both, {"overloaded": True}, 503, "engine_overloaded") for both in BOTH),
        (*BOTH[0], {"cut_after": 0}, 502, "engine_error"),
        (*BOTH[1], {"end_early_after": 0}, 502, "engine_error"),
    ],
)
async def test_an_error_before_the_first_token_is_a_status(
    before_fake: StartWithFake,
    path: str,
    body: dict[str, Any],
    wrong: dict[str, Any],
    status: int,
    code: str,
) -> None:
    gateway, _ = await before_fake(answers={"queue_timeout": 0.0}, **wrong)
    reply = await gateway.post(path, body)
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    assert ("Retry-After" in reply.headers) == (status == 503)


async def test_an_error_after_the_first_token_is_the_last_event(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(error_after=2, answer_tokens=9)
    reply = await gateway.post("/generate_stream", ASK)
    *tokens, last = reply.events
    assert [event["index"] for event in tokens] == [1, 2]
    assert last["error_type"] == "generation"
    assert "CUDA out of memory" in last["error"]


async def test_openais_stream_that_breaks_off_ends_with_its_error(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(error_after=2, text="a b c d e")
    reply = await gateway.post("/v1/chat/completions", {**CHAT, "stream": True})
    assert reply.status == 200
    assert reply.events[-1]["error"]["code"] == "engine_error"
    assert "[DONE]" not in reply.events


@pytest.mark.parametrize(("path", "body"), BOTH)
async def test_a_model_that_cannot_start_is_explained(
    cold: Start, path: str, body: dict[str, Any]
) -> None:
    gateway = await cold("--die-while-loading", "--die-cause", "memory")
    reply = await gateway.post(path, body)
    error = reply.json["error"]
    assert reply.status == 503
    assert error["code"] == "model_failed"
    assert error["hint"]
    assert error["details"]["log"]


async def test_a_cold_models_stream_is_kept_alive_until_its_first_token(cold: Start) -> None:
    gateway = await cold("--load-seconds", "0.4", "--text", "warm", server={"keep_alive": 0.05})
    reply = await gateway.post("/generate_stream", ASK)
    assert reply.status == 200
    assert reply.text.startswith(":\n\n")
    assert reply.events[-1]["generated_text"] == "warm"


async def test_a_start_that_fails_late_is_an_event(cold: Start) -> None:
    flags = ("--load-seconds", "0.6", "--die-while-loading", "--die-cause", "disk")
    gateway = await cold(*flags, server={"keep_alive": 0.05})
    reply = await gateway.post("/generate_stream", ASK)
    assert reply.status == 200
    assert reply.text.startswith(":\n\n")
    assert [event["code"] for event in reply.events] == ["model_failed"]
    assert "disk is full" in reply.events[0]["error"]


async def test_a_full_queue_asks_to_come_back(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(answers={"max_queue": 1}, hold_after=0, answer_tokens=1)
    first = asyncio.create_task(gateway.post("/generate", ASK))
    await fake.state.reaches(started=1)
    refused = await gateway.post("/generate", ASK)
    assert (refused.status, refused.json["error"]["code"]) == (503, "queue_full")
    assert int(refused.headers["Retry-After"]) > 0
    fake.state.release()
    assert (await first).status == 200


@pytest.mark.parametrize("hold_after", [0, 3])
@pytest.mark.parametrize(("path", "body"), BOTH)
async def test_a_client_that_goes_frees_the_model_server(
    before_fake: StartWithFake, path: str, body: dict[str, Any], hold_after: int
) -> None:
    gateway, fake = await before_fake(hold_after=hold_after, answer_tokens=9)
    asking = asyncio.create_task(gateway.post(path, {**body, "stream": True}))
    await fake.state.reaches(started=1, tokens=hold_after)
    asking.cancel()
    await fake.state.reaches(cancelled=1)
    assert fake.state.counts["running"] == 0


async def test_a_client_that_goes_while_it_waits_leaves_the_queue(
    before_fake: StartWithFake,
) -> None:
    gateway, fake = await before_fake(model={"max_concurrent": 1}, hold_after=0, answer_tokens=1)
    first = asyncio.create_task(gateway.post("/generate", ASK))
    await fake.state.reaches(started=1)
    second = asyncio.create_task(gateway.post("/generate", ASK))
    await gateway.until(lambda model: model.waiting == 1)
    second.cancel()
    await gateway.until(lambda model: model.waiting == 0)
    fake.state.release()
    assert (await first).status == 200
    assert fake.state.counts["started"] == 1


async def test_a_server_that_stops_says_so_in_the_stream(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(hold_after=2, answer_tokens=9)
    async with gateway.open("/generate_stream", ASK) as response:
        await fake.state.reaches(tokens=2)
        await gateway.app[GENERATIONS].close(grace_seconds=0)
        text = (await response.read()).decode()
    assert '"code":"shutting_down"' in text
    refused = await gateway.post("/generate", ASK)
    assert (refused.status, refused.json["error"]["code"]) == (503, "shutting_down")
    assert "Retry-After" in refused.headers


async def test_a_stop_in_the_middle_of_a_stream_does_not_wait_for_it() -> None:
    settings = Settings(
        server=server_settings(),
        engines=EngineSettings(ports=ports(), stop_grace=1.0),
        models={"m": own()},
    )
    async with asyncio.timeout(20), running(settings, "--hold-after", "1") as gateway:
        response = await gateway.http.post(f"{gateway.url}/generate_stream", json=ASK)
        await response.content.readuntil(b"\n\n")
    assert response.status == 200


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({"Host": "evil.example"}, "/models"),
        ({"Origin": "http://evil.example"}, "/models/m/stop"),
        ({"Origin": "null"}, "/models/m/start"),
    ],
)
async def test_foreign_pages_change_and_read_nothing(
    before_fake: StartWithFake, headers: dict[str, str], path: str
) -> None:
    gateway, _ = await before_fake()
    method = "GET" if path == "/models" else "POST"
    reply = await gateway.ask(method, path, headers=headers)
    assert (reply.status, reply.json["error"]["code"]) == (403, "forbidden")
