"""A client that reads slowly, stops reading, or is gone: it alone waits, and loses nothing.

A reader here stops by not taking what arrives; buffers are small, so that the gateway feels it
after some hundred kilobytes. Ranges of settings are not checked, so that times can be short.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

import server.web.sockets.socket
from tests.conftest import StartFake
from tests.wire.gateway import Running, Speaker, gateway, speaking, until

SMALL = 16 * 1024
WORD = "x" * 5000
TOKENS = 300
TEXT = " ".join([WORD] * TOKENS)


@asynccontextmanager
async def one_model(fake_tgi: StartFake, **sections: Any) -> AsyncIterator[Running]:
    """Run a gateway with a model that writes 1.5 MB as fast as it can."""
    fake = await fake_tgi(text=TEXT)
    async with gateway({"m": fake.url}, send_buffer_bytes=SMALL, **sections) as running:
        yield running


def reader(running: Running) -> Any:
    return speaking(running.url, receive_buffer_bytes=SMALL)


async def ask(speaker: Speaker) -> str:
    """Have the model write; return the session."""
    session = (await speaker.ask("hello"))["result"]["session"]
    parameters = {"max_new_tokens": 1000}
    await speaker.say("generate", targets=[{"model": "m"}], prompt="go", parameters=parameters)
    return str(session)


async def hear_to_the_end(speaker: Speaker) -> None:
    await speaker.hear_until(lambda event: event["type"] == "end")


def deltas(speaker: Speaker) -> list[dict[str, Any]]:
    return [event for event in speaker.events if event["type"] == "delta"]


def text(*speakers: Speaker) -> str:
    return "".join(delta["text"] for speaker in speakers for delta in deltas(speaker))


@asynccontextmanager
async def silent(running: Running) -> AsyncIterator[asyncio.StreamWriter]:
    """Open a socket whose client answers nothing, not even pings."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    try:
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        yield writer
    finally:
        writer.close()


async def test_paused_readers_delay_nobody_and_get_joined_deltas_later(
    fake_tgi: StartFake,
) -> None:
    async with (
        one_model(fake_tgi) as running,
        reader(running) as stopped,
        reader(running) as other,
    ):
        session = await ask(stopped)
        await other.ask("hello", session=session)
        await hear_to_the_end(other)
        assert text(other) == TEXT
        await hear_to_the_end(stopped)
        assert text(stopped) == TEXT
        assert len(deltas(stopped)) < TOKENS / 2, "what piled up was to be joined"


async def test_a_slow_reader_is_not_taken_for_a_dead_one(fake_tgi: StartFake) -> None:
    async with (
        one_model(fake_tgi, server={"heartbeat": 2.0}) as running,
        reader(running) as stopped,
    ):
        await ask(stopped)
        await until(lambda: not running.live, "the answer is written")
        for _ in range(2):  # dead ones, that come later and are gone earlier
            async with silent(running):
                await until(lambda: running.sockets == 1, "the dead one is dropped")
        await hear_to_the_end(stopped)
        assert text(stopped) == TEXT


async def test_readers_that_stay_paused_are_closed_with_4408_and_can_resume(
    fake_tgi: StartFake,
) -> None:
    async with one_model(fake_tgi, server={"reader_timeout": 0.3}) as running:
        async with reader(running) as away:
            session = await ask(away)
            await until(lambda: running.sockets == 0, "the socket is given up")
            with pytest.raises(ConnectionError, match="4408"):
                await hear_to_the_end(away)
            assert text(away) != TEXT
        seq = deltas(away)[-1]["seq"]
        async with reader(running) as back:
            answered = await back.ask("hello", session=session, cursors={"g1": seq})
            assert answered["result"]["resumed"]
            await hear_to_the_end(back)
            assert text(away, back) == TEXT


async def test_a_client_that_never_reads_again_leaves_nothing_behind(
    fake_tgi: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.web.sockets.socket, "_LEAVING_SECONDS", 0.2)
    async with (
        one_model(fake_tgi, server={"reader_timeout": 0.2}) as running,
        reader(running) as away,
    ):
        await ask(away)
        await until(lambda: running.sockets == 0, "the socket is given up")
        await until(lambda: running.connections == 0, "its connection is cut")


async def test_a_bad_frame_of_one_who_does_not_read_closes_all_the_same(
    fake_tgi: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.web.sockets.socket, "_LEAVING_SECONDS", 0.2)
    async with one_model(fake_tgi) as running, reader(running) as rude:
        await ask(rude)
        await until(lambda: not running.live, "the answer is written")
        await rude.socket.send_str("[]")
        await until(lambda: running.sockets == 0, "the socket is closed")
        await until(lambda: running.connections == 0, "its connection is cut")


async def test_a_frame_too_large_of_one_who_does_not_read_closes_all_the_same(
    fake_tgi: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.web.sockets.socket, "_LEAVING_SECONDS", 0.2)
    async with (
        one_model(fake_tgi, server={"max_frame_bytes": 2000}) as running,
        reader(running) as rude,
    ):
        await ask(rude)
        await until(lambda: not running.live, "the answer is written")
        await rude.socket.send_str("x" * 3000)
        await until(lambda: running.sockets == 0, "the socket is closed")
        await until(lambda: running.connections == 0, "its connection is cut")


async def test_the_server_stops_although_somebody_does_not_read(fake_tgi: StartFake) -> None:
    async with one_model(fake_tgi) as running, reader(running) as stopped:
        await ask(stopped)
        await until(lambda: not running.live, "the answer is written")
        async with asyncio.timeout(15):
            await running.runner.cleanup()


async def test_a_half_open_connection_is_found_and_its_session_goes_on(
    fake_tgi: StartFake,
) -> None:
    fake = await fake_tgi(text="one two three", hold_after=1)
    async with (
        gateway({"m": fake.url}, server={"heartbeat": 1.0}) as running,
        silent(running) as writer,
    ):
        frame = b'{"id":1,"type":"generate","targets":[{"model":"m"}],"prompt":"go"}'
        # Masked with zeros, as a client's frames must be masked with something.
        writer.write(bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame)
        await fake.state.reaches(tokens=1)
        await until(lambda: running.sockets == 0, "the dead socket is dropped")
        assert running.live == 1
        assert running.sessions == 1
        await until(lambda: running.connections == 0, "its connection is closed")


async def test_a_reader_that_answers_pings_is_kept_however_long_nothing_happens(
    fake_tgi: StartFake,
) -> None:
    async with (
        one_model(fake_tgi, server={"heartbeat": 2.0}) as running,
        aiohttp.ClientSession() as http,
        http.ws_connect(running.url) as quiet,
    ):

        async def listen() -> None:
            async for _ in quiet:
                pass

        listening = asyncio.create_task(listen())
        async with silent(running):
            await until(lambda: running.sockets == 1, "the dead one is dropped")
        listening.cancel()
        await asyncio.wait([listening])
