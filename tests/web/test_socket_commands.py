"""Commands that fail are answered where they belong; models say what becomes of them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import websockets

from server.settings.models import ModelSettings
from tests.conftest import StartFake
from tests.support.dialogue import Dialogue, Event
from tests.web.conftest import Start
from tests.web.gateway import own, remote
from tests.web.speaking import speaking

CHAT = [{"role": "user", "content": "What is AI?"}]


GENERATE = {"type": "generate", "targets": [{"model": "gpt2"}], "prompt": "Hi"}
TALK = {"type": "generate", "targets": [{"model": "gpt2"}], "messages": CHAT}
FAILING: list[tuple[dict[str, Any], str]] = [
    ({"type": "dance"}, "unknown_type"),
    ({"type": ""}, "unknown_type"),
    ({"type": "start", "model": "nobody"}, "unknown_model"),
    ({"type": "stop", "model": "nobody"}, "unknown_model"),
    ({"type": "logs", "model": "nobody"}, "unknown_model"),
    ({"type": "stop", "model": "gpt2"}, "invalid_command"),
    ({"type": "restart", "model": "nobody"}, "unknown_model"),
    ({"type": "restart", "model": "gpt2"}, "invalid_command"),
    ({"type": "start"}, "invalid_command"),
    ({**GENERATE, "targets": [{"model": "nobody"}, {"model": "gpt2"}]}, "unknown_model"),
    ({**GENERATE, "parameters": {"top_p": 3}}, "invalid_parameters"),
    ({**GENERATE, "parameters": {"heat": 3}}, "invalid_parameters"),
    ({**GENERATE, "prompt": ""}, "invalid_command"),
    ({**GENERATE, "messages": CHAT}, "invalid_command"),
    ({**GENERATE, "targets": []}, "invalid_command"),
    ({**GENERATE, "trim": "oldest_turns"}, "invalid_command"),
    ({**TALK, "trim": "newest_turns"}, "invalid_command"),
    ({**TALK, "trim": True}, "invalid_command"),
    ({"type": "hello", "pace_ms": -1}, "invalid_command"),
    ({"type": "hello", "pace_ms": 1001}, "invalid_command"),
    ({"type": "hello", "pace_ms": 2.5}, "invalid_command"),
]


@pytest.mark.parametrize(("command", "code"), FAILING, ids=lambda value: str(value)[:60])
async def test_a_command_that_fails_is_answered_and_the_socket_goes_on(
    client: Dialogue, command: dict[str, Any], code: str
) -> None:
    failed = await client.try_to(**command)
    assert failed["error"]["code"] == code
    assert failed["error"]["message"]
    assert await client.say(type="ping") == {}
    assert not [event for event in client.events if event["type"] == "state"]


async def test_a_command_without_a_usable_id_is_answered_without_one(client: Dialogue) -> None:
    await client._socket.send('{"type":"ping","id":"x"}')
    failed = await client.until(lambda e: e["type"] == "error")
    assert "id" not in failed
    assert failed["error"]["code"] == "invalid_command"


async def test_a_prompt_that_is_too_long_is_told_in_its_own_column(
    start_gateway: Start, fake_tgi: StartFake
) -> None:
    small, large = await fake_tgi(max_input_tokens=10), await fake_tgi()
    models = {"small": remote(small.url), "large": remote(large.url)}
    async with speaking(await start_gateway(models)) as client:
        ids = await client.ask(
            "small", "large", prompt="word " * 50, parameters={"max_new_tokens": 3}
        )
        ends = [await client.end(generation) for generation in ids]
        assert ends[0]["error"]["code"] == "prompt_too_long"
        assert ends[1]["finish_reason"] == "length"


async def test_hello_comes_once(client: Dialogue) -> None:
    session = (await client.say(type="hello"))["session"]
    for fields in ({}, {"session": session}):
        failed = await client.try_to(type="hello", **fields)
        assert failed["error"]["code"] == "invalid_command"
    assert await client.say(type="ping") == {}


async def test_hello_comes_first(client: Dialogue) -> None:
    await client.ask("gpt2", prompt="Hi")
    assert (await client.try_to(type="hello"))["error"]["code"] == "invalid_command"


async def test_a_client_that_says_no_hello_can_ask_at_once(client: Dialogue) -> None:
    (generation,) = await client.ask("gpt2", prompt="Hi")
    assert generation == "g1"
    assert (await client.end(generation))["finish_reason"] == "length"


async def test_cancelling_what_is_over_or_unknown_is_no_error(client: Dialogue) -> None:
    (generation,) = await client.ask("gpt2", prompt="Hi")
    await client.end(generation)
    assert await client.say(type="cancel", generations=[generation, "g99"]) == {"cancelled": []}
    assert await client.say(type="cancel") == {"cancelled": []}


async def test_answers_to_many_commands_sent_at_once_all_come(client: Dialogue) -> None:
    for number in range(100, 150):
        await client._socket.send(json.dumps({"id": number, "type": "ping"}))
    for number in range(100, 150):
        await client.until(lambda e, number=number: e.get("id") == number)  # type: ignore[misc]


# --- models -------------------------------------------------------------------------------------


async def test_a_start_and_a_stop_are_told_to_everybody(start_gateway: Start) -> None:
    gateway = await start_gateway({"m": own(), "n": ModelSettings(base="m", parameters={})})
    async with speaking(gateway) as one, speaking(gateway) as other:
        result = await one.say(type="start", model="m")
        assert result["model"]["id"] == "m"
        for client in (one, other):
            for model in ("m", "n"):
                seen = await client.model(model, "ready")
                assert seen["progress"] is None
        result = await other.say(type="stop", model="n")
        assert result["model"]["id"] == "n"
        for client in (one, other):
            await client.model("m", "stopped", skip=len(one.events) - 1 if client is one else 0)


async def test_a_model_object_has_every_field(client: Dialogue) -> None:
    result = await client.say(type="start", model="smollm2-135m")
    model = result["model"]
    assert set(model) >= {
        "id", "name", "description", "runner", "engine", "state", "progress", "error", "running",
        "waiting", "limits", "capabilities", "parameters",
    }  # fmt: skip
    assert (model["name"], model["runner"], model["state"]) == ("SmolLM2", "remote", "ready")
    assert set(model["capabilities"]) == {
        *("chat", "cancel", "logprobs", "load", "cost", "vision"),
    }


async def test_a_model_that_cannot_start_says_why_in_its_column_and_in_its_row(
    start_gateway: Start, fake_tgi: StartFake
) -> None:
    models = {"m": own(), "good": remote((await fake_tgi()).url)}
    gateway = await start_gateway(models, "--die-while-loading", "7")
    async with speaking(gateway) as client:
        bad, good = await client.ask("m", "good", prompt="Hi", parameters={"max_new_tokens": 3})
        end = await client.end(bad)
        assert (end["finish_reason"], end["error"]["code"]) == ("failed", "model_failed")
        assert end["error"]["details"]["exit_code"] == 7
        assert (await client.model("m", "failed"))["error"]["message"]
        assert (await client.end(good))["finish_reason"] == "length"


async def test_progress_never_goes_back_inside_a_phase(start_gateway: Start) -> None:
    flags = ("--download-files", "4", "--load-seconds", "0.1")
    async with speaking(await start_gateway({"m": own()}, *flags)) as client:
        await client.say(type="start", model="m")
        await client.model("m", "ready")
        steps = [e["model"]["progress"] for e in client.events if e["type"] == "model"]
        last: dict[str, float] = {}
        for step in filter(None, steps):
            fraction = step["fraction"] or 0.0
            assert fraction >= last.get(step["phase"], 0.0)
            last[step["phase"]] = fraction


async def test_a_frame_that_cannot_be_written_closes_the_socket(start_gateway: Start) -> None:
    """Regression: the socket stayed open, and said nothing ever again."""
    unwritable = own(parameters={"stop": ["\ud800"]})
    async with speaking(await start_gateway({"m": unwritable})) as client:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.say(type="hello")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011


# --- logs ---------------------------------------------------------------------------------------


async def test_a_log_is_followed_until_nobody_wants_it_any_more(start_gateway: Start) -> None:
    async with speaking(await start_gateway({"m": own()})) as client:
        first = (await client.say(type="logs", model="m"))["subscription"]
        second = (await client.say(type="logs", model="m"))["subscription"]
        assert first != second
        await client.say(type="start", model="m")
        await client.model("m", "ready")

        def says(subscription: str, text: str) -> Callable[[Event], bool]:
            return lambda e: (
                e["type"] == "log"
                and e["subscription"] == subscription
                and any(text in line["text"] for line in e["lines"])
            )

        line = (await client.until(says(first, "Connected")))["lines"][0]
        assert set(line) == {"time", "stream", "text"}
        await client.until(says(second, "Connected"))
        assert await client.say(type="unsubscribe", subscription=first) == {}
        seen = len(client.events)
        await client.say(type="stop", model="m")
        await client.until(says(second, "stopped"), skip=seen)
        assert not [e for e in client.events[seen:] if e.get("subscription") == first]
        assert await client.say(type="unsubscribe", subscription="l99") == {}


async def test_logs_without_follow_give_the_last_lines(start_gateway: Start) -> None:
    async with speaking(await start_gateway({"m": own()})) as client:
        await client.say(type="start", model="m")
        await client.model("m", "ready")
        name = (await client.say(type="logs", model="m", tail=2, follow=False))["subscription"]
        log = await client.until(lambda e: e["type"] == "log" and e["subscription"] == name)
        assert len(log["lines"]) == 2
