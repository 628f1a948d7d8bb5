"""A key that is revoked, or expires, ends what goes on with it at once, and nothing else."""

import asyncio
import logging
import time

import aiohttp
import pytest

from server.web.entry.gate import GATE
from server.web.keys import DESK, SESSIONS
from tests.access.house import CEILING_SECONDS, House, close_code, until
from tests.wire.gateway import Speaker

QUESTION = {"targets": [{"model": "m"}], "prompt": "Once"}


async def test_a_key_revoked_in_the_middle_of_a_stream_ends_that_stream_and_no_other(
    house: House,
) -> None:
    async with (
        house.speaking("use") as mine,
        house.speaking("op") as theirs,
        house.streaming("use") as my_stream,
        house.streaming("op") as their_stream,
    ):
        for speaker in (mine, theirs):
            await speaker.ask("generate", **QUESTION)
            await speaker.hear_until(lambda event: event["type"] == "delta")
        assert house.fake.state.counts["running"] == 4

        house.remove("use")

        assert await close_code(mine) == 4401
        async with asyncio.timeout(CEILING_SECONDS):
            with pytest.raises(aiohttp.ClientPayloadError):
                await my_stream.read()
        # The model server's slots are free: the session does not write on for nobody.
        await house.fake.state.reaches(cancelled=2)
        assert house.fake.state.counts["running"] == 2
        assert len(house.gateway.app[SESSIONS]) == 1

        house.fake.state.release()
        end = await theirs.hear_until(lambda event: event["type"] == "end")
        assert end["finish_reason"] == "stop"
        assert b'"generated_text":"one two three"' in await their_stream.read()
    assert (await house.ask("GET", "/models", key="use")).status == 401
    assert (await house.ask("GET", "/models", key="op")).status == 200


async def test_a_key_that_expires_in_the_middle_of_a_stream_ends_it_too(house: House) -> None:
    house.write("soon", expires_at=time.time() + 1.5)
    await until(lambda: house.gateway.app[GATE].keyring.find(house.keys["soon"]))
    async with house.speaking("soon") as mine, house.streaming("op") as their_stream:
        await mine.ask("generate", **QUESTION)
        assert await close_code(mine) == 4401
        house.fake.state.release()
        assert b"generated_text" in await their_stream.read()
    assert (await house.ask("GET", "/models", key="soon")).status == 401


async def test_an_answer_that_has_not_begun_is_refused_with_a_status(house: House) -> None:
    body = {"model": "m", "inputs": "Once"}
    asking = asyncio.create_task(house.ask("POST", "/generate", key="use", json=body))
    await house.fake.state.reaches(tokens=1)
    house.remove("use")
    reply = await asking
    assert (reply.status, reply.json["error"]["code"]) == (401, "unauthorized")
    await house.fake.state.reaches(cancelled=1)


async def test_who_follows_a_log_is_cut_off(house: House) -> None:
    await house.add("watcher")
    async with house.gateway.http.get(
        f"{house.gateway.url}/models/m/logs?follow=1", headers=house.bearer("watcher")
    ) as response:
        assert response.status == 200
        house.remove("watcher")
        async with asyncio.timeout(CEILING_SECONDS):
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


async def test_a_key_of_the_same_name_is_another(house: House) -> None:
    async with house.speaking("use") as mine:
        session = (await mine.ask("hello"))["result"]["session"]
        await mine.ask("generate", **QUESTION)
        house.file.change(lambda keys: tuple(key for key in keys if key.name != "use"))
        house.write("use", "user")
        assert await close_code(mine) == 4401
    async with house.speaking("use") as other:
        assert not (await other.ask("hello", session=session))["result"]["resumed"]


async def test_a_hundred_sockets_of_one_key_end_together(house: House) -> None:
    async with asyncio.timeout(CEILING_SECONDS):
        async with aiohttp.ClientSession() as http:
            sockets = [
                await http.ws_connect(house.sockets_url, headers=house.bearer("use"))
                for _ in range(100)
            ]
            house.remove("use")
            for socket in sockets:
                assert await close_code(Speaker(socket)) == 4401
        await until(lambda: len(house.gateway.app[GATE].visits) == 0)


async def test_a_damaged_file_changes_nothing_and_is_reported(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    whole = house.file.path.read_bytes()
    async with house.speaking("op") as speaker:
        with caplog.at_level(logging.ERROR):
            house.file.path.write_bytes(whole[:-40])
            await until(lambda: "the keys stay as they were" in caplog.text)
        assert (await speaker.ask("hello"))["type"] == "result"
        assert (await house.ask("GET", "/models", key="use")).status == 200
        house.file.path.write_bytes(whole)
        await house.add("late")
        house.remove("op")
        assert await close_code(speaker) == 4401
    assert caplog.text.count("the keys stay as they were") == 1


async def test_no_change_is_missed_however_close_they_come(house: House) -> None:
    """The second may have the time, the size and the inode of the first."""
    keyring = house.gateway.app[GATE].keyring
    for round_ in range(20):
        house.write(f"a{round_}")
        keyring.look()
        house.remove(f"a{round_}")
        house.write(f"b{round_}")
        keyring.look()
        assert keyring.find(house.keys[f"a{round_}"]) is None
        assert keyring.find(house.keys[f"b{round_}"]) is not None
        house.remove(f"b{round_}")


async def test_nothing_is_left_behind(house: House) -> None:
    async with house.speaking("use") as mine, house.streaming("use"):
        await mine.ask("generate", **QUESTION)
        house.remove("use")
        await close_code(mine)
    await until(lambda: not house.gateway.app[GATE].visits)
    assert not house.gateway.app[DESK]._live
    assert len(house.gateway.app[SESSIONS]) == 0
