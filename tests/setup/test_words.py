"""What run.py understands and what it says of itself."""

import os
import subprocess
import sys

import pytest

import run
from tests.setup.conftest import ROOT


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words],
        text=True,
        capture_output=True,
        check=False,
        env=os.environ | {"COLUMNS": "100"},
    )


def test_help_names_every_verb_and_the_options_of_the_server() -> None:
    done = call("--help")
    assert done.returncode == 0
    verbs = ("run", "key", "test", "doctor", "bench", "model", "reload", "lock")
    for word in (*verbs, "--host", "--port", "--settings"):
        assert word in done.stdout


def test_help_of_test_names_its_options() -> None:
    done = call("test", "--help")
    assert done.returncode == 0
    assert "--system" in done.stdout
    assert "--no-skips" in done.stdout


@pytest.mark.parametrize("words", [("fly",), ("--prot", "1"), ("run", "--port", "x"), ("run", "x")])
def test_nonsense_is_refused_before_anything_happens(words: tuple[str, ...]) -> None:
    done = call(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: run.py")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("OSError: [Errno 28] No space left on device: 'x'\n", "the disk is full"),
        ("npm error code ENOTFOUND\nnpm error network request failed\n", "cannot be reached"),
        ("ERROR: No matching distribution found for x==1\n", "has nothing that fits"),
        ("[Errno 13] Permission denied: '/x/.venv'", "may not be written"),
        ("some text\nERROR: something nobody thought of\n", "something nobody thought of"),
    ],
)
def test_failure_is_one_line_with_the_mend(said: str, told: str) -> None:
    line = run.explain(said)
    assert "\n" not in line
    assert line.startswith("Set-up stopped: ")
    assert told in line
    assert "start again" in line
