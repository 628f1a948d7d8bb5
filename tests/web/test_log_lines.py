"""The log: a line for each request and each answer, to be found by what went over the wire."""

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.core.trace import Trace, enter, read_trace
from server.logs import configure
from tests.support.gateway import ROOT
from tests.web.conftest import StartWithFake
from tests.web.speaking import ready, speaking

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRET = "sk-tell-nobody"
PROMPT = "the-swordfish-password"


class Log(io.StringIO):
    """What was logged."""

    def records(self, logger: str) -> list[dict[str, Any]]:
        """Return the records of one logger, as a program reads them."""
        lines = [json.loads(line) for line in self.getvalue().splitlines()]
        return [line for line in lines if line["logger"] == logger]


@pytest.fixture
def log() -> Iterator[Log]:
    """Log everything, as JSON."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    output = Log()
    configure("debug", "json", output=output)
    yield output
    root.handlers, root.level = handlers, level


async def test_a_request_and_its_answer_have_one_line_each_and_share_an_id(
    log: Log, before_fake: StartWithFake
) -> None:
    gateway, _ = await before_fake()
    body = {"model": "m", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 5}
    headers = {"X-Request-Id": "order-66", "Content-Type": "application/json"}
    reply = await gateway.post(
        "/v1/chat/completions?ticket=t", data=json.dumps(body), headers=headers
    )
    assert reply.headers["X-Request-Id"] == "order-66"

    (request,) = log.records("server.web.metrics.request_log")
    assert request["message"] == "POST /v1/chat/completions 200"
    assert request["request_id"] == "order-66"
    assert (request["route"], request["status"]) == ("/v1/chat/completions", 200)
    assert request["duration_ms"] > 0

    (answer,) = log.records("server.chat.generation_service")
    assert answer["request_id"] == "order-66"
    assert answer["generation"] == reply.json["id"]
    assert (answer["model"], answer["outcome"]) == ("m", "length")
    assert answer["completion_tokens"] == 5
    assert answer["total_ms"] >= answer["first_token_ms"] >= answer["queued_ms"] >= 0


async def test_an_answer_over_a_socket_is_found_by_session_and_generation(
    log: Log, before_fake: StartWithFake
) -> None:
    gateway, _ = await before_fake()
    async with speaking(gateway) as client:
        session = (await client.say(type="hello"))["session"]
        await ready(client, "m")
        (generation,) = await client.ask("m", prompt=PROMPT)
        await client.end(generation)
    (answer,) = log.records("server.chat.generation_service")
    assert answer["generation"] == generation
    assert session.startswith(answer["session"])
    # Who has a session's whole id may read its answers.
    assert session not in log.getvalue()


async def test_neither_prompts_nor_keys_nor_answers_are_logged(
    log: Log, before_fake: StartWithFake
) -> None:
    said = "an-answer-for-your-eyes-only"
    gateway, _ = await before_fake(api_key=SECRET, model={"api_key": SECRET}, text=said)
    for body in (
        {"model": "m", "inputs": PROMPT},
        {"model": "m", "inputs": PROMPT * 1000},
        {"model": "m", "inputs": PROMPT, "parameters": {"temperature": PROMPT}},
        {"model": "m", "inputs": {"text": PROMPT}},
    ):
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
        await gateway.post(f"/generate?key={SECRET}", data=json.dumps(body), headers=headers)
    async with speaking(gateway) as client:
        await client.end((await client.ask("m", prompt=PROMPT))[0])
        await client.try_to(type="generate", targets=[{"model": "m"}], prompt=[PROMPT])
    text = log.getvalue()
    assert log.records("server.chat.generation_service")
    for private in (SECRET, PROMPT, said):
        assert private not in text


@pytest.mark.parametrize(
    "raw",
    [
        b'POST /generate HTTP/1.1\r\nHost: localhost\r\n\r\n{"inputs": "%s"}\r\n\r\n',
        b"GET /ws?ticket=%s HTTP/1.1 x\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\0\r\n\r\n",
        b"GET http://[%s/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: bearer, %s\r\n\r\n\x88\x80\0\0\0\0",
    ],
    ids=["a body without its length", "an address", "a header", "a name", "a subprotocol"],
)
async def test_secrets_of_malformed_requests_are_not_logged(
    log: Log, before_fake: StartWithFake, raw: bytes
) -> None:
    gateway, _ = await before_fake()
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw % SECRET.encode())
    writer.write_eof()
    await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    assert log.getvalue()
    assert SECRET not in log.getvalue()


async def test_a_body_that_is_not_compressed_as_it_says_is_no_fault_of_ours(
    log: Log, before_fake: StartWithFake
) -> None:
    gateway, _ = await before_fake()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for path in ("/generate", "/conversations/import", "/nowhere"):
        reply = await gateway.post(path, data=b"{}", headers=headers)
        assert reply.status in (400, 404)
    assert "Traceback" not in log.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
async def test_clients_cannot_forge_lines_of_the_log(
    before_fake: StartWithFake, log: Log, form: str
) -> None:
    gateway, _ = await before_fake()
    configure("debug", form, output=log)
    evil = "a%0A2026-01-01%20CRITICAL%20server:%20forged"
    await gateway.get(f"/models/{evil}", headers={"X-Request-Id": "a b"})
    await gateway.post("/generate", {"model": "x\nCRITICAL forged", "inputs": "x"})
    logging.getLogger("server.test").info("said: %s", "x\r\nCRITICAL\x1b[2J forged")
    logging.getLogger("server.test").info("said: %s", "x\u2028CRITICAL\x85\u202e forged")
    lines = log.getvalue().splitlines()
    assert sum("forged" in line for line in lines) >= 2
    assert not [line for line in lines if re.match(r"\S* ?CRITICAL", line)]
    assert not re.search("[\x1b\u202e]", log.getvalue())


async def test_a_trace_goes_on_to_the_model_server(before_fake: StartWithFake, log: Log) -> None:
    gateway, fake = await before_fake()
    headers = {"traceparent": TRACEPARENT, "Content-Type": "application/json"}
    for path in ("/generate", "/generate_stream"):
        body = json.dumps({"model": "m", "inputs": "x", "parameters": {"max_new_tokens": 2}})
        await gateway.post(path, data=body, headers=headers)
    await gateway.post("/generate", {"model": "m", "inputs": "x"})
    assert fake.state.traceparents == [TRACEPARENT, TRACEPARENT, None]
    first, second, third = log.records("server.chat.generation_service")
    assert first["trace_id"] == second["trace_id"] == TRACEPARENT.split("-")[1]
    assert "trace_id" not in third


async def test_a_socket_is_traced_by_the_request_that_opened_it(
    before_fake: StartWithFake, log: Log
) -> None:
    gateway, fake = await before_fake()
    headers = {"traceparent": TRACEPARENT, "X-Request-Id": "the-socket"}
    async with gateway.http.ws_connect(f"{gateway.url}/ws", headers=headers) as socket:
        command = {"id": 1, "type": "generate", "targets": [{"model": "m"}], "prompt": PROMPT}
        await socket.send_json(command)
        while not any(event["type"] == "end" for event in await socket.receive_json()):
            pass
    assert fake.state.traceparents == [TRACEPARENT]
    (answer,) = log.records("server.chat.generation_service")
    assert answer["request_id"] == "the-socket"
    assert answer["trace_id"] == TRACEPARENT.split("-")[1]


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        ("a", True),
        ("0af7651916cd43dd-8448eb211c80319c", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("a b", False),
        ("a\tb", False),
        ('a"b', False),
        ("é", False),
        (None, False),
    ],
)
def test_a_sane_request_id_is_taken_and_another_is_replaced(
    given: str | None, is_taken: bool
) -> None:
    made = read_trace(given, None).request_id
    assert (made == given) is is_taken
    assert re.fullmatch(r"[\x21-\x7e]{1,128}", made)


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        (TRACEPARENT, True),
        (TRACEPARENT.replace("00-4", "cc-4") + "-what-the-future-brings", True),
        (TRACEPARENT.upper(), False),
        (TRACEPARENT.replace("00-4", "ff-4"), False),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01", False),
        (TRACEPARENT + "\r\nX-Evil: 1", False),
        ("", False),
    ],
)
def test_a_sound_traceparent_is_taken_and_another_is_dropped(given: str, is_taken: bool) -> None:
    assert read_trace(None, given).traceparent == (given if is_taken else "")


def test_ids_do_not_reach_those_who_began_nothing() -> None:
    enter(Trace())
    assert read_trace(None, None).request_id != read_trace(None, None).request_id


@pytest.mark.parametrize(("level", "is_told"), [("info", True), ("warning", False)])
def test_records_below_the_level_are_not_logged(level: str, is_told: bool, log: Log) -> None:
    configure(level, "json", output=log)
    logging.getLogger("server.test").info("something")
    assert bool(log.records("server.test")) is is_told


@pytest.mark.parametrize(
    ("form", "on_terminal", "is_json"),
    [
        *(("auto", True, False), ("auto", False, True)),
        *(("text", False, False), ("json", True, True)),
    ],
)
def test_people_get_text_and_programs_json(
    form: str, on_terminal: bool, is_json: bool, tmp_path: Path
) -> None:
    told = tmp_path / "log"
    code = f"""
import logging, os, pty, sys
if {on_terminal}:
    reader, writer = pty.openpty()
    os.dup2(writer, 2)
from server.logs import configure
configure("info", {form!r})
try:
    raise ValueError("why")
except ValueError:
    logging.getLogger("server.x").exception("it %s", "broke", extra={{"fields": {{"n": 1}}}})
if {on_terminal}:
    sys.stdout.write(os.read(reader, 10000).decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    told.write_text(done.stdout + done.stderr)
    if is_json:
        record = json.loads(told.read_text())
        assert (record["message"], record["n"], record["level"]) == ("it broke", 1, "error")
        assert "ValueError: why" in record["exception"]
    else:
        assert "ERROR server.x: it broke n=1" in told.read_text()
        assert "ValueError: why" in told.read_text()
