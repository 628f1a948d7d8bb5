"""The doctor on models that are commands, and on the images that models need."""

import sys
from pathlib import Path

from server.doctor.commands import check_commands
from server.doctor.findings import Wanted
from server.doctor.known import known_commands
from server.settings.containers import image_of
from server.settings.loading import load

SETTINGS = """\
[model there]
runner = command
command = {python} -m http.server {{port}}

[model gone]
runner = command
command = no-such-server --port {{port}}

[model own-path]
runner = command
command = mine --port {{port}}
env = PATH={folder}

[model brief]
base = there

[check units]
command = no-such-check --strict

[check own-path]
command = mine
env = PATH={folder}

[model vllm]
runner = docker
engine = vllm
model_id = o/n
"""


def read(tmp_path: Path) -> Wanted:
    path = tmp_path / "settings.ini"
    path.write_text(SETTINGS.format(python=sys.executable, folder=tmp_path))
    settings = load(path, {})
    models = settings.models.values()
    containers = [one for one in models if one.runner == "docker"]
    return Wanted(
        commands=known_commands(settings),
        images=frozenset(image_of(one, settings.docker) for one in containers),
    )


def test_a_program_that_is_not_there_is_named_with_its_model(tmp_path: Path) -> None:
    wanted = read(tmp_path)
    found = check_commands(wanted)
    assert found.level == "warn"
    assert "[model gone] no-such-server is not there" in found.seen
    assert "[model own-path] mine" in found.seen
    assert "[check units] no-such-check is not there" in found.seen
    assert "[check own-path] mine" in found.seen
    assert "[model there]" not in found.seen
    assert "`command`" in found.mend


def test_a_program_is_looked_for_where_its_model_says(tmp_path: Path) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert "own-path" not in check_commands(read(tmp_path)).seen


def test_without_commands_there_is_nothing_to_say() -> None:
    assert check_commands(Wanted()).level == "ok"


def test_an_engines_own_image_is_one_that_is_needed(tmp_path: Path) -> None:
    assert read(tmp_path).images == {"vllm/vllm-openai:v0.32.0"}
