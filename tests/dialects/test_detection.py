"""Who answers at an address is found out by what may be asked for nothing."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import EngineError, EngineLost, EngineOverloaded, SidestreamError
from server.dialects.base import Endpoint
from server.dialects.connector import Connector
from server.dialects.detection import ROUTES, SIGNS, Seen, recognise
from server.dialects.http.client import Reply, Timeouts
from server.dialects.ollama.upstream import OllamaUpstream
from server.dialects.openai.flavour import MODELS
from server.dialects.openai.flavours import FLAVOURS
from server.dialects.openai.upstream import OpenAIUpstream
from server.dialects.tgi.upstream import TGI
from tests.fakes.openai import serve
from tests.fakes.openai_options import Canned, FakeOptions, like
from tests.support.ports import free_ports

RECORDINGS = Path(__file__).parents[1] / "recordings/openai_looks.jsonl"
# What costs an answer at one server or another, or loads, wakes and keeps alive.
COSTLY = ("/health", "/health_generate", "/upstream", "/load", "/unload", "/v1/chat")


def recorded() -> dict[str, dict[str, Reply]]:
    found: dict[str, dict[str, Reply]] = defaultdict(dict)
    for line in RECORDINGS.read_text().splitlines():
        look = json.loads(line)
        route = MODELS if look["path"] == "/v1/models" else look["path"]
        found[look["server"]][route] = Reply(look["status"], look["headers"], look["body"].encode())
    return found


def listing(**entry: Any) -> dict[str, Reply]:
    body = json.dumps({"object": "list", "data": [{"id": "m", "object": "model", **entry}]})
    return {MODELS: Reply(200, {"content-type": "application/json"}, body.encode())}


RECORDED = recorded()
# From their own documentation or source; they were not run.
DOCUMENTED = {
    "sglang": listing(owned_by="sglang", root="m", max_model_len=4096),
    "lmdeploy": listing(owned_by="lmdeploy", root="m", parent=None),
    "lmstudio": listing(owned_by="organization_owner"),
    "docker-model-runner": listing(owned_by="docker"),
    "koboldcpp": listing(owned_by="koboldcpp", permission=[], root="koboldcpp"),
    "openrouter": listing(
        pricing={"prompt": "0.1"}, top_provider={"context_length": 8192}, context_length=8192
    ),
}


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("llama.cpp", "llama.cpp"),
        ("vllm", "vllm"),
        ("transformers", "transformers"),
        ("transformers with a model", "transformers"),
        ("litellm", "litellm"),
        ("ollama", "ollama"),
        ("llama-swap", "llama-swap"),
        ("tgi", "tgi-openai"),
    ],
)
def test_recorded_servers(server: str, name: str) -> None:
    assert recognise(Seen("http://127.0.0.1:8000", RECORDED[server])) == name


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_servers(name: str) -> None:
    assert recognise(Seen("http://127.0.0.1:8000", DOCUMENTED[name])) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://openrouter.ai/api", "openrouter"),
        ("https://api.openai.com", "openai"),
        ("https://notopenrouter.ai", ""),
        ("https://openrouter.ai.example.com", ""),
        ("https://example.com", ""),
    ],
)
def test_hosts(url: str, name: str) -> None:
    assert recognise(Seen(url, listing(owned_by="somebody"))) == name


def test_every_flavour_is_recognised_by_a_recording_or_its_documentation() -> None:
    seen = {recognise(Seen("http://127.0.0.1", replies)) for replies in RECORDED.values()}
    seen |= {recognise(Seen("http://127.0.0.1", replies)) for replies in DOCUMENTED.values()}
    assert seen | {"openai", "plain"} == SIGNS.keys()


def test_a_server_that_imitates_ollama_is_recognised_as_itself() -> None:
    both = {**RECORDED["ollama"], **RECORDED["llama-swap"]}
    assert recognise(Seen("http://127.0.0.1", both)) == "llama-swap"


def test_header_of_litellm_is_enough() -> None:
    (reply,) = listing(owned_by="openai").values()
    seen = Seen("http://127.0.0.1", {MODELS: Reply(200, {"x-litellm-version": "1"}, reply.body)})
    assert recognise(seen) == "litellm"


def test_error_in_a_200_is_no_sign() -> None:
    said = b'{"error":"Unexpected endpoint or method. (GET /info)"}'
    seen = {route: Reply(200, {}, said) for route in ROUTES}
    assert recognise(Seen("http://127.0.0.1", {**listing(owned_by="x"), **seen})) == ""


def test_looking_costs_nothing() -> None:
    assert not set(ROUTES) & set(COSTLY)
    for flavour in FLAVOURS.values():
        looks = [flavour.models, flavour.metrics]
        looks += [at.route for several in flavour.facts.values() for at in several]
        assert not set(looks) & set(COSTLY)
    assert FLAVOURS["sglang"].health != "/health"
    assert FLAVOURS["litellm"].health != "/health"


async def connected(url: str, **endpoint: Any) -> Any:
    upstream = await Connector(Timeouts()).connect(Endpoint(url, **{"dialect": "auto", **endpoint}))
    await upstream.close()
    return upstream


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("llama.cpp", "llama.cpp"),
        ("vllm", "vllm"),
        ("sglang", "sglang"),
        ("litellm", "litellm"),
        ("llama-swap", "llama-swap"),
        ("lmdeploy", "lmdeploy"),
        ("", "plain"),
    ],
)
async def test_server_is_asked_who_it_is(kind: str, name: str) -> None:
    async with serve(like(kind)) as fake:
        upstream = await connected(fake.url)
        assert isinstance(upstream, OpenAIUpstream)
        assert (await upstream.describe()).flavour == name
        assert fake.state.generations == 0
        assert not [route for route in fake.state.routes if route == "GET /health"]


async def test_ollama_and_tgi_have_dialects_of_their_own() -> None:
    async with serve(like("ollama")) as fake:
        assert isinstance(await connected(fake.url), OllamaUpstream)
        # As somebody wants it.
        assert isinstance(await connected(fake.url, dialect="openai"), OpenAIUpstream)
    info = Canned({"model_id": "m", "router": "text-generation-router", "max_total_tokens": 2048})
    async with serve(like("tgi", routes={"GET /info": info})) as fake:
        assert isinstance(await connected(fake.url), TGI)
        upstream = await connected(fake.url, dialect="openai")
        assert (await upstream.describe()).flavour == "tgi-openai"


async def test_a_dialect_that_is_set_is_not_probed() -> None:
    _, port = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    assert isinstance(await connected(url, dialect="tgi"), TGI)
    assert isinstance(await connected(url, dialect="ollama"), OllamaUpstream)
    assert isinstance(await connected(url, dialect="openai", flavour="vllm"), OpenAIUpstream)
    with pytest.raises(EngineError, match="no flavour 'vlm'"):
        await connected(url, flavour="vlm")
    with pytest.raises(EngineLost):
        await connected(url)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"models_form": "html"}, EngineError, "a web page"),
        ({"models_form": "no-list"}, EngineError, "not with a list of models"),
        ({"models_form": "not-json"}, EngineError, "not with a list of models"),
        ({"models_form": "404"}, EngineError, "/v1/models"),
        ({"api_key": "secret"}, EngineError, "`api_key`"),
        ({"redirect": "https://elsewhere.example/v1"}, EngineError, "redirects to"),
        ({"unavailable": -1}, EngineOverloaded, "503|Service Unavailable"),
        ({"unavailable": -1, "retry_after": "5"}, EngineOverloaded, "Service Unavailable"),
        ({"models_status": 500}, EngineError, "it went wrong"),
    ],
    ids=str,
)
async def test_answers_that_are_no_model_servers(
    options: dict[str, Any], kind: type[SidestreamError], words: str
) -> None:
    async with serve(FakeOptions(**options)) as fake:
        with pytest.raises(kind, match=words):
            await connected(fake.url)
        assert fake.state.generations == 0


async def test_missing_list_is_no_harm_where_the_model_is_set() -> None:
    async with serve(FakeOptions(models_form="404")) as fake:
        upstream = await connected(fake.url, model="fake-model")
        info = await upstream.describe()
        assert (info.model_id, info.flavour) == ("fake-model", "plain")
        assert info.max_total_tokens is None


@pytest.mark.parametrize("form", ["list", "empty", "null", "bare"])
async def test_forms_of_a_list(form: str) -> None:
    async with serve(FakeOptions(models_form=form)) as fake:
        upstream = await connected(fake.url)
        names = [model.name for model in await upstream.models()]
        assert names == ([] if form in ("empty", "null") else ["fake-model"])
