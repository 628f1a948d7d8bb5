"""Models in servers' lists: their ids, which of them match the settings, and servers as a whole."""

from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import UnknownModel
from server.dialects.base import ServedModel
from server.models.catalogue.catalog import Catalog, build_catalog, server_id, taken
from server.models.catalogue.served_names import readable, served_id
from server.settings.models import ModelSettings
from server.settings.tables import Settings
from server.settings.upstreams import UpstreamSettings

ANYTHING = st.text(st.characters(codec=None), min_size=1, max_size=40)
NAMES = st.one_of(
    ANYTHING,
    st.text("./%aA", min_size=1, max_size=6),
    st.builds(lambda text, n: text * n, ANYTHING, st.integers(1, 300)),
)


def with_lists(
    lists: dict[str, list[ServedModel]], *, models: dict[str, Any] | None = None, **words: Any
) -> Catalog:
    """Return a catalogue of servers with those lists."""
    said = {"url": "http://h:1", "models": ("*",), **words}
    return build_catalog(
        Settings(
            models={name: ModelSettings(**one) for name, one in (models or {}).items()},
            upstreams={name: UpstreamSettings(**said) for name in lists},
        ),
        lists,
    )


# --- ids --------------------------------------------------------------------------------------


@given(st.lists(NAMES, unique=True, max_size=20))
def test_two_names_never_have_one_id(names: list[str]) -> None:
    ids = [served_id("u", name) for name in names]
    assert len(set(ids)) == len(names)
    assert ids == [served_id("u", name) for name in names]


@given(NAMES)
def test_an_id_comes_through_an_address_as_it_is(name: str) -> None:
    model_id = served_id("u", name)
    assert model_id.isascii()
    assert model_id.isprintable()
    assert " " not in model_id
    assert len(model_id) <= 162
    assert unquote(quote(model_id, safe="/")) == model_id
    # No part of it goes up or is left out where a path is made simple.
    assert {"", ".", ".."}.isdisjoint(model_id.split("/"))


@given(NAMES)
def test_an_id_has_no_half_of_an_encoded_character(name: str) -> None:
    parts = served_id("u", name).split("%")[1:]
    assert all(len(part) >= 2 and set(part[:2]) <= set("0123456789ABCDEF") for part in parts)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qwen3:8b", "u/qwen3:8b"),
        ("Qwen/Qwen3-8B", "u/Qwen/Qwen3-8B"),
        ("two words", "u/two%20words"),
        ("..", "u/%2E%2E"),
        ("/abs/path", "u/%2Fabs%2Fpath"),
        ("a%20b", "u/a%2520b"),
        ("\ud800", "u/%ED%A0%80"),
        ("models/7B/q4.gguf", "u/models/7B/q4.gguf"),
        ("/root/models/Q4.gguf", "u/Q4.gguf-0a76a4965aaa"),
        ("../models/Q4.gguf", "u/Q4.gguf-d6fb3cf5be64"),
        ("C:\\models\\the Q4.gguf", "u/the%20Q4.gguf-532d21dc134c"),
    ],
)
def test_ids_read_as_names_do_where_they_can(name: str, expected: str) -> None:
    assert served_id("u", name) == expected


def test_long_names_end_in_a_hash_of_the_whole() -> None:
    one, other = served_id("u", "x" * 5000), served_id("u", "x" * 5001)
    assert one != other
    assert len(one) == 162


def test_a_file_is_called_and_asked_by_its_name_without_folders() -> None:
    path = "/root/models/Q4.gguf"
    models = with_lists({"u": [ServedModel(path)]})
    (model,) = models
    assert (model.name, model.served_as) == ("Q4.gguf", path)
    assert models.named("Q4.gguf") is models.named(path) is models.named(model.id) is model


def test_servers_with_the_same_names_have_models_of_their_own() -> None:
    models = with_lists({"a": [ServedModel("m")], "b": [ServedModel("m")]})
    assert [model.id for model in models] == ["a/m", "b/m"]
    assert {models.get(i).served_as for i in ("a/m", "b/m")} == {"m"}


# --- what is taken ----------------------------------------------------------------------------


def test_a_model_is_taken_by_any_of_its_names() -> None:
    listed = [ServedModel("smollm2:latest", aliases=("smollm2",)), ServedModel("smollm2:360m")]
    upstream = UpstreamSettings(url="http://h:1", models=("smollm2",))
    assert taken(upstream, listed) == listed[:1]


def test_patterns_and_kinds_decide_and_nothing_is_there_twice() -> None:
    listed = [
        ServedModel("qwen3:8b"),
        ServedModel("qwen3:8b", title="again"),
        ServedModel("llama:3"),
        ServedModel("qwen-embed", kind="embedding"),
    ]
    models = taken(UpstreamSettings(url="x", models=("qwen*",)), listed)
    assert [(model.name, model.title) for model in models] == [("qwen3:8b", "")]


def test_without_a_list_there_are_those_that_are_named_whole() -> None:
    said = UpstreamSettings(url="x", models=("org/a", "b*", "c?", "[d]", "e"))
    assert [model.name for model in taken(said, None)] == ["org/a", "e"]
    assert taken(said, []) == []


def test_a_model_of_the_settings_precedes_one_of_a_list() -> None:
    own = {"u/m": {"weights": "x", "name": "Mine"}}
    models = with_lists({"u": [ServedModel("m"), ServedModel("n")]}, models=own)
    assert [(model.id, model.name) for model in models] == [("u/m", "Mine"), ("u/n", "n")]


# --- servers ----------------------------------------------------------------------------------


def test_a_server_is_seen_only_where_it_has_no_models() -> None:
    known, unknown = with_lists({"u": [ServedModel("m")]}), with_lists({"u": []})
    assert [model.id for model in known] == ["u/m"]
    assert [model.id for model in unknown] == [server_id("u")]
    for models in (known, unknown):
        assert [root.id for root in models.roots()] == [server_id("u")]
        assert [root.is_server for root in models.roots()] == [True]
        assert next(iter(models)).root == server_id("u")
    with pytest.raises(UnknownModel):
        known.get(server_id("u"))


def test_models_of_a_server_share_its_settings() -> None:
    models = with_lists(
        {"u": [ServedModel("m", title="Em")]}, parameters={"seed": 1}, max_concurrent=3
    )
    model = models.get("u/m")
    assert (model.name, model.root, model.server, model.max_concurrent) == (
        "Em",
        server_id("u"),
        "u",
        3,
    )
    assert model.parameters["seed"] == 1
    assert model.chosen == {"seed"}
    assert model.is_preset
    assert not model.is_server


def test_a_preset_of_a_remote_model_asks_the_same_server() -> None:
    own = {
        "r": {"runner": "remote", "url": "http://h:1", "model_id": "big"},
        "p": {"base": "r", "system": "Brief."},
    }
    models = with_lists({}, models=own)
    preset = models.get("p")
    assert (preset.root, preset.served_as, preset.dialect) == ("r", "big", "auto")


@given(ANYTHING)
def test_readable_names_are_one_short_printable_line(name: str) -> None:
    assert readable(name * 10).isprintable()
    assert len(readable(name * 500)) <= 160


def test_names_that_can_be_shown_are() -> None:
    for name in ("Qwen/Qwen3-8B", "modèle 東京 🙂"):
        assert readable(name) == name
    assert readable("a\x1b[31m\nb") == "a\ufffd[31m\ufffdb"
