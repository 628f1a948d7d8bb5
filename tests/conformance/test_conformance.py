"""Our gateway keeps every rule; and the kit notices who does not."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from tests.conformance.__main__ import AREAS
from tests.conformance.kit import RULES, Subject, judge
from tests.conftest import StartFake
from tests.wire.gateway import Running, gateway

ROOT = Path(__file__).resolve().parents[2]
Events = list[dict[str, Any]]
LATE = {"ttft_ms": 1e9}
OOPS = {"code": "oops"}
MODELS = ["small", "large", "thinks"]
THINKING = "<think>\nOne, two, more.</think>\n\nYes, <think>so."


@pytest.fixture
async def running(fake_tgi: StartFake) -> AsyncIterator[Running]:
    fakes = {name: await fake_tgi(model_id=name, delay_ms=1) for name in ("small", "large")}
    fakes["thinks"] = await fake_tgi(model_id="thinks", delay_ms=1, text=THINKING)
    async with gateway({name: fake.url for name, fake in fakes.items()}) as running:
        yield running


async def test_the_gateway_keeps_every_rule(running: Running) -> None:
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "tests.conformance",
            running.url,
            *(f"-m{name}" for name in MODELS),
        ),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    said = output.decode()
    assert process.returncode == 0, said
    assert {rule.area for rule in RULES} == set(AREAS)
    assert said.count("  ok   ") == len(RULES) > 25, said


@asynccontextmanager
async def between(running: Running, change: Callable[[Events], Any]) -> AsyncIterator[str]:
    """Pass frames on, the server's changed on the way."""

    async def relay(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        async with aiohttp.ClientSession() as http, http.ws_connect(running.url) as far:
            await socket.prepare(request)

            async def down() -> None:
                async for message in far:
                    if not socket.closed:
                        changed = change(json.loads(message.data))
                        await socket.send_str(json.dumps(changed))
                await socket.close(code=far.close_code or 1000)

            downwards = asyncio.create_task(down())
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await far.send_str(message.data)
                else:
                    await far.send_bytes(message.data)
            downwards.cancel()
            await asyncio.wait([downwards])
        return socket

    app = web.Application()
    app.router.add_get("/ws", relay)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
    finally:
        await runner.cleanup()


def edit(event_type: str, **changes: Callable[[dict[str, Any]], Any]) -> Callable[[Events], Events]:
    """Change fields of every event of a kind."""

    def change(events: Events) -> Events:
        return [
            {**event, **{name: value(event) for name, value in changes.items()}}
            if event["type"] == event_type
            else event
            for event in events
        ]

    return change


def drop(kind: str) -> Callable[[Events], Events]:
    return lambda events: (
        [event for event in events if event["type"] != kind] or [{"type": "filler"}]
    )


def twice(kind: str) -> Callable[[Events], Events]:
    return lambda events: [
        event for event in events for _ in range(2 if event["type"] == kind else 1)
    ]


def result_without(name: str) -> Callable[[Events], Events]:
    def change(events: Events) -> Events:
        return [
            {**event, "result": {k: v for k, v in event["result"].items() if k != name}}
            if event["type"] == "result" and "session" in event["result"]
            else event
            for event in events
        ]

    return change


def with_marks(events: Events) -> Events:
    """Have marks read by those who know what they mark."""

    def text_of(event: dict[str, Any]) -> str:
        if not event.get("kind"):
            return str(event["text"])
        return "".join(token["text"] for token in event.get("tokens") or ())

    return edit("delta", text=text_of)(events)


def later_kinds_lost(events: Events) -> Events:
    """Take thinking for answer where it is sent again, as in one that has ended."""
    is_over = any(event["type"] == "end" for event in events)
    return edit("delta", kind=lambda e: "answer")(events) if is_over else events


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda events: events[0], "every_command_has_one_answer"),
        (lambda events: [*events, {"nothing": 1}], "every_command_has_one_answer"),
        (twice("result"), "every_command_has_one_answer"),
        (twice("delta"), "several_targets_answer_at_once"),
        (twice("end"), "several_targets_answer_at_once"),
        (edit("end", seq=lambda e: e["seq"] + 1), "several_targets_answer_at_once"),
        (edit("delta", text=lambda e: 7), "hello_may_be_left_out"),
        (edit("delta", text=lambda e: e["text"] + "!"), "details_bring_tokens"),
        (edit("delta", text=lambda e: f"{e['seq']}."), "what_is_missing_follows_at_once"),
        (edit("delta", kind=lambda e: "reasoning"), "who_lists_no_kind_gets_text"),
        (edit("delta", text=lambda e: e["text"].strip("<")), "who_lists_no_kind_gets_text"),
        (edit("delta", kind=lambda e: "answer"), "a_delta_is_of_one_kind"),
        (with_marks, "a_delta_is_of_one_kind"),
        (edit("delta", text=lambda e: f"{e['seq']}."), "cursors_mean_the_same_to_everybody"),
        (later_kinds_lost, "cursors_mean_the_same_to_everybody"),
        (edit("end", finish_reason=lambda e: "stop"), "cancelling_ends_an_answer"),
        (edit("end", timings=lambda e: e["timings"] | LATE), "an_end_tells_what_it_took"),
        (edit("end", notices=lambda e: {"code": "x"}), "remarks_are_a_list"),
        (edit("end", notices=lambda e: [{"code": "x", "message": ""}]), "remarks_are_a_list"),
        (edit("error", error=lambda e: e["error"] | OOPS), "unknown_models_are_refused"),
        (result_without("models"), "models_have_their_fields"),
        (edit("log", ended=lambda e: False, lines=lambda e: e["lines"] * 3), "logs_come_and_end"),
    ],
)  # fmt: skip
async def test_broken_rules_are_detected(
    running: Running, change: Callable[[Events], Any], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (judged,) = [one for one in RULES if one.name == rule]
    honest = await judge(Subject(running.url, MODELS), judged)
    assert honest.holds, honest
    # Some rules are broken by what never comes.
    monkeypatch.setattr("tests.conformance.kit.RULE_SECONDS", 5.0)
    async with between(running, change) as url:
        verdict = await judge(Subject(url, MODELS), judged)
    assert not verdict.holds
    assert verdict.reason


async def test_a_newer_server_may_say_more(running: Running) -> None:
    remark = {"code": "a_new_one", "message": "Something new.", "details": {"mood": "good"}}

    def newer(events: Events) -> Events:
        for kind in ("state", "delta", "end"):
            events = edit(kind, colour=lambda _: "green")(events)
        events = edit("state", notice=lambda _: remark)(events)
        return [
            *edit("end", notices=lambda _: [remark])(events),
            {"type": "applause", "volume": 11},
        ]

    async with between(running, newer) as url:
        for judged in RULES:
            if judged.area == "answers":
                verdict = await judge(Subject(url, MODELS), judged)
                assert verdict.holds, verdict
