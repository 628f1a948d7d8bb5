"""Settings of models that are any program: its words, its variables, and what cannot be."""

from pathlib import Path

import pytest

from server.settings.commands import command_words
from server.settings.loading import load
from server.settings.models import ModelSettings
from server.settings.secrets import Secret
from server.settings.values import SettingsError
from tests.core.conftest import Write

COMMAND = "[model m]\nrunner = command\ncommand = "
PROGRAM = f"{COMMAND}serve --port {{port}}\n"


def model(path: Path, **environment: str) -> ModelSettings:
    return load(path, environment).models["m"]


def test_a_command_with_all_that_belongs_to_it(write: Write) -> None:
    said = model(
        write(
            f"{COMMAND}serve -m '/models/a b.gguf'\n  --port {{port}}\n"
            "env = CUDA_VISIBLE_DEVICES=0,1 NAME='two words', EMPTY= LAST=x\n"
            "dialect = openai\nflavour = vllm\nmodel_id = a/b\napi_key = k\nmemory = 8G\n"
            "url = http://127.0.0.1:{port}/v1\npreload = yes\nidle_timeout = 5\n"
        )
    )
    words = ["serve", "-m", "/models/a b.gguf", "--port", "8081"]
    assert command_words(said.command, 8081) == words
    assert said.env == {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "NAME": "two words",
        "EMPTY": "",
        "LAST": "x",
    }
    assert (said.dialect, said.flavour, said.model_id) == ("openai", "vllm", "a/b")


@pytest.mark.parametrize(
    "text", ["A=1 B=2", "A=1,B=2", "A=1, B=2", "A='1'\n  B=\"2\"", '{"A":"1","B":"2"}']
)
def test_variables_are_written_as_pairs_or_as_json(write: Write, text: str) -> None:
    assert model(write(f"{PROGRAM}env = {text}\n")).env == {"A": "1", "B": "2"}


def test_variables_may_stand_elsewhere(write: Write, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n")
    path = write(f"{PROGRAM}env = A=env:MINE B=file:token C=plain\n")
    said = model(path, MINE="hunter3")
    assert said.env == {"A": "hunter3", "B": "hunter2", "C": "plain"}
    elsewhere = [isinstance(v, Secret) and v.is_from_elsewhere for v in said.env.values()]
    assert elsewhere == [True, True, False]
    assert "hunter" not in repr(said)
    assert load(path, {}, looks_up=False).models["m"].env["A"] == "env:MINE"


def test_a_program_may_be_told_its_port_by_its_environment(write: Write) -> None:
    said = model(write(f"{COMMAND}ollama serve\nenv = OLLAMA_HOST=127.0.0.1:{{port}}\n"))
    assert said.env == {"OLLAMA_HOST": "127.0.0.1:{port}"}


def test_home_is_what_a_word_begins_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    words = command_words("~/bin/serve -m ~/a.gguf --x=~/b ~ '{port}'", 1)
    assert words == ["/home/ann/bin/serve", "-m", "/home/ann/a.gguf", "--x=~/b", "~", "1"]


REFUSED = {
    "no command": ("[model m]\nrunner = command\n", "command", "expected a program"),
    "a quote that is open": (f"{COMMAND}serve '{{port}}\n", "command", "a quote is not closed"),
    "a backslash at the end": (f"{COMMAND}serve {{port}} \\\n", "command", "with a backslash"),
    "no port": (f"{COMMAND}serve\n", "command", "not told where to listen: write {port}"),
    "another placeholder": (
        f"{COMMAND}serve {{port}} {{host}}\n", "command", "unknown placeholder {host}",
    ),
    "a variable of a shell": (f"{COMMAND}serve ${{PORT}} {{port}}\n", "command", "{PORT}"),
    "a pipe": (f"{COMMAND}serve {{port}} | tee log\n", "command", "no shell runs it"),
    "the background": (f"{COMMAND}serve {{port}} &\n", "command", "'&' means nothing"),
    "a variable first": (f"{COMMAND}A=1 serve {{port}}\n", "command", "belongs into `env`"),
    "a path from nowhere": (f"{COMMAND}./serve {{port}}\n", "command", "a path from /"),
    "an address without the port": (
        f"{PROGRAM}url = http://localhost:1\n", "url", "belongs into its address too",
    ),
    "a port for the address only": (
        f"{COMMAND}serve\nurl = http://localhost:{{port}}\n", "command", "has to be told it too",
    ),
    "no address": (f"{COMMAND}serve\nurl = ftp://x\n", "url", "http://HOST:PORT"),
    "variables without a name": (f"{PROGRAM}env = A=1 hunter2\n", "env", "pair 2 is none"),
    "a variable twice": (f"{PROGRAM}env = A=1 A=hunter2\n", "env", "A is there twice"),
    "no name of a variable": (f'{PROGRAM}env = {{"A B": "hunter2"}}\n', "env", "letters, digits"),
    "a number": (f'{PROGRAM}env = {{"A": 1}}\n', "env", "'A': expected text"),
    "a variable that is not set": (f"{PROGRAM}env = A=env:NONE\n", "env", "'NONE' is not set"),
    "a file that is not there": (f"{PROGRAM}env = A=file:none\n", "env", "cannot be read"),
    "a variable longer than the system takes": (
        f"{PROGRAM}env = A={'x' * 200_000}\n", "env", "more than 131072 bytes",
    ),
    "a command for another runner": (
        "[model m]\nweights = a.gguf\ncommand = serve {port}\n", "command",
        "means nothing for runner = process, only for command",
    ),
    "replicas on one port": (
        f"{COMMAND}serve\nurl = http://localhost:1\nreplicas = 2\n", "replicas", "need a port each",
    ),
    "another runner's key": (f"{PROGRAM}slots = 4\n", "slots", "only for process"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "key", "said"), REFUSED.values(), ids=REFUSED)
def test_invalid_command_settings_are_refused_with_their_section_and_key(
    write: Write, text: str, key: str, said: str
) -> None:
    path = write(text)
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: [model m] {key}: ")
    assert said in problem
    assert "hunter2" not in problem
