"""A server of somebody else's that breaks is seen at once, by whoever it fails.

The watch looks once an hour here, and a cause that nobody can give is waited for as long: only what
an answer's failure leads to can be what ends a test.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from server.core.protocol import End
from server.models.lifecycle import watching
from tests.chat.conftest import ChatBackend, OpenBackend, ask
from tests.conftest import KeepLog
from tests.support.ports import free_ports
from tests.support.real_servers import ROOT, RealServer, available, start

HOUR = 3600.0
KINDS = ["fake TGI", *available("llama.cpp", "llama-server", "tgi")]
GONE = ("no model server answers at", "does not answer its health check any more")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_CAUSE_SECONDS", HOUR)


def fake_tgi(port: int = 0, *flags: str) -> RealServer:
    """Start the fake of TGI as a program, on a port that may be given."""

    def command(server: RealServer) -> Sequence[str | Path]:
        words = [sys.executable, "-m", "tests.fakes.tgi", "--port", str(port or server.port)]
        return [*words, *flags]

    server = RealServer("fake TGI", command, environment={"PYTHONPATH": str(ROOT)})
    if port:
        server.port, server.url = port, f"http://127.0.0.1:{port}"
    return server


async def opened(chat_backend: OpenBackend, url: str, **settings: Any) -> ChatBackend:
    """Open an chat_backend with one remote model that is looked at once an hour."""
    model = {"runner": "remote", "url": url, **settings}
    o: ChatBackend = await chat_backend(models={"a": model}, health_interval=HOUR, start=HOUR)
    await o.stage.state("ready")
    return o


def said(end: End) -> str:
    """Return why an answer failed."""
    assert end.finish_reason == "failed"
    assert end.error is not None
    return end.error.message


@pytest.mark.parametrize("kind", KINDS)
async def test_killed_in_mid_answer_it_is_told_at_once(
    kind: str, chat_backend: OpenBackend, keep_log: KeepLog
) -> None:
    server = fake_tgi(0, "--hold-after", "3") if kind == "fake TGI" else start(kind)
    keep_log(kind, server.log)
    async with server:
        o = await opened(chat_backend, server.url)
        session, reader = o.session()
        prompt = "[[forever]] Count: 1, 2, 3,"
        session.generate(ask("a", "a", parameters={"max_new_tokens": 1000}, prompt=prompt))
        await reader.sees(lambda: reader.seq("g1") >= 2 and reader.seq("g2") >= 2)
        if kind == "tgi":
            server.kill_process("text-generation-router")
        else:
            server.kill()
        for one in ("g1", "g2"):
            end = await reader.end(one)
            assert GONE[1] in said(end)
            assert (end.error and end.error.code, end.seq > 0) == ("model_failed", True)
        error = (await o.stage.state("failed")).error
        assert error is not None
        await server.wait_until_refused()
        session.generate(ask("a"))
        assert GONE[0] in said(await reader.end("g3"))


async def test_a_lost_server_is_found_again_by_the_next_prompt(chat_backend: OpenBackend) -> None:
    port = free_ports(1)[0]
    async with fake_tgi(port, "--hold-after", "3") as server:
        o = await opened(chat_backend, server.url)
        session, reader = o.session()
        session.generate(ask("a"))
        await reader.sees(lambda: reader.seq("g1"))
        server.kill()
        assert GONE[1] in said(await reader.end("g1"))
    async with fake_tgi(port):
        session.generate(ask("a"))
        assert (await reader.end("g2")).finish_reason == "length"
        await o.stage.state("ready")


async def test_killed_between_answers_the_next_prompt_finds_it_gone(
    chat_backend: OpenBackend,
) -> None:
    async with fake_tgi() as server:
        o = await opened(chat_backend, server.url)
        server.kill()
        await server.wait_until_refused()
        session, reader = o.session()
        session.generate(ask("a"))
        assert GONE[1] in said(await reader.end("g1"))
        await o.stage.state("failed")


async def test_a_connection_that_breaks_says_nothing_of_a_server_that_is_well(
    chat_backend: OpenBackend,
) -> None:
    async with fake_tgi(0, "--cut-after", "2") as server:
        o = await opened(chat_backend, server.url)
        session, reader = o.session()
        session.generate(ask("a"))
        end = await reader.end("g1")
        assert "broke" in said(end)
        assert o.stage.fleet.snapshot("a").state == "ready"
