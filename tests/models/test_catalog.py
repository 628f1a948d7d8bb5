"""The catalogue: what there is, what is started for it, and what a preset has of its base."""

import pytest

from server.core.errors import UnknownModel
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
    assert models.root_of("p").id == models.root_of("a").id == "a"
    assert [model.id for model in models.served_by("a")] == ["p", "a"]
    assert [model.id for model in models.served_by("b")] == ["b"]


def test_a_model_that_is_not_there() -> None:
    for find in (catalog().get, catalog().root_of):
        with pytest.raises(UnknownModel, match="there is no model 'x"):
            find("x" * 1000)
