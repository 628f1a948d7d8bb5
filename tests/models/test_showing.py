"""A model as clients see it: by settings, status, what its server says, its list, and its use."""

from dataclasses import replace
from typing import Any

import pytest

from server.core.protocol import Model, ModelError
from server.dialects.base import EngineInfo, ServedModel
from server.models.catalog import ModelSpec, build_catalog
from server.models.showing import ServerFacts, Use, shown_model
from server.models.surroundings import Status
from server.settings import ModelSettings, Settings, UpstreamSettings

READY = Status("ready")
ERROR = ModelError("engine_error", "it broke")


def on_server(*models: ServedModel) -> ModelSpec:
    """Return the first model of a server with that list, or the server as a whole."""
    settings = Settings(upstreams={"u": UpstreamSettings(url="http://h:1", models=("*",))})
    return next(iter(build_catalog(settings, {"u": list(models)})))


def on_its_own() -> ModelSpec:
    model = ModelSettings(runner="remote", url="h:1/v1/", model_id="big")
    return build_catalog(Settings(models={"m": model})).get("m")


def shown(
    spec: ModelSpec,
    status: Status = READY,
    info: EngineInfo | None = None,
    facts: ServerFacts | None = None,
    **words: Any,
) -> Model:
    use = Use(1, 2)
    return shown_model(spec, status, info or EngineInfo(), use, facts or ServerFacts(), **words)


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
        shown(listed, load_state=load_state),
        shown(named, info=info, load_state=load_state),
    ):
        assert model.state == state
        assert model.server is not None
        assert model.server.loaded is is_loaded


def test_a_server_that_is_away_says_nothing_of_what_is_loaded() -> None:
    spec = on_server(ServedModel("m", is_loaded=False))
    model = shown(spec, Status("failed", error=ERROR), load_state="loading")
    assert (model.state, model.error) == ("failed", ERROR)


def test_errors_come_in_the_order_of_what_they_mean() -> None:
    spec = on_server(ServedModel("m"))
    load, list_problem = ModelError("x", "load"), ModelError("x", "list")
    facts = ServerFacts(problem=list_problem)
    broken = Status("failed", error=ERROR)
    assert shown(spec, broken, facts=facts, load_error=load).error == ERROR
    assert shown(spec, facts=facts, load_error=load).error == load
    assert shown(spec, facts=facts).error == list_problem
    assert shown(spec).error is None


def test_why_loading_failed_is_past_once_the_model_is_there() -> None:
    spec = on_server(ServedModel("m", is_loaded=True))
    assert shown(spec, load_error=ERROR).error is None


def test_a_server_as_a_whole_says_what_is_the_matter_there() -> None:
    spec = on_server()
    assert spec.is_server
    assert shown(spec).state == "loading"
    assert shown(spec, facts=ServerFacts(problem=ERROR)).state == "failed"
    empty = shown(spec, facts=ServerFacts(seen=1.0, left_out=2))
    assert empty.state == "failed"
    assert empty.error is not None
    assert "2 that do not are left out" in empty.error.message
    assert shown(spec, Status("failed", error=ERROR)).error == ERROR
    assert shown(spec, Status("starting")).state == "starting"


@pytest.mark.parametrize(
    ("prices", "is_billed", "costs"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"price_in": 0.5}, False, True),
        ({"price_out": 0.0}, False, True),
    ],
)
def test_it_says_whether_its_answers_cost_something(
    prices: dict[str, float], is_billed: bool, costs: bool
) -> None:
    model = ModelSettings(runner="remote", url="h:1", **prices)
    spec = build_catalog(Settings(models={"m": model})).get("m")
    assert shown(spec, info=EngineInfo(is_billed=is_billed)).capabilities["cost"] is costs


def test_limits_and_abilities_are_the_models_before_they_are_the_servers() -> None:
    served = ServedModel(
        "m",
        context_tokens=100,
        model_context_tokens=200,
        capabilities={"vision": True, "logprobs": False},
        details={"quantization": "Q4"},
    )
    model = shown(on_server(served), info=EngineInfo(engine="X", defaults={"top_k": 1}))
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
    assert shown(on_server(served), info=told).limits["max_total_tokens"] == 100
    assert shown(on_server(ServedModel("m")), info=told).limits["max_total_tokens"] == 50


def test_where_the_server_is_and_what_it_calls_the_model() -> None:
    model = shown(on_its_own(), info=EngineInfo(model_id="big", dialect="openai", flavour="vllm"))
    assert model.server is not None
    assert (model.server.address, model.server.model) == ("http://h:1/v1", "big")
    assert (model.server.name, model.server.dialect, model.server.flavour) == ("", "openai", "vllm")
    listed = shown(on_server(ServedModel("a b")), facts=ServerFacts(seen=5.0)).server
    assert listed is not None
    assert (listed.name, listed.model, listed.seen) == ("u", "a b", 5.0)


def test_facts_are_the_same_whenever_the_server_was_seen() -> None:
    facts = ServerFacts(seen=1.0, left_out=1)
    assert facts.is_as(replace(facts, seen=2.0))
    assert not facts.is_as(replace(facts, seen=None))
    assert not facts.is_as(replace(facts, left_out=2))
    assert not facts.is_as(replace(facts, problem=ERROR))
