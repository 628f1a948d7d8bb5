"""Sections of several Docker engines, and the models that name one."""

from pathlib import Path

import pytest

from server.settings.docker_engines import gpus_of, hosts_of, ports_of, settings_on
from server.settings.loading import load
from server.settings.tables import DockerEngineSettings, Settings
from server.settings.values import SettingsError

TWO = """\
[docker]
hf_cache = /cache
hf_token = ours

[docker gpu1]
host = ssh://root@gpu1
memory_budget = 64G
gpus = 2

[docker gpu2]
host = unix:///run/other.sock
hf_cache = /other
hf_token = theirs
ports = 9000-9009

"""


def read(tmp_path: Path, text: str, **environment: str) -> Settings:
    file = tmp_path / "settings.ini"
    file.write_text(text)
    return load(file, environment)


def refusals(tmp_path: Path, text: str) -> str:
    with pytest.raises(SettingsError) as refused:
        read(tmp_path, text)
    return str(refused.value)


def model(host: str) -> str:
    return f"[model m]\nrunner = docker\nmodel_id = acme/m\nengine_host = {host}\n"


def test_an_engine_has_its_own_keys_and_takes_all_others_of_docker(tmp_path: Path) -> None:
    settings = read(tmp_path, TWO + model("any"), SIDESTREAM_DOCKER_GPU1__MEMORY_BUDGET="32G")
    one, two = settings.docker_engines.values()
    assert (one.memory_budget, gpus_of(one), gpus_of(two)) == (32 << 30, frozenset("01"), None)
    first, second = (settings_on(engine, settings.docker) for engine in (one, two))
    assert (first.host, str(first.hf_cache), first.hf_token) == (
        "ssh://root@gpu1",
        "/cache",
        "ours",
    )
    assert (str(second.hf_cache), second.hf_token, second.image) == (
        "/other", "theirs", settings.docker.image,
    )  # fmt: skip
    assert ports_of(one, settings.engines) == settings.engines.ports
    assert ports_of(two, settings.engines) == (9000, 9009)
    assert "ours" not in repr(settings)
    assert "theirs" not in repr(settings)


@pytest.mark.parametrize(
    ("host", "names"), [("", ()), ("any", ("gpu1", "gpu2")), ("gpu2", ("gpu2",))]
)
def test_a_model_runs_on_the_engine_it_names_on_any_or_on_that_of_docker(
    tmp_path: Path, host: str, names: tuple[str, ...]
) -> None:
    settings = read(tmp_path, TWO + model(host))
    assert hosts_of(settings.models["m"], settings.docker_engines) == names


@pytest.mark.parametrize(
    ("gpus", "names"),
    [
        ("none", frozenset()),
        ("1", frozenset("0")),
        ("device=0", frozenset("0")),
        ("device=GPU-1,GPU-2", frozenset({"GPU-1", "GPU-2"})),
        ("", None),
    ],
)
def test_gpus_are_a_number_or_names(gpus: str, names: frozenset[str] | None) -> None:
    assert gpus_of(DockerEngineSettings(gpus=gpus)) == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TWO + model("gpu3"), "[model m] engine_host: there is no section [docker gpu3]; is `gpu"),
        (TWO + model("elsewhere"), "expected any or gpu1, gpu2"),
        (model("any"), "there is no section [docker NAME] that 'any' could mean"),
        ("[docker any]\nhost = ssh://a\n", "[docker any]: unknown section; expected [docker NAME]"),
        ("[docker a b]\nhost = ssh://a\n", "[docker a b]: unknown section"),
        ("[docker a]\n", "[docker a] host: missing; expected unix:///PATH"),
        ("[docker a]\nhost = gpu1\n", "[docker a] host: expected to match"),
        ("[docker a]\nhost = tcp://gpu:99999\n", "[docker a] host: expected a host, and a port"),
        ("[docker a]\nhost = tcp://gpu:0\n", "[docker a] host: expected a host, and a port"),
        ("[docker a]\nhost = ssh://:22\n", "[docker a] host: expected a host, and a port"),
        (
            "[docker a]\nhost = ssh://x\n[docker b]\nhost = ssh://X/\n",
            "[docker b] host: is the engine of [docker a] already",
        ),
        ("[docker a]\nhost = ssh://x\n[docker A]\nhost = ssh://y\n", "the Docker engine is there"),
        (
            "[docker a]\nhost = tcp://x:1\n[docker b]\nhost = tcp://y:1\n",
            "[docker b] ports: 8080-8089 are ports of [docker a], too",
        ),
        ("[docker a]\nhost = ssh://x\nports = 0-9\n", "[docker a] ports: expected ports from 1 on"),
        ("[docker a]\nhost = ssh://x\ngpus = all\n", "[docker a] gpus: expected to match"),
        ("[docker a]\nhost = ssh://x\nimage = y\n", "[docker a] image: unknown key"),
        (
            TWO + "[model m]\nrunner = swarm\nmodel_id = acme/m\nengine_host = gpu1\n",
            "engine_host: means nothing for runner = swarm, only for docker",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusals(tmp_path, text)


def test_engines_at_tcp_may_have_ports_of_their_own(tmp_path: Path) -> None:
    hosts = "[docker a]\nhost = tcp://x:1\n[docker b]\nhost = tcp://y:1\nports = 9000-9009\n"
    assert [*read(tmp_path, hosts).docker_engines] == ["a", "b"]
