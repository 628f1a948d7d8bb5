"""A key that is revoked, or expires, ends what goes on with it at once, and nothing else."""

import asyncio
import logging
import time

import aiohttp
import pytest

from server.web.entry.gate import GATE
from server.web.keys import GENERATIONS, SESSIONS
from tests.access.keyed_gateway import CEILING_SECONDS, KeyedGateway, close_code, until
from tests.wire.gateway import Speaker

QUESTION = {"targets": [{"model": "m"}], "prompt": "Once"}


async def test_a_key_revoked_in_the_middle_of_a_stream_ends_that_stream_and_no_other(
    keyed: KeyedGateway,
) -> None:
    async with (
        keyed.speaking("use") as mine,
        keyed.speaking("op") as theirs,
        keyed.streaming("use") as my_stream,
        keyed.streaming("op") as their_stream,
    ):
        for speaker in (mine, theirs):
            await speaker.ask("generate", **QUESTION)
            await speaker.hear_until(lambda event: event["type"] == "delta")
        assert keyed.fake.state.counts["running"] == 4

        keyed.remove("use")

        assert await close_code(mine) == 4401
        async with asyncio.timeout(CEILING_SECONDS):
            with pytest.raises(aiohttp.ClientPayloadError):
                await my_stream.read()
        # The model server's slots are free: the session does not write on for nobody.
        await keyed.fake.state.reaches(cancelled=2)
        assert keyed.fake.state.counts["running"] == 2
        assert len(keyed.gateway.app[SESSIONS]) == 1

        keyed.fake.state.release()
        end = await theirs.hear_until(lambda event: event["type"] == "end")
        assert end["finish_reason"] == "stop"
        assert b'"generated_text":"one two three"' in await their_stream.read()
    assert (await keyed.ask("GET", "/models", key="use")).status == 401
    assert (await keyed.ask("GET", "/models", key="op")).status == 200


async def test_a_key_that_expires_in_the_middle_of_a_stream_ends_it_too(
    keyed: KeyedGateway,
) -> None:
    keyed.write("soon", expires_at=time.time() + 1.5)
    await until(lambda: keyed.gateway.app[GATE].keyring.find(keyed.keys["soon"]))
    async with keyed.speaking("soon") as mine, keyed.streaming("op") as their_stream:
        await mine.ask("generate", **QUESTION)
        assert await close_code(mine) == 4401
        keyed.fake.state.release()
        assert b"generated_text" in await their_stream.read()
    assert (await keyed.ask("GET", "/models", key="soon")).status == 401


async def test_an_answer_that_has_not_begun_is_refused_with_a_status(keyed: KeyedGateway) -> None:
    body = {"model": "m", "inputs": "Once"}
    asking = asyncio.create_task(keyed.ask("POST", "/generate", key="use", json=body))
    await keyed.fake.state.reaches(tokens=1)
    keyed.remove("use")
    reply = await asking
    assert (reply.status, reply.json["error"]["code"]) == (401, "unauthorized")
    await keyed.fake.state.reaches(cancelled=1)


async def test_revoking_ends_a_followed_log(keyed: KeyedGateway) -> None:
    await keyed.add("watcher")
    async with keyed.gateway.http.get(
        f"{keyed.gateway.url}/models/m/logs?follow=1", headers=keyed.bearer("watcher")
    ) as response:
        assert response.status == 200
        keyed.remove("watcher")
        async with asyncio.timeout(CEILING_SECONDS):
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


async def test_a_key_of_the_same_name_is_another(keyed: KeyedGateway) -> None:
    async with keyed.speaking("use") as mine:
        session = (await mine.ask("hello"))["result"]["session"]
        await mine.ask("generate", **QUESTION)
        keyed.file.change(lambda keys: tuple(key for key in keys if key.name != "use"))
        keyed.write("use", "user")
        assert await close_code(mine) == 4401
    async with keyed.speaking("use") as other:
        assert not (await other.ask("hello", session=session))["result"]["resumed"]


async def test_a_hundred_sockets_of_one_key_end_together(keyed: KeyedGateway) -> None:
    async with asyncio.timeout(CEILING_SECONDS):
        async with aiohttp.ClientSession() as http:
            sockets = [
                await http.ws_connect(keyed.sockets_url, headers=keyed.bearer("use"))
                for _ in range(100)
            ]
            keyed.remove("use")
            for socket in sockets:
                assert await close_code(Speaker(socket)) == 4401
        await until(lambda: len(keyed.gateway.app[GATE].active_requests) == 0)


async def test_a_damaged_file_changes_nothing_and_is_reported(
    keyed: KeyedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    whole = keyed.file.path.read_bytes()
    async with keyed.speaking("op") as speaker:
        with caplog.at_level(logging.ERROR):
            keyed.file.path.write_bytes(whole[:-40])
            await until(lambda: "the keys stay as they were" in caplog.text)
        assert (await speaker.ask("hello"))["type"] == "result"
        assert (await keyed.ask("GET", "/models", key="use")).status == 200
        keyed.file.path.write_bytes(whole)
        await keyed.add("late")
        keyed.remove("op")
        assert await close_code(speaker) == 4401
    assert caplog.text.count("the keys stay as they were") == 1


async def test_no_change_is_missed_however_close_they_come(keyed: KeyedGateway) -> None:
    """The second may have the time, the size and the inode of the first."""
    keyring = keyed.gateway.app[GATE].keyring
    for round_ in range(20):
        keyed.write(f"a{round_}")
        keyring.poll()
        keyed.remove(f"a{round_}")
        keyed.write(f"b{round_}")
        keyring.poll()
        assert keyring.find(keyed.keys[f"a{round_}"]) is None
        assert keyring.find(keyed.keys[f"b{round_}"]) is not None
        keyed.remove(f"b{round_}")


async def test_nothing_is_left_behind(keyed: KeyedGateway) -> None:
    async with keyed.speaking("use") as mine, keyed.streaming("use"):
        await mine.ask("generate", **QUESTION)
        keyed.remove("use")
        await close_code(mine)
    await until(lambda: not keyed.gateway.app[GATE].active_requests)
    await until(lambda: not keyed.gateway.app[GENERATIONS]._live)
    await until(lambda: len(keyed.gateway.app[SESSIONS]) == 0)
