"""The catalogue: its models, what is started for each, and what a preset inherits."""

from typing import Any

import pytest

from server.core.errors import UnknownModel
from server.dialects.base import ServedModel
from server.models.catalogue.catalog import Catalog, build_catalog
from server.settings.models import ModelSettings
from server.settings.tables import AnswerSettings, Settings
from server.settings.upstreams import UpstreamSettings
from tests.support.specs import catalog


def test_a_model_without_a_name_goes_by_its_id() -> None:
    models = catalog(a={"weights": "x"}, b={"weights": "x", "name": "Bee", "description": "d"})
    assert [(model.id, model.name, model.description) for model in models] == [
        ("a", "a", ""),
        ("b", "Bee", "d"),
    ]


def test_a_preset_has_what_it_says_and_the_rest_from_its_base() -> None:
    models = catalog(
        p={"base": "a", "system": "Brief.", "parameters": {"temperature": 0}},
        a={
            "runner": "remote",
            "url": "http://h",
            "system": "Long.",
            "parameters": {"temperature": 1, "seed": 7},
        },
        q={"base": "a", "parameters": {}},
    )
    p, q, a = models.get("p"), models.get("q"), models.get("a")
    assert p.is_preset
    assert not a.is_preset
    assert (p.system, q.system) == ("Brief.", "Long.")
    assert (p.parameters["temperature"], p.parameters["seed"]) == (0, 7)
    assert q.parameters == a.parameters
    assert (p.runner, p.engine, p.settings) == (a.runner, a.engine, a.settings)


def test_the_order_is_that_of_the_settings() -> None:
    models = catalog(p={"base": "a", "parameters": {}}, b={"weights": "x"}, a={"weights": "x"})
    assert [model.id for model in models] == ["p", "b", "a"]
    assert len(models) == 3


def test_a_server_serves_its_model_and_its_presets() -> None:
    models = catalog(p={"base": "a", "parameters": {}}, a={"weights": "x"}, b={"weights": "x"})
    assert models.get("p").root == models.get("a").root == "a"
    assert [model.id for model in models.served_by("a")] == ["p", "a"]
    assert [model.id for model in models.served_by("b")] == ["b"]


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(UnknownModel, match="there is no model 'x"):
        catalog().get("x" * 1000)


def test_a_length_that_nobody_says_is_the_settings_default_one() -> None:
    settings = Settings(
        answers=AnswerSettings(default_length=100),
        models={
            "a": ModelSettings(weights="x"),
            "b": ModelSettings(base="a", parameters={"max_new_tokens": 7}),
        },
        upstreams={"u": UpstreamSettings(url="http://u", models=("*",))},
    )
    catalog = build_catalog(settings, {"u": [ServedModel("phi4")]})
    lengths = {spec.id: spec.parameters["max_new_tokens"] for spec in catalog}
    assert lengths == {"a": 100, "b": 7, "u/phi4": 100}
    assert {spec.default_length for spec in catalog} == {100}
    assert build_catalog(Settings(models={"a": ModelSettings()})).get("a").default_length == 8192


# --- by the server's own name ---------------------------------------------------------------------


def with_lists(models: dict[str, Any], **lists: list[ServedModel]) -> Catalog:
    """Return a catalogue of models with those settings and of servers with those lists."""
    return build_catalog(
        Settings(
            models={model_id: ModelSettings(**words) for model_id, words in models.items()},
            upstreams={
                name: UpstreamSettings(url=f"http://{name}", models=("*",)) for name in lists
            },
        ),
        lists,
    )


OLLAMA = [ServedModel("qwen3:8b", aliases=("qwen3",)), ServedModel("phi4")]


def test_a_model_goes_by_its_servers_name_where_no_other_does() -> None:
    gpu = {"runner": "remote", "url": "http://g", "model_id": "Qwen/Qwen3-8B"}
    models = with_lists({"big": gpu, "brief": {"base": "big"}}, ollama=OLLAMA)
    assert models.named("qwen3:8b").id == models.named("qwen3").id == "ollama/qwen3:8b"
    assert models.named("ollama/qwen3:8b").id == "ollama/qwen3:8b"
    # A preset is not what the server calls so.
    assert models.named("Qwen/Qwen3-8B").id == "big"
    assert models.named("brief").id == "brief"


def test_an_id_comes_before_any_servers_name() -> None:
    models = with_lists({"phi4": {"weights": "x"}}, ollama=OLLAMA)
    assert models.named("phi4").runner == "process"


def test_a_name_of_several_models_is_refused_and_they_are_named() -> None:
    models = with_lists({}, ollama=OLLAMA, lmstudio=[ServedModel("phi4")])
    with pytest.raises(UnknownModel, match="several models are called 'phi4'") as refused:
        models.named("phi4")
    assert refused.value.details == {"models": ["ollama/phi4", "lmstudio/phi4"]}
    assert refused.value.hint == "ask for ollama/phi4 or lmstudio/phi4"
    # Who may not see the one means the other, and is not told of it.
    assert models.named("phi4", sees=lambda model_id: "ollama" in model_id).id == "ollama/phi4"
    with pytest.raises(UnknownModel, match="there is no model 'phi4'"):
        models.named("phi4", sees=lambda model_id: False)


def test_neither_a_whole_server_nor_no_name_is_a_model() -> None:
    models = with_lists({"r": {"runner": "remote", "url": "http://r"}}, ollama=[])
    for name in ("*", "", "nobody"):
        with pytest.raises(UnknownModel, match="there is no model"):
            models.named(name)
