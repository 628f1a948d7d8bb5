"""Settings of servers that are already there: one of its models, all of them, and its key."""

import os
from pathlib import Path

import pytest

from server.core.extra import RESERVED
from server.settings.loading import load
from server.settings.models import ModelSettings
from server.settings.secrets import Secret
from server.settings.upstreams import UpstreamSettings
from server.settings.values import Numbers, SettingsError, format_value
from tests.core.conftest import Write

REMOTE = "[model r]\nrunner = remote\nurl = gpu-box:8000/v1\n"
UPSTREAM = "[upstream u]\nurl = http://127.0.0.1:11434\n"


def refused(path: Path, **environment: str) -> list[str]:
    """Return what is said against the file, which never is a secret."""
    with pytest.raises(SettingsError) as caught:
        load(path, environment)
    assert "hunter2" not in str(caught.value)
    return caught.value.problems


def model(path: Path, **environment: str) -> ModelSettings:
    return load(path, environment).models["r"]


def upstream(path: Path, **environment: str) -> UpstreamSettings:
    return load(path, environment).upstreams["u"]


# --- what holds ---------------------------------------------------------------------------------


def test_a_model_on_a_server_has_all_keys_of_one(write: Write) -> None:
    said = model(
        write(
            f"{REMOTE}model_id = Qwen/Qwen3 8B: Übung@1\ndialect = openai\nflavour = llama.cpp\n"
            'headers = {"X-Org": "me"}\nextra_allowed = mirostat, chat_template_kwargs\n'
            "price_in = 0.25\nprice_out = 0\nholds_one_model = yes\n"
        )
    )
    assert said.model_id == "Qwen/Qwen3 8B: Übung@1"
    assert (said.dialect, said.flavour) == ("openai", "llama.cpp")
    assert said.headers == {"X-Org": "me"}
    assert said.extra_allowed == ("mirostat", "chat_template_kwargs")
    assert (said.price_in, said.price_out) == (0.25, 0.0)
    assert said.flags == {"holds_one_model"}


def test_a_price_that_nobody_said_is_unknown(write: Write) -> None:
    assert (model(write(REMOTE)).price_in, model(write(f"{REMOTE}price_in =\n")).price_in) == (
        None,
        None,
    )


def test_a_server_on_this_machine_gives_all_its_models(write: Write) -> None:
    assert upstream(write(UPSTREAM)).models == ("*",)
    assert upstream(write(f"{UPSTREAM}models = qwen*, a/b:8b\n")).models == ("qwen*", "a/b:8b")
    for host in ("host.docker.internal:11434", "[::1]:1", "localhost"):
        assert upstream(write(f"[upstream u]\nurl = {host}\n")).models == ("*",)


def test_the_environment_reaches_servers(write: Write) -> None:
    path = write("[upstream my-box]\nurl = http://far\nmodels = *\n")
    settings = load(path, {"SIDESTREAM_UPSTREAM_MY_BOX__URL": "http://near"})
    assert settings.upstreams["my-box"].url == "http://near"


def test_a_model_and_a_server_may_have_one_name(write: Write) -> None:
    settings = load(write(f"{REMOTE}[upstream r]\nurl = localhost:1\n"), {})
    assert list(settings.models) == list(settings.upstreams) == ["r"]


def test_where_is_looked_for_servers_can_be_said(write: Write) -> None:
    discovery = load(write("[discovery]\nenabled = no\nports = 11434, 8001\n"), {}).discovery
    assert (discovery.enabled, discovery.ports, discovery.interval) == (False, (11434, 8001), 30)
    assert load(write("[discovery]\nports =\n"), {}).discovery.ports == ()
    for ports in ((1,), (1, 2), (2, 1, 3)):
        text = format_value(Numbers(ports))
        assert load(write(f"[discovery]\nports = {text}\n"), {}).discovery.ports == ports


# --- keys ---------------------------------------------------------------------------------------


def test_a_key_is_taken_from_where_the_settings_say(write: Write, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2\r\n")
    for text, origin in {
        "hunter2": "written",
        "env:BOX": "env:BOX",
        "file:key": f"file:{tmp_path / 'key'}",
        f"file:{tmp_path / 'key'}": f"file:{tmp_path / 'key'}",
    }.items():
        settings = load(write(f"{REMOTE}api_key = {text}\n"), {"BOX": "hunter2\n"})
        key = settings.models["r"].api_key
        assert key == "hunter2"
        assert isinstance(key, Secret)
        assert key.origin == origin
        assert f"Bearer {key}" == "Bearer hunter2"
        assert "hunter2" not in f"{settings!r}{key!r}{[key]}"


def test_a_key_from_the_environment_may_say_where_it_is_too(write: Write) -> None:
    said = model(write(REMOTE), SIDESTREAM_MODEL_R__API_KEY="env:BOX", BOX="hunter2")
    assert said.api_key == "hunter2"
    plain = model(write(REMOTE), SIDESTREAM_MODEL_R__API_KEY="hunter2").api_key
    assert isinstance(plain, Secret)
    assert plain.origin == "environment"


def test_header_fields_are_secrets_too(write: Write, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2")
    text = f'{UPSTREAM}headers = {{"X-Key": "file:key", "Authorization": "env:A", "X-Org": "me"}}\n'
    settings = load(write(text), {"A": "Basic hunter2"})
    assert settings.upstreams["u"].headers == {
        "X-Key": "hunter2", "Authorization": "Basic hunter2", "X-Org": "me",
    }  # fmt: skip
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(settings.upstreams["u"].headers)


def test_settings_can_be_read_without_resolving_secrets(write: Write) -> None:
    """An operator's shell has another environment than the service."""
    path = write(f"{REMOTE}api_key = env:BOX\nca_file = none.pem\nurl = https://far\n".replace(
        "url = gpu-box:8000/v1\n", ""
    ))  # fmt: skip
    assert load(path, {}, looks_up=False).models["r"].api_key == "env:BOX"
    assert len(refused(path)) == 2


# The text of a key, and what is said of it.
BAD_KEYS = {
    "env:": "the environment variable '' is not set",
    "env:NONE": "the environment variable 'NONE' is not set",
    "env:EMPTY": "'EMPTY' is empty",
    "env:LINES": "'LINES' has several lines",
    "env:ODD": "characters that no key has",
    "file:": "is no file",
    "file:none": "cannot be read: No such file",
    "file:empty": "is empty",
    "file:lines": "has several lines",
    "file:binary": "is not text",
    "file:large": "more than 16384 bytes",
    "file:folder": "is no file",
    "file:/dev/zero": "is no file",
    "file:pipe": "is no file",
    "file:~nobody-here/key": "cannot be found",
    "hunter2\n  hunter2": "has several lines",
    "hünter2": "characters that no key has",
}


@pytest.mark.parametrize(("text", "said"), BAD_KEYS.items(), ids=BAD_KEYS)
def test_a_key_that_is_not_there_is_a_problem_of_its_place(
    write: Write, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "lines").write_text("hunter2\nhunter2\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe hunter2")
    (tmp_path / "large").write_text("hunter2" * 10_000)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    path = write(f"{UPSTREAM}api_key = {text}\n")
    environment = {"EMPTY": " ", "LINES": "hunter2\nhunter2", "ODD": "hunter2\u2028x"}
    (problem,) = refused(path, **environment)
    assert problem.startswith(f"{path}: [upstream u] api_key: ")
    assert said in problem


def test_a_line_that_is_no_key_is_not_repeated(write: Write) -> None:
    """Regression: the whole line stood in the log."""
    path = write(f"{REMOTE}api_key: hunter2\n")
    (problem,) = refused(path)
    assert problem == f"{path}: line 4: expected [SECTION] or KEY = VALUE"
    (problem,) = refused(write("api_key = hunter2\n"))
    assert "line 1 stands before any [SECTION]" in problem


# --- files --------------------------------------------------------------------------------------


def test_files_are_found_from_the_settings_folder_on(write: Write, tmp_path: Path) -> None:
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    assert model(write(f"{REMOTE}chat_template = chat.jinja\n")).chat_template == str(
        tmp_path / "chat.jinja"
    )


# --- what is refused ----------------------------------------------------------------------------

R, U = "[model r]", "[upstream u]"
REFUSED: dict[str, tuple[str, str, str]] = {
    "no url": ("[upstream u]\n", f"{U} url", "http://HOST:PORT"),
    "a password in an address": (
        "[upstream u]\nurl = http://me:hunter2@far\n", f"{U} url", "`api_key`",
    ),
    "a password in what is no address": (
        "[upstream u]\nurl = ftp://me:hunter2@far\n", f"{U} url", "found 'ftp://…@far'",
    ),
    "a password among blanks": (
        "[upstream u]\nurl = me:hunter2@far /v1\n", f"{U} url", "found '…@far /v1'",
    ),
    "elsewhere without models": (
        "[upstream u]\nurl = http://far\n", f"{U} models", "not on this machine",
    ),
    "a bad name": ("[upstream a/b]\nurl = x\n", "[upstream a/b]", "at most 64 characters"),
    "no name": ("[upstream ]\nurl = x\n", "[upstream ]", "expected [upstream NAME], the NAME of"),
    "a long name": (f"[upstream {'a' * 65}]\n", f"[upstream {'a' * 65}]", "at most 64"),
    "a runner": (f"{UPSTREAM}runner = remote\n", f"{U} runner", "unknown key"),
    "an image": (f"{UPSTREAM}image = x\n", f"{U} image", "unknown key"),
    "twice": (f"{UPSTREAM}[upstream U]\nurl = localhost\n", "[upstream U]", "is there twice"),
    "an unknown dialect": (f"{REMOTE}dialect = grpc\n", f"{R} dialect", "auto, tgi, openai"),
    "a bad flavour": (f"{REMOTE}flavour = v LLM\n", f"{R} flavour", "expected to match"),
    "a flavour of another dialect": (
        f"{REMOTE}dialect = ollama\nflavour = vllm\n", f"{R} flavour", "only for openai",
    ),
    "num_ctx elsewhere": (
        f"{REMOTE}dialect = openai\nnum_ctx = 8192\n", f"{R} num_ctx", "only for ollama",
    ),
    "a name with a control character": (
        f"{REMOTE}model_id = a\x1bb\n", f"{R} model_id", "characters that can be seen",
    ),
    "a long name of a model": (
        f"{REMOTE}model_id = {'a' * 513}\n", f"{R} model_id", "at most 512 characters",
    ),
    "a negative price": (f"{REMOTE}price_in = -1\n", f"{R} price_in", "at least 0"),
    "a price in words": (f"{REMOTE}price_in = free\n", f"{R} price_in", "expected a number"),
    "no price at all": (f"{REMOTE}price_in = nan\n", f"{R} price_in", "expected a number"),
    "headers that are no object": (
        f'{REMOTE}headers = ["hunter2"]\n', f"{R} headers", "expected a JSON object",
    ),
    "headers that are no JSON": (
        f"{REMOTE}headers = hunter2\n", f"{R} headers", "expected a JSON object",
    ),
    "a header that is no text": (
        f'{REMOTE}headers = {{"X": 1}}\n', f"{R} headers", "'X': expected text",
    ),
    "a header with a line break": (
        f'{REMOTE}headers = {{"X": "hunter2\\r\\nY: 1"}}\n', f"{R} headers", "several lines",
    ),
    "a header that is none": (
        f'{REMOTE}headers = {{"X Y": "a"}}\n', f"{R} headers", "no name of a header field",
    ),
    "a header of ours": (
        f'{REMOTE}headers = {{"Host": "a"}}\n', f"{R} headers", "writes this field itself",
    ),
    "a key twice": (
        f'{REMOTE}api_key = hunter2\nheaders = {{"authorization": "hunter2"}}\n',
        f"{R} headers", "`api_key` is sent in this field",
    ),
    "a header twice": (
        f'{REMOTE}headers = {{"X-a": "1", "x-A": "2"}}\n', f"{R} headers", "is there twice",
    ),
    "extra of ours": (f"{REMOTE}extra_allowed = Model\n", f"{R} extra_allowed", "writes it itself"),
    "extra that redirects": (
        f"{REMOTE}extra_allowed = api_base\n", f"{R} extra_allowed", "to another server",
    ),
    "extra that redirects elsewhere": (
        f"{REMOTE}extra_allowed = aws_region_name\n", f"{R} extra_allowed", "to another server",
    ),
    "extra that is a pattern": (
        f"{REMOTE}extra_allowed = *\n", f"{R} extra_allowed", "expected names of fields",
    ),
    "certificates that are none": (
        "[model r]\nrunner = remote\nurl = https://h\nca_file = settings.ini\n",
        f"{R} ca_file", "holds no certificates",
    ),
    "no certificates": (
        "[model r]\nrunner = remote\nurl = https://h\nca_file = none\n", f"{R} ca_file",
        "cannot be read",
    ),
    "no template": (f"{REMOTE}chat_template = none\n", f"{R} chat_template", "cannot be read"),
    "a template that is a folder": (
        f"{REMOTE}chat_template = .\n", f"{R} chat_template", "is no file",
    ),
    "a template that is a device": (
        f"{REMOTE}chat_template = /dev/zero\n", f"{R} chat_template", "is no file",
    ),
    "a port of none": ("[discovery]\nports = 0\n", "[discovery] ports", "at least 1"),
    "a port in words": ("[discovery]\nports = ollama\n", "[discovery] ports", "whole numbers"),
    "a look each moment": ("[discovery]\ninterval = 0\n", "[discovery] interval", "at least 5"),
    "a key for a model of our own": (
        "[model r]\nweights = a.gguf\napi_key = hunter2\n", f"{R} api_key",
        "means nothing for runner = process, only for command and remote",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place", "said"), REFUSED.values(), ids=REFUSED)
def test_invalid_server_settings_are_refused_with_their_place(
    write: Write, text: str, place: str, said: str
) -> None:
    path = write(text)
    (problem,) = refused(path)
    assert problem.startswith(f"{path}: {place}")
    assert said in problem


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_fields_cannot_be_allowed_as_extra(write: Write, name: str) -> None:
    (problem,) = refused(write(f"{REMOTE}extra_allowed = {name.upper()}\n"))
    assert "cannot be allowed" in problem


# --- ids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model_id", ["meta-llama/Llama-3.1-8B", "a/b/c:8b@main+x", "a", "x_", "a" * 128, "a/.b"]
)
def test_a_models_id_may_be_its_name_on_a_hub(write: Write, model_id: str) -> None:
    settings = load(
        write(f"[model {model_id}]\nweights = a.gguf\n[model p]\nbase = {model_id}\n"), {}
    )
    assert settings.models["p"].base == model_id


def test_the_environment_reaches_such_a_model(write: Write) -> None:
    path = write("[model meta-llama/Llama-3.1-8B]\nweights = a.gguf\n")
    settings = load(path, {"SIDESTREAM_MODEL_META_LLAMA_LLAMA_3_1_8B__SLOTS": "2"})
    assert settings.models["meta-llama/Llama-3.1-8B"].slots == 2


@pytest.mark.parametrize(
    "model_id",
    [
        *("/a", "a/", "a//b", "a/../b", "a/./b", "..", ":a", "a:", "a@", "a+"),
        *("a b", "a,b", "ä", "a\\b", "a" * 129),
    ],
)
def test_an_id_that_cannot_be_is_refused_with_the_rule_and_the_limit(
    write: Write, model_id: str
) -> None:
    (problem,) = refused(write(f"[model {model_id}]\nweights = a.gguf\n"))
    assert "the ID of letters, digits" in problem
    assert "at most 128 characters" in problem
