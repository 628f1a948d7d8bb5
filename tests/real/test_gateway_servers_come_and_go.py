"""Servers that go away, come back and change under a gateway, and what becomes of their models."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import KeepLog
from tests.fakes.openai import serve
from tests.fakes.openai_options import like
from tests.real.over_servers import LONG, SHORT, over, remote, upstream
from tests.support.dialogue import QUESTION
from tests.support.ports import free_ports
from tests.support.real_servers import available, has, llama_cpp, ollama, start

CHAT: dict[str, Any] = {"messages": QUESTION}


@pytest.fixture(autouse=True)
def _log(tmp_path: Path, keep_log: KeepLog) -> None:
    keep_log("the gateway", tmp_path / "server.log")


@contextmanager
def silent_address() -> Iterator[str]:
    """Give an address where nobody takes connections, nor refuses them."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        try:
            # The queue of the kernel's is full then, and what comes after is dropped.
            for _ in range(4):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
                waiting.append(one)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for one in waiting:
                one.close()


@pytest.mark.parametrize("name", available())
async def test_a_killed_server_ends_its_answer_with_its_words_and_cause(
    name: str, tmp_path: Path
) -> None:
    async with start(name) as server:
        settings = upstream(server, "models = *")
        async with over(settings, tmp_path) as o:
            model_id = (await o.sees_any("u/"))["id"]
            (generation,) = await o.client.ask(model_id, parameters=LONG)
            await o.client.delta(generation, 3)
            began = time.monotonic()
            for pid in [*server.processes(), server.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            end = await o.client.end(generation)
            assert end["finish_reason"] == "failed"
            assert end["error"]["message"]
            assert o.client.text(generation)
            # Nobody can tell the cause there: it is not waited for.
            assert time.monotonic() - began < 10
            model = await o.state(model_id, "failed")
            assert model["error"]["message"]
            assert model["server"]["seen"] > 1_700_000_000


async def test_models_of_a_server_that_is_away_stay_also_after_a_restart_and_come_back(
    tmp_path: Path,
) -> None:
    (port, _) = free_ports(1)
    settings = upstream(f"http://127.0.0.1:{port}", "models = *")
    fake = like("llama.cpp", models=("one", "two"))
    async with serve(fake, port=port), over(settings, tmp_path, instance="away") as o:
        first = await o.state("u/one", "ready")
        _, end = await o.answer("u/one", CHAT)
        assert end["finish_reason"] == "length", end
    for _ in range(2):
        async with over(settings, tmp_path, instance="away") as o:
            for model_id in ("u/one", "u/two"):
                model = await o.state(model_id, "failed")
                assert "no model server answers" in model["error"]["message"]
                assert model["error"]["hint"]
                assert model["server"]["seen"] >= first["server"]["seen"]
                assert time.time() - model["server"]["seen"] < 600
            _, end = await o.answer("u/one", CHAT)
            assert end["error"]["code"] == "model_failed"
    async with over(settings, tmp_path, instance="away") as o:
        await o.state("u/two", "failed")
        async with serve(like("llama.cpp", models=("one", "three")), port=port):
            await o.state("u/three", "ready")
            # Only a list that was read takes a model away.
            assert sorted(await o.models()) == ["u/one", "u/three"]
            _, end = await o.answer("u/three", CHAT)
            assert end["finish_reason"] == "length"


async def test_an_address_that_drops_packets_keeps_its_models_and_holds_nobody_up(
    tmp_path: Path,
) -> None:
    (port, _) = free_ports(1)
    with silent_address() as silent:
        async with serve(like("vllm", models=("good",)), port=port):
            settings = upstream(silent, "models = named", name="silent")
            settings += upstream(f"http://127.0.0.1:{port}", name="good")
            async with over(settings, tmp_path) as o:
                await o.state("good/good", "ready")
                (generation,) = await o.client.ask("silent/named")
                _, end = await o.answer("good/good", CHAT)
                assert end["finish_reason"] == "length"
                model = await o.state("silent/named", "failed")
                assert model["error"]["message"]
                end = await o.client.end(generation)
                assert (end["finish_reason"], end["error"]["code"]) == ("failed", "model_failed")


async def test_models_that_do_not_generate_text_are_left_out_and_counted(tmp_path: Path) -> None:
    names = ("chat", "bge-m3", "text-embedding-3-small", "whisper-1", "my-reranker")
    fake = like("vllm", models=names)
    async with serve(fake) as server, over(upstream(server.url), tmp_path) as o:
        model = await o.sees("u/chat", lambda model: "left_out" in model["server"])
        assert model["server"]["left_out"] == 4
        assert list(await o.models()) == ["u/chat"]


async def test_a_server_with_other_models_only_says_so(tmp_path: Path) -> None:
    fake = like("vllm", models=("bge-m3",))
    async with serve(fake) as server, over(upstream(server.url), tmp_path) as o:
        model = await o.state("[upstream u]", "failed")
        assert "1 that do not are left out" in model["error"]["message"]


async def test_another_address_is_gone_by_as_soon_as_the_settings_are_read_again(
    tmp_path: Path,
) -> None:
    async with (
        serve(like("vllm", models=("old",))) as one,
        serve(like("vllm", models=("new",))) as other,
        over(upstream(one.url), tmp_path) as o,
    ):
        await o.state("u/old", "ready")
        text = o.settings.read_text()
        o.settings.write_text(text.replace(one.url, other.url))
        os.kill(o.gateway.pid, signal.SIGHUP)
        await o.state("u/new", "ready")
        assert "u/old" not in await o.models()
        o.settings.write_text(text.replace(upstream(one.url), ""))
        os.kill(o.gateway.pid, signal.SIGHUP)
        await o.sees_none("u/new")
        o.settings.write_text(text)
        os.kill(o.gateway.pid, signal.SIGHUP)
        await o.state("u/old", "ready")
        _, end = await o.answer("u/old", CHAT)
        assert end["finish_reason"] == "length"


class TestOllama:
    __test__ = has("ollama")

    async def test_a_model_that_is_made_appears_and_one_that_is_deleted_goes(
        self, tmp_path: Path
    ) -> None:
        async with ollama(has_own_store=True) as server, over(upstream(server), tmp_path) as o:
            await o.sees("u/smollm2:latest")
            url = f"{server.url}/api/copy"
            body = {"source": "smollm2", "destination": "org/made:v1"}
            async with o.http.post(url, json=body) as response:
                assert response.status == 200
            await o.sees("u/org/made:v1")
            _, end = await o.answer("u/org/made:v1", CHAT, parameters=SHORT)
            assert end["finish_reason"] == "length"
            body = {"model": "org/made:v1"}
            async with o.http.delete(f"{server.url}/api/delete", json=body) as response:
                assert response.status == 200
            await o.sees_none("u/org/made:v1")
            refused = await o.client.try_to(
                type="generate", targets=[{"model": "u/org/made:v1"}], **CHAT
            )
            assert refused["error"]["code"] == "unknown_model"


async def test_a_server_that_dies_and_comes_back_is_used_again(tmp_path: Path) -> None:
    async with llama_cpp() as server:
        settings = remote(server)
        async with over(settings, tmp_path) as o:
            await o.state("m", "ready")
            server.kill()
            await o.state("m", "failed")
            async with serve(like("vllm", models=("other",)), port=server.port):
                model = await o.state("m", "ready")
                # Another server at the same address is seen for what it is.
                assert model["engine"] == "vLLM"
                _, end = await o.answer("m", CHAT)
                assert end["finish_reason"] == "length"
