"""How many replicas a model has, and where: what the settings take and refuse."""

from pathlib import Path

import pytest

from server.settings.loading import load
from server.settings.models import ModelSettings
from server.settings.values import Count, SettingsError, format_value
from tests.core.conftest import Write

OWN = "[model m]\nweights = /a.gguf\n"
DOCKER = "[model m]\nrunner = docker\nmodel_id = a/b\n"
REMOTE = "[model m]\nrunner = remote\n"
URLS = "urls = http://one:8000/v1, http://two:8000\n"


def model(path: Path) -> ModelSettings:
    return load(path, {}).models["m"]


@pytest.mark.parametrize(
    ("text", "count", "written"),
    [
        ("3", (3, 3), "3"),
        ("1-4", (1, 4), "1-4"),
        (" 2 - 2 ", (2, 2), "2"),
        ("100", (100, 100), "100"),
    ],
)
def test_a_number_of_replicas_or_a_range(
    write: Write, text: str, count: tuple[int, int], written: str
) -> None:
    replicas = model(write(f"{OWN}replicas = {text}\n")).replicas
    assert replicas == count
    assert isinstance(replicas, Count)
    assert format_value(replicas) == written


def test_without_a_word_there_is_one(write: Write) -> None:
    assert model(write(OWN)).replicas == (1, 1)


def test_several_addresses_are_in_place_of_one(write: Write) -> None:
    said = model(write(f"{REMOTE}{URLS}"))
    assert said.urls == ("http://one:8000/v1", "http://two:8000")


REFUSED = {
    "none": (f"{OWN}replicas = 0\n", "replicas", "at least 1"),
    "too many": (f"{OWN}replicas = 101\n", "replicas", "at most 100"),
    "a range from none": (f"{OWN}replicas = 0-4\n", "replicas", "at least 1"),
    "a range backwards": (f"{OWN}replicas = 4-1\n", "replicas", "a range such as 1-4"),
    "words": (f"{OWN}replicas = many\n", "replicas", "a whole number or a range"),
    "less than none": (f"{OWN}replicas = -1\n", "replicas", "a whole number or a range"),
    "of a remote server": (f"{REMOTE}url = http://one\nreplicas = 2\n", "replicas", "only for"),
    "both": (f"{REMOTE}url = http://one\n{URLS}", "urls", "together with `url`"),
    "one twice": (f"{REMOTE}urls = http://one:8000/v1, one:8000\n", "urls", "more than once"),
    "one under two names": (
        f"{REMOTE}urls = http://localhost:2, http://127.0.0.1:2\n", "urls", "port 2 of this",
    ),
    "a device twice": (f"{DOCKER}replicas = 2\ngpus = device=0,0\n", "gpus", "is there twice"),
    "a long number": (f"{OWN}replicas = {'9' * 5000}\n", "replicas", "a whole number or a range"),
    "no address": (f"{REMOTE}urls = http://one, ftp://two\n", "urls", "http://HOST:PORT"),
    "addresses of our own": (f"{OWN}{URLS}", "urls", "only for remote"),
    "affinity below none": (f"{OWN}affinity = -1\n", "affinity", "at least 0"),
    "devices": (f"{DOCKER}replicas = 2\ngpus = device=0,1,2\n", "gpus", "among 2 replicas"),
    "too few devices": (
        f"{DOCKER}replicas = 2\ngpus = device=0,1\nnum_shard = 2\n", "num_shard", "`gpus` gives 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "key", "said"), REFUSED.values(), ids=REFUSED)
def test_invalid_replicas_are_refused_with_their_section_and_key(
    write: Write, text: str, key: str, said: str
) -> None:
    path = write(text)
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: [model m] {key}: ")
    assert said in problem
