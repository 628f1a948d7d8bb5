"""A command that is sent twice is carried out once, however long ago the first time was."""

from typing import Any

from tests.conftest import StartFake
from tests.wire.gateway import Speaker, gateway, speaking


async def ask(speaker: Speaker, request_id: str) -> dict[str, Any]:
    fields = {"targets": [{"model": "m"}], "prompt": "go", "request_id": request_id}
    return await speaker.ask("generate", **fields)


async def ask_and_hear(speaker: Speaker, request_id: str) -> dict[str, Any]:
    answered = await ask(speaker, request_id)
    (name,) = answered["result"]["generations"]
    await speaker.hear_until(lambda event: event["type"] == "end" and event["generation"] == name)
    return answered


async def test_while_its_answer_lives_a_request_is_known_whatever_came_after(
    fake_tgi: StartFake,
) -> None:
    slow = await fake_tgi(model_id="slow", answer_tokens=2, hold_after=0)
    fast = await fake_tgi(model_id="fast", answer_tokens=2)
    async with (
        gateway({"slow": slow.url, "m": fast.url}, sessions={"max_kept_generations": 2}) as running,
        speaking(running.url) as speaker,
    ):
        fields = {"targets": [{"model": "slow"}], "prompt": "go", "request_id": "the slow one"}
        first = await speaker.ask("generate", **fields)
        for number in range(8):
            await ask_and_hear(speaker, f"a quick one, {number}")
        assert (await speaker.ask("generate", **fields))["result"] == first["result"]
        assert slow.state.counts["started"] == 1


async def test_a_request_whose_answer_is_forgotten_is_not_started_anew(
    fake_tgi: StartFake,
) -> None:
    fake = await fake_tgi(answer_tokens=2)
    async with (
        gateway({"m": fake.url}, sessions={"max_kept_generations": 2}) as running,
        speaking(running.url) as speaker,
    ):
        for number in range(5):
            await ask_and_hear(speaker, f"number {number}")
        started = fake.state.counts["started"]
        assert (await ask(speaker, "number 1"))["error"]["code"] == "unknown_generation"
        assert (await ask(speaker, "number 4"))["type"] == "result"
        assert fake.state.counts["started"] == started


async def test_requests_long_past_take_no_room(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(answer_tokens=1)
    async with (
        gateway({"m": fake.url}, sessions={"max_kept_generations": 3}) as running,
        speaking(running.url) as speaker,
    ):
        for number in range(30):
            await ask_and_hear(speaker, f"number {number}")
        assert running.kept <= 4
        assert running.known_requests <= 8
