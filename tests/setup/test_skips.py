"""What is skipped for want of something is listed with the command that brings it in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.setup.conftest import ROOT

TESTS = """
import pytest

@pytest.mark.needs_docker
def test_container():
    raise AssertionError("started without an engine")

def test_simple():
    pass
"""
WITHOUT_SSHD = """
import shutil

which = shutil.which
shutil.which = lambda name, **words: None if name == "sshd" else which(name, **words)
"""
XFAIL = """
import pytest

@pytest.mark.xfail
def test_some_day():
    raise AssertionError
"""


def run_pytest(tests: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a file of tests with the project's plugin and settings, but without a Docker engine."""
    file = folder / "test_some.py"
    file.write_text(tests)
    plugin = ["-p", "tests.conftest", "-p", "no:cacheprovider"]
    configuration = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, *configuration, *words, file],
        cwd=ROOT,
        env=os.environ | {"DOCKER_HOST": "unix:///nowhere/docker.sock"},
        text=True,
        capture_output=True,
        check=False,
    )


def test_missing_engine_skips_and_names_the_command(tmp_path: Path) -> None:
    done = run_pytest(TESTS, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout
    assert "a Docker engine is missing here" in done.stdout
    assert "python3 run.py test --system" in done.stdout


@pytest.mark.needs_docker
def test_an_engine_without_sshd_skips_and_names_what_is_missing(tmp_path: Path) -> None:
    """The tests of engines on other machines ended in an error that named no package."""
    (tmp_path / "without_sshd.py").write_text(WITHOUT_SSHD)
    words = ["-k", "ssh", "-p", "without_sshd", "tests/docker/test_docker_host.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "3 skipped" in done.stdout
    assert "OpenSSH (client and server) is missing here" in done.stdout
    assert "python3 run.py test --system" in done.stdout


def test_no_skips_fails_what_is_missing(tmp_path: Path) -> None:
    done = run_pytest(TESTS, tmp_path, "--no-skips")
    assert done.returncode == 1
    assert "1 passed, 1 error" in done.stdout or "1 failed, 1 passed" in done.stdout
    assert "with --no-skips this may not be left out" in done.stdout


def test_no_skips_fails_what_is_expected_to_fail(tmp_path: Path) -> None:
    done = run_pytest(XFAIL, tmp_path, "--no-skips")
    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_no_skips_fails_a_module_that_leaves_itself_out(tmp_path: Path) -> None:
    text = "import pytest\npytest.skip('not today', allow_module_level=True)"
    done = run_pytest(text, tmp_path, "--no-skips")
    assert done.returncode != 0
    assert "not today" in done.stdout


def test_failed_test_shows_the_log_it_kept(tmp_path: Path) -> None:
    text = (
        "def test_it(keep_log, tmp_path):\n"
        "    (tmp_path / 'log').write_text('the last words')\n"
        "    keep_log('the server', tmp_path / 'log')\n"
        "    assert False\n"
    )
    done = run_pytest(text, tmp_path)
    assert "log of the server" in done.stdout
    assert "the last words" in done.stdout


@pytest.mark.parametrize("what", ["Node.js with npm", "Chromium"])
def test_system_without_apt_says_what_to_install(what: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.system"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert what in line
