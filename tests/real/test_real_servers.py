"""Servers of the tests' own start, answer, and leave nothing behind, however the tests end."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from server.engine.arguments import default_weights_dir
from tests.real.asking import events_of, post
from tests.support.processes import Watched
from tests.support.real_servers import ROOT, available, llama_cpp, small_model, start
from tests.support.recording_proxy import recording_proxy

OWNER = """\
import os, sys
from tests.support.supervisor import descendants
from tests.support.real_servers import start
server = start(sys.argv[1]).__enter__()
print(server.home, *descendants(os.getpid()), flush=True)
sys.stdin.read()
"""
SERVERS = available()


@pytest.fixture(scope="module", autouse=True)
def weights() -> Path:
    assert small_model().is_relative_to(default_weights_dir())
    return small_model()


@pytest.mark.parametrize("name", SERVERS)
async def test_servers_answer_and_exit_when_their_context_manager_ends(name: str) -> None:
    async with start(name) as server, recording_proxy(server.url) as proxy:
        below = [Watched(pid) for pid in server.processes()]
        assert server.pid in {watched.pid for watched in below}
        home = server.home
        body = {
            "model": server.model,
            "messages": [{"role": "user", "content": "Count to three."}],
            "max_tokens": 4,
            "stream": True,
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(proxy.url + "/v1/chat/completions", json=body) as response,
        ):
            text = await response.read()
        exchange = proxy.exchange(containing=b"Count to three")
        assert (exchange.response.status, exchange.response.is_whole) == (200, True)
        assert exchange.response.body == text
        assert events_of(text)[-1]["model"]
    for watched in below:
        await watched.gone()
    assert not home.exists()
    assert server.log(), "its log is still there to be shown"


@pytest.mark.parametrize("name", SERVERS)
async def test_servers_exit_when_the_test_process_is_killed(name: str) -> None:
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, name),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert owner.stdout is not None
    line = ""
    while not line.startswith("/"):  # The fetching of weights says something, too.
        line = (await owner.stdout.readline()).decode()
    home, *pids = line.split()
    below = [Watched(int(pid)) for pid in pids]
    assert len(below) >= 2
    owner.kill()
    await owner.wait()
    for watched in below:
        await watched.gone()
    assert not Path(home).exists()


async def test_a_server_that_is_stopped_or_killed_tells_its_exit_code() -> None:
    async with llama_cpp() as server:
        assert await server.stop() == 0
    async with llama_cpp() as server:
        server.kill()
        assert await server.ended() == -signal.SIGKILL


async def test_a_server_that_does_not_start_is_told_with_its_log() -> None:
    with pytest.raises(AssertionError, match="invalid int value"):
        async with llama_cpp(slots="many"):  # type: ignore[arg-type]
            pass


async def test_a_proxy_that_is_cut_breaks_what_it_carries() -> None:
    async with llama_cpp() as server, recording_proxy(server.url) as proxy:
        status, _ = await post(proxy.url + "/tokenize", {"content": "one two"})
        assert status == 200
        body = {"prompt": "Hi", "stream": True, "max_tokens": 500, "ignore_eos": True}
        asking = asyncio.create_task(post(proxy.url + "/v1/completions", body))
        await proxy.until(lambda p: b"text_completion" in p.connections[-1].received)
        proxy.cut()
        with pytest.raises(aiohttp.ClientError):
            await asking
        exchange = proxy.exchanges()[-1]
        assert not exchange.response.is_whole
        assert json.loads(exchange.request.body) == body
