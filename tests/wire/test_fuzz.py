"""Commands and frames that nobody thought of: no traceback, nothing left behind, no end.

One gateway takes all of it, in front of a model that answers, one that breaks off, and one that is
not there. After each dialogue every socket, session, answer and task of it must be gone, and
somebody else must get an answer.
"""

import asyncio
import json
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tests.support.properties  # noqa: F401
from server.web.keys import SESSIONS
from tests.fakes.tgi import serve
from tests.fakes.tgi_options import FakeOptions
from tests.support.ports import free_ports
from tests.wire.gateway import Running, gateway, speaking, until

# Dialogues for each test; SIDESTREAM_FUZZING=1000 looks harder, and elsewhere each time.
EXAMPLES = int(os.environ.get("SIDESTREAM_FUZZING", "100"))
MAX_FRAME_BYTES = 8192

fuzzing = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

# --- what is said -------------------------------------------------------------------------------

names = st.text(max_size=8)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
models = st.sampled_from(["good", "broken", "absent", "nobody", ""])
generations = st.sampled_from([f"g{number}" for number in range(6)]) | st.text(max_size=5)
parameters = st.dictionaries(
    st.sampled_from(
        ["max_new_tokens", "temperature", "top_p", "top_k", "stop", "seed", "best_of", "watermark"]
    )
    | st.text(max_size=8),
    st.integers(-1, 50) | st.floats(-1, 3) | anything,
    max_size=3,
)
targets = st.lists(
    st.fixed_dictionaries({"model": models}, optional={"parameters": parameters}), max_size=4
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant", "boss"]), "content": st.text()}
    ),
    max_size=3,
)
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "hello": {
        "session": st.text(max_size=30),
        "cursors": st.dictionaries(generations, st.integers()),
    },
    "generate": {
        "targets": targets,
        "messages": messages,
        "prompt": st.text(max_size=50),
        "parameters": parameters,
        "details": st.booleans(),
        "request_id": st.sampled_from(["once", "twice", ""]),
    },
    "cancel": {"generations": st.lists(generations, max_size=4)},
    "start": {"model": models},
    "stop": {"model": models},
    "restart": {"model": models},
    "logs": {"model": models, "tail": st.integers(-1, 20_000), "follow": st.booleans()},
    "unsubscribe": {"subscription": st.sampled_from(["l1", "l2", ""])},
    "follow_runs": {"runs": st.lists(st.sampled_from(["r_0", "r_no", ""]), max_size=3)},
    "ping": {},
    "applaud": {},
}


@st.composite
def commands(draw: st.DrawFn) -> str:
    """Draw a command of which anything may be missing, wrong or too much."""
    kind = draw(st.sampled_from(list(FIELDS)))
    command: dict[str, Any] = {"id": draw(st.integers(1, 20)), "type": kind}
    for name, values in FIELDS[kind].items():
        if draw(st.integers(0, 9)):
            command[name] = draw(values)
    if draw(st.integers(0, 4)) == 0:
        command[draw(st.sampled_from([*command, "colour"]))] = draw(anything)
    return json.dumps(command)


frames = st.one_of(
    commands(),
    anything.map(json.dumps),
    st.text(max_size=40),
    st.binary(max_size=20),
    st.integers(1, MAX_FRAME_BYTES + 2).map(lambda size: "x" * size),
    st.integers(1, 2000).map(lambda depth: '{"type":' * depth),
)
dialogues = st.lists(st.lists(commands() | frames, max_size=8), min_size=1, max_size=3)


@st.composite
def wire_frames(draw: st.DrawFn) -> bytes:
    """Draw a WebSocket frame as bytes, its head right or wrong."""
    payload = draw(st.binary(max_size=140) | st.just(b'{"id":1,"type":"ping"}'))
    first = draw(st.integers(0, 255) | st.sampled_from([0x81, 0x01, 0x80, 0x88, 0x89, 0x8A]))
    length = draw(st.sampled_from([len(payload), len(payload) + 1, 0, 125, 126, 127]))
    is_masked = draw(st.integers(0, 4)) > 0
    head = bytes([first, (length & 0x7F) | (0x80 if is_masked else 0)])
    if length & 0x7F == 126:
        head += struct.pack("!H", draw(st.integers(0, 65535)))
    elif length & 0x7F == 127:
        head += struct.pack("!Q", draw(st.integers(0, 2**64 - 1)))
    return head + (bytes(4) if is_masked else b"") + payload


# --- whom it is said to -------------------------------------------------------------------------


@dataclass
class Victim:
    """A gateway, the loop it runs in, and what it complained of."""

    runner: asyncio.Runner
    running: Running
    records: list[logging.LogRecord]
    tasks: int = 0

    async def recover(self) -> None:
        """Make sure that the dialogue left nothing, and that somebody else is answered."""
        running = self.running
        await until(lambda: running.sockets == 0, "every socket is gone")
        await running.app[SESSIONS].expire()
        assert running.sessions == 0
        await until(lambda: running.live == 0, "every answer has ended")
        await until(lambda: running.connections == 0, "every connection is gone")
        async with speaking(running.url) as somebody:
            await somebody.ask("generate", targets=[{"model": "good"}], prompt="go")
            end = await somebody.hear_until(lambda event: event["type"] == "end")
            assert end["finish_reason"] == "stop", end
        await until(lambda: running.sockets == 0, "this one, too")
        await running.app[SESSIONS].expire()
        await until(lambda: running.connections == 0, "its connection is gone")
        now = len(asyncio.all_tasks())
        self.tasks = self.tasks or now
        await until(lambda: len(asyncio.all_tasks()) <= self.tasks, "no task is left")
        loud = [one for one in self.records if one.levelno >= logging.ERROR or one.exc_info]
        assert not loud, [(one.getMessage(), one.exc_info) for one in loud]


class _Collector(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    file = tmp_path_factory.mktemp("runs") / "runs"
    records: list[logging.LogRecord] = []
    collector = _Collector(records)
    logging.getLogger().addHandler(collector)

    async def start(stack: AsyncExitStack) -> Running:
        good = await stack.enter_async_context(serve(FakeOptions(answer_tokens=3)))
        broken = await stack.enter_async_context(serve(FakeOptions(cut_after=2)))
        port, _ = free_ports(1)
        return await stack.enter_async_context(
            gateway(
                {"good": good.url, "broken": broken.url, "absent": f"http://127.0.0.1:{port}"},
                server={"max_frame_bytes": MAX_FRAME_BYTES, "command_rate": 1e6},
                sessions={"session_ttl": 0.0},
                runs={"enabled": True, "file": str(file)},
            )
        )

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        victim = Victim(runner, runner.run(start(stack)), records)
        runner.run(victim.recover())
        yield victim
        runner.run(stack.aclose())
    logging.getLogger().removeHandler(collector)


async def talk(running: Running, said: list[str | bytes], session: str | None) -> str | None:
    """Say these frames on one socket, hear for a while, and go; return the session."""
    async with speaking(running.url) as speaker:
        with suppress(ConnectionError):
            if session is not None:
                answer = await speaker.ask("hello", session=session)
                session = answer.get("result", {}).get("session")
            for frame in said:
                if isinstance(frame, bytes):
                    await speaker.socket.send_bytes(frame)
                else:
                    text = frame.encode("utf-8", "surrogatepass")  # not all of it is UTF-8
                    await speaker.socket._writer.send_frame(text, aiohttp.WSMsgType.TEXT)
            await speaker.ask("ping")
            session = session or (await speaker.ask("hello")).get("result", {}).get("session")
    return session


@fuzzing
@given(dialogues)
@example([['{"id":1,"type":"generate","targets":[{"model":"absent"}],"prompt":"x"}'], []])
@example([['{"id":1,"type":"\\ud800"}'], ['{"id":1,"type":"start","model":"\\udfff"}']])
@example([['{"id":1,"type":"hello","cursors":{"\\ud800":0}}', '{"id":1e400,"type":"ping"}']])
def test_whatever_is_said_nothing_breaks(victim: Victim, said: list[list[str | bytes]]) -> None:
    async def hold() -> None:
        victim.records.clear()
        session: str | None = None
        for frames_said in said:
            session = await talk(victim.running, frames_said, session)
        await victim.recover()

    victim.runner.run(hold())


@fuzzing
@given(st.lists(wire_frames(), min_size=1, max_size=6), st.booleans())
def test_whatever_bytes_come_nothing_breaks(
    victim: Victim, said: list[bytes], is_abrupt: bool
) -> None:
    async def hold() -> None:
        victim.records.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", victim.running.port)
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            for frame in said:
                writer.write(frame)
                await writer.drain()
        if is_abrupt:
            writer.transport.abort()
        else:
            writer.write_eof()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        await victim.recover()

    victim.runner.run(hold())


@fuzzing
@given(st.binary(max_size=60))
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # as one begins who expects TLS
@example(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
def test_random_bytes_on_a_socket_cause_no_traceback(victim: Victim, said: bytes) -> None:
    async def hold() -> None:
        victim.records.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", victim.running.port)
        writer.write(said)
        writer.write_eof()
        await reader.read()
        writer.close()
        await victim.recover()

    victim.runner.run(hold())


heads = st.sampled_from(
    [b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n", b"Sec-WebSocket-Version: 13\r\n",
     b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b"Sec-WebSocket-Key: short\r\n",
     b"Sec-WebSocket-Version: 99\r\n", b"Origin: null\r\n", b"Origin: http://[::1\r\n",
     b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n",
     b"Sec-WebSocket-Protocol: a, b\r\n", b"Content-Length: 5\r\n", b"Host: evil.test\r\n"]
)  # fmt: skip


@fuzzing
@given(st.lists(heads, max_size=8))
def test_whatever_handshake_comes_nothing_breaks(victim: Victim, lines: list[bytes]) -> None:
    async def hold() -> None:
        victim.records.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", victim.running.port)
        writer.write(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"".join(lines) + b"\r\n")
        try:
            async with asyncio.timeout(20):
                answer = await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.close()
        assert answer.startswith(b"HTTP/1."), answer
        assert b" 500 " not in answer.partition(b"\r\n")[0]
        await victim.recover()

    victim.runner.run(hold())
