"""Every limit has its code, and who keeps within it never meets it."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.conftest import StartFake
from tests.wire.gateway import Running, Speaker, gateway, speaking, until


async def close_code(speaker: Speaker) -> int:
    """Hear to the end and return the code the socket was closed with."""
    with pytest.raises(ConnectionError):
        await speaker.hear_until(lambda _: False)
    assert speaker.socket.close_code is not None
    return speaker.socket.close_code


async def ask_for(speaker: Speaker, count: int) -> dict[str, Any]:
    return await speaker.ask("generate", targets=[{"model": "m"}] * count, prompt="go")


def code(answered: dict[str, Any]) -> str:
    return str(answered["error"]["code"])


@pytest.mark.parametrize("frame", ["", "no JSON", "[]", "3", "null", '{"id":1}', '{"type":7}'])
async def test_a_frame_that_is_no_command_closes_with_4400(frame: str) -> None:
    async with gateway({}) as running, speaking(running.url) as speaker:
        await speaker.socket.send_str(frame)
        assert await close_code(speaker) == 4400


async def test_a_frame_of_bytes_closes_with_4400() -> None:
    async with gateway({}) as running, speaking(running.url) as speaker:
        await speaker.socket.send_bytes(b'{"id":1,"type":"ping"}')
        assert await close_code(speaker) == 4400


async def test_the_largest_frame_is_taken_and_one_larger_closes_with_1009() -> None:
    async with gateway({}, server={"max_frame_bytes": 2000}) as running:
        frame = json.dumps({"id": 1, "type": "ping", "padding": ""})
        async with speaking(running.url) as speaker:
            await speaker.socket.send_str(frame.replace('""', f'"{"x" * (2000 - len(frame))}"'))
            assert (await speaker.hear())["type"] == "result"
            await speaker.socket.send_str("x" * 2001)
            assert await close_code(speaker) == 1009


async def test_too_many_commands_are_refused_and_later_ones_taken_again() -> None:
    async with (
        gateway({}, server={"command_rate": 20.0}) as running,
        speaking(running.url) as speaker,
    ):
        for _ in range(100):
            await speaker.say("ping")
        answers = [await speaker.hear() for _ in range(100)]
        refused = [answer for answer in answers if answer["type"] == "error"]
        assert {code(answer) for answer in refused} == {"rate_limited"}
        assert 1 <= len(refused) <= 60, "twice the rate is let through at once"
        async with asyncio.timeout(20):
            while (await speaker.ask("ping"))["type"] == "error":
                pass


async def test_commands_that_are_wrong_count_too() -> None:
    async with (
        gateway({}, server={"command_rate": 1.0}) as running,
        speaking(running.url) as speaker,
    ):
        codes = [code(await speaker.ask("applaud")) for _ in range(10)]
        assert codes[:2] == ["unknown_type", "unknown_type"]
        assert codes[-1] == "rate_limited"


@pytest.mark.parametrize("kind", ["ping", "applaud"])
async def test_clients_that_keep_exceeding_the_command_rate_are_closed_with_4429(kind: str) -> None:
    async with (
        gateway({}, server={"command_rate": 1.0}) as running,
        speaking(running.url) as speaker,
    ):

        async def flood() -> None:
            while not speaker.socket.closed:
                await speaker.say(kind)
                await asyncio.sleep(0)  # or it would be heard only when the buffers are full

        flooding = asyncio.create_task(flood())
        assert await close_code(speaker) == 4429
        flooding.cancel()
        await asyncio.wait([flooding])
        async with speaking(running.url) as other:
            assert (await other.ask("ping"))["type"] == "result"


async def test_a_session_has_only_so_many_live_answers(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(text="one two", hold_after=0)
    async with (
        gateway({"m": fake.url}, sessions={"max_live_generations": 3}) as running,
        speaking(running.url) as speaker,
    ):
        assert (await ask_for(speaker, 2))["type"] == "result"
        assert code(await ask_for(speaker, 2)) == "session_limit"
        assert running.live == 2, "of a command that is refused nothing starts"
        assert (await ask_for(speaker, 1))["type"] == "result"
        fake.state.release()
        await speaker.hear_until(lambda event: event["type"] == "end")
        assert (await ask_for(speaker, 1))["type"] == "result", "there is room again"


async def test_an_owner_has_only_so_many_live_answers_in_all_sessions(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(text="one two", hold_after=0)
    async with (
        gateway({"m": fake.url}, sessions={"max_live_per_owner": 3}) as running,
        speaking(running.url) as one,
        speaking(running.url) as other,
    ):
        assert (await ask_for(one, 2))["type"] == "result"
        assert code(await ask_for(other, 2)) == "session_limit"
        assert running.live == 2
        assert (await ask_for(other, 1))["type"] == "result"


async def test_a_queue_has_only_so_many_places(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(text="one two", hold_after=0)
    async with (
        gateway({"m": fake.url}, answers={"max_queue": 2}) as running,
        speaking(running.url) as speaker,
    ):
        assert (await ask_for(speaker, 2))["type"] == "result"
        assert code(await ask_for(speaker, 1)) == "queue_full"


async def test_there_are_only_so_many_sessions(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(text="one two")
    async with (
        gateway({"m": fake.url}, sessions={"max_sessions": 1}) as running,
        speaking(running.url) as first,
        speaking(running.url) as second,
    ):
        session = (await first.ask("hello"))["result"]["session"]
        await ask_for(first, 1)
        assert code(await second.ask("hello")) == "session_limit"
        assert code(await ask_for(second, 1)) == "session_limit"
        resumed = await second.ask("hello", session=session)
        assert resumed["result"]["resumed"], "coming back to one needs no room"


async def test_a_session_in_which_nothing_was_asked_leaves_its_room() -> None:
    async with gateway({}, sessions={"max_sessions": 1}) as running:
        for _ in range(3):
            async with speaking(running.url) as speaker:
                assert (await speaker.ask("hello"))["type"] == "result"
            await until(lambda: running.sessions == 0, "the session is forgotten")


async def refusal(running: Running, **headers: str) -> aiohttp.ClientResponse:
    """Try to open a socket and return the answer that refuses it."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    url = running.url.replace("ws://", "http://")
    async with aiohttp.ClientSession() as http, http.get(url, headers=upgrade | headers) as answer:
        await answer.read()
        return answer


async def test_there_are_only_so_many_sockets() -> None:
    async with gateway({}, server={"max_sockets": 2}) as running:
        async with speaking(running.url) as first, speaking(running.url):
            await first.ask("ping")
            answer = await refusal(running)
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert (await answer.json())["error"]["code"] == "session_limit"
        await until(lambda: running.sockets == 0, "both are gone")
        async with speaking(running.url) as third:
            assert (await third.ask("ping"))["type"] == "result"


async def test_pages_of_others_and_foreign_names_are_refused() -> None:
    async with gateway({}) as running:
        for headers in ({"Origin": "http://evil.test"}, {"Host": "evil.test"}):
            answer = await refusal(running, **headers)
            assert answer.status == 403
            assert (await answer.json())["error"]["code"] == "forbidden"
