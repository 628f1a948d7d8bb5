"""A whole gateway over each real server: asked, cancelled, resumed, loaded and unloaded."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests.conftest import KeepLog
from tests.real.asking import post
from tests.real.over_servers import LONG, SHORT, Over, over, remote, until_idle, upstream
from tests.support.dialogue import CEILING_SECONDS, QUESTION
from tests.support.real_servers import RealServer, available, llama_cpp
from tests.wire.cutter import cutting

ALL = available()
CHAT: dict[str, Any] = {"messages": QUESTION}
TEXT: dict[str, Any] = {"prompt": "The capital of France is"}
# Which of the server's models `[model]` has to name: the others have only one.
SEVERAL = ("ollama", "llama-swap")
FACTS = {
    "tgi": ("TGI", "tgi", "tgi"),
    "ollama": ("Ollama", "ollama", "ollama"),
    "llama.cpp": ("llama.cpp", "openai", "llama.cpp"),
    "llama-server": ("llama.cpp", "openai", "llama.cpp"),
    "llama-swap": ("llama-swap", "openai", "llama-swap"),
}

every_server = pytest.mark.parametrize("any_process", ALL, indirect=True)


@pytest.fixture(autouse=True)
def _log(tmp_path: Path, keep_log: KeepLog) -> None:
    keep_log("the gateway", tmp_path / "server.log")


def as_model(server: RealServer, *lines: str) -> str:
    named = (f"model_id = {server.model}",) if server.name in SEVERAL else ()
    return remote(server, *named, *lines)


async def only_id(o: Over, server: RealServer) -> str:
    """Return the id of the server's model among those that `[upstream u]` has."""
    async with asyncio.timeout(CEILING_SECONDS):
        while True:
            for model in (await o.models()).values():
                name = model["server"].get("model", "")
                if model["id"].startswith("u/") and (
                    server.name == "tgi" or name.split(":")[0] == server.model
                ):
                    return str(model["id"])
            await asyncio.sleep(0.05)


@every_server
async def test_one_model_and_many_models_give_the_servers_own_answers(
    real_server: RealServer, tmp_path: Path
) -> None:
    settings = as_model(real_server) + upstream(real_server, "models = *")
    async with over(settings, tmp_path) as o:
        await o.answers("m")
        many = await only_id(o, real_server)
        for content in (CHAT, TEXT):
            texts = {}
            for model in ("m", many):
                texts[model], end = await o.answer(model, content, details=True)
                assert end["finish_reason"] == "length", end
                assert end["usage"]["completion_tokens"] == 12
                assert end["usage"]["prompt_tokens"] > 4
            assert len(set(texts.values())) == 1, texts
        if real_server.name not in ("tgi", "ollama"):
            body = {"model": real_server.model, "temperature": 0, "max_tokens": 12, **CHAT}
            url = f"{real_server.url}/v1/chat/completions"
            # llama-swap has been seen to answer with an empty body on a busy machine.
            _, own = await post(url, body)
            own = own or (await post(url, body))[1]
            (generation,) = await o.client.ask("m", parameters=SHORT)
            await o.client.end(generation)
            assert o.client.text(generation) == own["choices"][0]["message"]["content"]


@every_server
async def test_models_of_real_servers_are_described_correctly(
    real_server: RealServer, tmp_path: Path
) -> None:
    settings = as_model(real_server) + upstream(real_server, "models = *")
    engine, dialect, flavour = FACTS[real_server.name]
    async with over(settings, tmp_path) as o:
        many = await only_id(o, real_server)
        assert many.startswith("u/")
        await o.answer(many, TEXT)
        for model_id in ("m", many):
            model = await o.state(model_id, "ready")
            server = model["server"]
            assert (model["engine"], server["dialect"], server["flavour"]) == (
                engine,
                dialect,
                flavour,
            )
            assert server["address"].startswith(real_server.url)
            assert server["model"]
            assert model["capabilities"]["chat"]
            assert model["capabilities"]["cancel"]
            assert model["capabilities"]["load"] == (real_server.name in SEVERAL)
            assert model["runner"] == "remote"
            assert model["error"] is None
            if engine == "llama.cpp":
                assert model["limits"]["max_total_tokens"] == 2048
                assert model["limits"]["model_context"] == 8192
                assert model["limits"]["max_concurrent"] == 2
                assert model["defaults"]["temperature"] == 0.8
            if real_server.name == "tgi":
                assert model["limits"]["max_input_tokens"] == 1024
        model = await o.sees(many, lambda model: model["server"].get("loaded") is not False)
        assert model["server"]["seen"] > 1_700_000_000
        if real_server.name == "ollama":
            # The context in force is told once the model is in memory.
            model = await o.sees(many, lambda model: model["limits"]["max_total_tokens"] == 2048)
            assert model["limits"]["model_context"] == 8192
            assert model["details"]["quantization"] == "Q4_1"
            assert model["capabilities"]["completion"]


@every_server
async def test_probabilities_come_as_far_as_the_server_gives_them(
    real_server: RealServer, tmp_path: Path
) -> None:
    async with over(as_model(real_server), tmp_path) as o:
        model = await o.answers("m")
        (generation,) = await o.client.ask(
            "m", parameters={**SHORT, "top_n_tokens": 3}, details=True, **TEXT
        )
        end = await o.client.end(generation)
        deltas = [
            e
            for e in o.client.events
            if e["type"] == "delta" and e["generation"] == generation and e.get("tokens")
        ]
        tokens = [token for delta in deltas for token in delta["tokens"]]
        assert model["capabilities"]["logprobs"]
        assert len(tokens) >= 11, end
        assert all(token["logprob"] <= 0 for token in tokens)
        assert all(len(token.get("top") or ()) in (0, 3) for token in tokens)
        if real_server.name == "ollama":
            assert {token["id"] for token in tokens} == {-1}
        else:
            assert all(token["id"] >= 0 for token in tokens)


@every_server
async def test_a_cancelled_answer_frees_its_place_in_the_server(
    real_server: RealServer, tmp_path: Path
) -> None:
    async with over(as_model(real_server), tmp_path) as o:
        await o.answers("m")
        (generation,) = await o.client.ask("m", parameters=LONG)
        await o.client.delta(generation, 3)
        await o.client.say(type="cancel", generations=[generation])
        end = await o.client.end(generation)
        assert end["finish_reason"] == "cancelled"
        await until_idle(real_server, o.http)
        _, end = await o.answer("m", CHAT)
        assert end["finish_reason"] == "length"


@every_server
async def test_a_cut_socket_resumes_in_mid_answer_with_the_exact_text(
    real_server: RealServer, tmp_path: Path
) -> None:
    parameters = {"temperature": 0, "max_new_tokens": 40}
    async with over(as_model(real_server), tmp_path) as o:
        await o.answers("m")
        whole, end = await o.answer("m", CHAT, parameters=parameters)
        port = int(o.gateway.address.rpartition(":")[2])
        async with cutting(port) as cutter:
            plan = cutter.plan()
            async with websockets.connect(plan.url, max_size=None) as socket:
                session, text, seq = await _first_half(socket, parameters)
                plan.cut_now()
            async with websockets.connect(plan.url, max_size=None) as socket:
                hello = {"id": 1, "type": "hello", "session": session, "cursors": {"g1": seq}}
                await socket.send(json.dumps(hello))
                resumed = await _rest(socket)
        assert end["finish_reason"] == "length"
        assert text + resumed == whole


async def _first_half(
    socket: websockets.ClientConnection, parameters: dict[str, Any]
) -> tuple[str, str, int]:
    await socket.send(json.dumps({"id": 1, "type": "hello"}))
    targets = [{"model": "m", "parameters": parameters}]
    # Another answer than the one that was kept.
    ask = {"id": 2, "type": "generate", "targets": targets, "fresh": True, **CHAT}
    await socket.send(json.dumps(ask))
    session, text, seq = "", "", 0
    async with asyncio.timeout(CEILING_SECONDS):
        while seq < 5:
            for event in json.loads(await socket.recv()):
                if event.get("id") == 1:
                    session = event["result"]["session"]
                if event["type"] in {"error", "end"}:
                    raise AssertionError(event)
                if event["type"] == "delta":
                    text, seq = text + event["text"], event["seq"]
    return session, text, seq


async def _rest(socket: websockets.ClientConnection) -> str:
    text = ""
    async with asyncio.timeout(CEILING_SECONDS):
        while True:
            for event in json.loads(await socket.recv()):
                if event["type"] == "delta":
                    text += event["text"]
                if event["type"] == "end":
                    assert event["finish_reason"] == "length", event
                    return text


@pytest.mark.parametrize("any_process", available("llama.cpp", *SEVERAL), indirect=True)
async def test_start_and_stop_load_and_unload_where_the_server_does_that(
    real_server: RealServer, tmp_path: Path
) -> None:
    async with over(as_model(real_server) + upstream(real_server), tmp_path) as o:
        many = await only_id(o, real_server)
        if real_server.name == "llama.cpp":
            refused = await o.client.try_to(type="stop", model=many)
            assert "run by somebody else" in refused["error"]["message"]
            return
        for model_id in (many, "m"):
            await o.sees(model_id, lambda model: bool(model["capabilities"]["load"]))
            await o.client.say(type="start", model=model_id)
            model = await o.sees(many, lambda model: model["server"]["loaded"] is True)
            assert model["state"] == "ready"
            await o.client.say(type="stop", model=model_id)
            model = await o.sees(many, lambda model: model["server"]["loaded"] is False)
            assert model["state"] == "stopped"


@pytest.mark.parametrize("any_process", available("llama.cpp", *SEVERAL), indirect=True)
async def test_patterns_take_some_of_the_models(real_server: RealServer, tmp_path: Path) -> None:
    name = real_server.model
    settings = upstream(real_server, f"models = {name[:2]}*", name="taken")
    settings += upstream(real_server, "models = nothing-*", name="none")
    async with over(settings, tmp_path) as o:
        none = await o.sees("[upstream none]", lambda model: model["error"] is not None)
        assert none["state"] == "failed"
        assert "`models`" in none["error"]["message"]
        taken = {i for i in await o.models() if i.startswith("taken/")}
        assert len(taken) == 1, taken
        _, end = await o.answer("[upstream none]", CHAT)
        assert end["finish_reason"] == "failed"
        assert end["error"]["code"] == "model_failed"


@pytest.mark.parametrize("any_process", available(*SEVERAL) or ["llama.cpp"], indirect=True)
async def test_a_model_that_is_not_said_or_not_there_is_told_with_those_that_are(
    real_server: RealServer, tmp_path: Path
) -> None:
    if real_server.name == "llama.cpp":
        return
    settings = remote(real_server, "model_id = no-such-model", name="wrong")
    settings += remote(real_server, name="unsaid")
    async with over(settings, tmp_path) as o:
        wrong = await o.state("wrong", "failed")
        assert "no-such-model" in wrong["error"]["message"]
        _, end = await o.answer("wrong", CHAT)
        assert end["finish_reason"] == "failed"
        if real_server.name == "llama-swap":
            unsaid = await o.state("unsaid", "failed")
            assert "one" in unsaid["error"]["message"]
            assert "`model_id`" in unsaid["error"]["hint"]


async def test_a_key_that_is_missing_is_named_by_its_setting(tmp_path: Path) -> None:
    async with llama_cpp(key="secret") as server:
        settings = upstream(server) + remote(server, "api_key = wrong")
        settings += remote(server, "api_key = secret", name="right")
        async with over(settings, tmp_path) as o:
            await o.state("right", "ready")
            for model_id in ("m", "[upstream u]"):
                model = await o.state(model_id, "failed")
                assert "`api_key`" in model["error"]["message"] + model["error"]["hint"], model
            _, end = await o.answer("m", CHAT)
            assert "`api_key`" in end["error"]["message"] + end["error"]["hint"]
            _, end = await o.answer("right", CHAT)
            assert end["finish_reason"] == "length"
