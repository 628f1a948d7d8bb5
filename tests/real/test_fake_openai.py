"""The fake of OpenAI's form against OpenAI's own client, and against raw sockets."""

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from tests.access.test_encryption import make
from tests.fakes.openai import Fake, recorded, serve
from tests.fakes.openai_answers import tokens_of
from tests.fakes.openai_options import HABITS, MODELS_FORMS, TEXT, FakeOptions, like
from tests.fakes.openai_state import OpenAIState
from tests.support.ports import free_ports
from tests.support.real_servers import ROOT

CHAT: list[Any] = [{"role": "user", "content": "What is a lamp?"}]


@asynccontextmanager
async def client_of(fake: Fake) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="k", base_url=fake.api, max_retries=0) as client:
        yield client


async def raw(fake: Fake, body: dict[str, Any], path: str = "/chat/completions") -> bytes:
    """Return a generation's body, or what came of it before it broke."""
    got = b""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(fake.api + path, json={"stream": True, **body}) as response:
                async for data in response.content.iter_any():
                    got += data
        except aiohttp.ClientError:
            got += b"(broken)"
    return got


@pytest.mark.parametrize("flavour", HABITS)
async def test_openai_s_client_reads_every_flavour(flavour: str) -> None:
    async with serve(like(flavour)) as fake, client_of(fake) as client:
        assert [model.id async for model in client.models.list()] == ["fake-model"]
        stream = await client.chat.completions.create(
            model="fake-model", messages=CHAT, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        choices = [choice for chunk in chunks for choice in chunk.choices]
        assert "".join(choice.delta.content or "" for choice in choices) == TEXT
        reasons = [getattr(choice, "finish_reason", None) for choice in choices]
        assert [reason for reason in reasons if reason] == ["stop"]
        usages = [usage for chunk in chunks if (usage := getattr(chunk, "usage", None))]
        assert usages[-1].completion_tokens == len(tokens_of(TEXT))
        whole = await client.completions.create(model="fake-model", prompt="Hi", max_tokens=3)
        assert whole.choices[0].text == "".join(tokens_of(TEXT)[:3])
        assert whole.choices[0].finish_reason == "length"
        assert fake.state.generations == fake.state.counts["served"] == 2


async def test_fake_misbehaves_as_its_options_say() -> None:
    async with serve(FakeOptions(cut_after=2)) as fake:
        got = await raw(fake, {})
        assert got.count(b'"content"') == 3  # the role's is empty
        assert got.endswith(b"(broken)")
        assert fake.state.counts["broken"] == 1
    async with serve(FakeOptions(cut_after=-1)) as fake:
        assert await raw(fake, {}) == b"(broken)"
    async with serve(FakeOptions(error_after=1, error_in="bare")) as fake:
        assert json.loads((await raw(fake, {})).split(b"\n\n")[-1])["error"]["code"] == 500
    async with serve(FakeOptions(end_early_after=0)) as fake:
        assert b"DONE" not in await raw(fake, {})
    async with serve(FakeOptions(two_bytes=True, crlf=True, no_space=True)) as fake:
        assert (await raw(fake, {})).endswith(b"\r\n\r\ndata:[DONE]\r\n\r\n")


async def test_held_and_silent_streams_are_waited_for_without_sleep() -> None:
    async with serve(FakeOptions(hold_after=1)) as fake:
        reading = asyncio.create_task(raw(fake, {}))
        await fake.state.reaches(held=1, tokens=1)
        fake.state.release()
        assert b"[DONE]" in await reading
    async with serve(FakeOptions(silent_after=-1)) as fake:
        reading = asyncio.create_task(raw(fake, {}))
        await fake.state.reaches(held=1)
        reading.cancel()
        await fake.state.reaches(cancelled=1)


async def test_refusals_come_as_often_as_told() -> None:
    async with (
        serve(FakeOptions(limited=1, retry_after="7")) as fake,
        aiohttp.ClientSession() as session,
    ):
        url = fake.api + "/chat/completions"
        async with session.post(url, json={"messages": CHAT}) as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (429, "7")
        async with session.post(url, json={"messages": CHAT}) as response:
            assert response.status == 200
        assert fake.state.routes == {"POST /v1/chat/completions": 2}
    async with serve(FakeOptions(api_key="secret")) as fake, client_of(fake) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
        assert fake.state.generations == 0


async def test_a_kept_connection_may_be_dropped_when_it_is_used_again() -> None:
    async with serve(FakeOptions(drop_reused=True)) as fake, aiohttp.ClientSession() as session:
        async with session.get(fake.api + "/models") as response:
            await response.read()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.post(fake.api + "/completions", json={"prompt": "Hi"})
        assert fake.state.counts["connections"] == 1
        assert fake.state.generations == 0


@pytest.mark.needs_openssl
async def test_handshakes_are_counted_where_they_come_about(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "own")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with serve(tls=tls) as fake, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(fake.api + "/models")
        assert fake.state.counts["connections"] == 1
        assert fake.state.counts["handshakes"] == 0
        async with session.get(fake.api + "/models", ssl=trusting) as response:
            assert response.status == 200
        assert fake.state.counts["connections"] == 2
        assert fake.state.counts["handshakes"] == 1


async def test_the_program_is_the_same_fake() -> None:
    port, _ = free_ports(1)
    words = ["--port", str(port), "--flavour", "transformers", "--text", "One two", "--limited=1"]
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.openai", *words),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        assert await program.stdout.readline() == f"listening on http://127.0.0.1:{port}\n".encode()
        fake = Fake(f"http://127.0.0.1:{port}", FakeOptions(), OpenAIState())
        assert b'{"detail":"Rate limit reached"}' in await raw(fake, {})
        got = await raw(fake, {})
        assert b"DONE" not in got
        assert b'"content":" two"' in got
    finally:
        program.terminate()
        assert await program.wait() == 0


@pytest.mark.parametrize("form", MODELS_FORMS)
async def test_lists_come_in_every_form(form: str) -> None:
    options = FakeOptions(models_form=form, model_count=2000)
    async with serve(options) as fake, aiohttp.ClientSession() as session:
        async with session.get(fake.api + "/models") as response:
            body = await response.text()
        assert response.status == (404 if form == "404" else 200)
        if form == "list":
            assert len(json.loads(body)["data"]) == 2000
        assert fake.state.counts["connections"] == fake.state.counts["handshakes"] == 1


async def test_a_recorded_exchange_is_answered_byte_for_byte() -> None:
    exchange: dict[str, Any] = {
        "request": {"method": "POST", "path": "/v1/chat/completions"},
        "status_line": "HTTP/1.1 200 OK",
        "headers": [["Content-Type", "text/event-stream"], ["Transfer-Encoding", "chunked"]],
        "reads": [{"text": "8\r\ndata: 1\n\r\n"}, {"b64": "MQ0KCg0KMA0KDQo="}],
    }
    async with serve(recorded(exchange)) as fake:
        assert await raw(fake, {}) == b"data: 1\n\n"
    cut = {**exchange, "reads": exchange["reads"][:1]}
    async with serve(recorded(cut)) as fake:
        assert await raw(fake, {}) == b"data: 1\n(broken)"
