"""The checks that other programs make: style, types, the page's own tests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JS_TESTS = sorted((ROOT / "tests/js").rglob("*.test.js"))


def check(*command: str | Path) -> None:
    """Run a checker in the project's folder; the test fails with all that it says."""
    done = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}", pytrace=False)


def test_ruff_finds_nothing() -> None:
    check(sys.executable, "-m", "ruff", "check", "--quiet", "--output-format=concise", ".")


def test_code_is_formatted() -> None:
    check(sys.executable, "-m", "ruff", "format", "--check", "--quiet", ".")


def test_types_hold() -> None:
    check(sys.executable, "-m", "mypy", "--no-error-summary")


@pytest.mark.needs_node
def test_types_of_the_page_hold() -> None:
    check("node", ROOT / "node_modules/typescript/bin/tsc", "--project", "tests/js")


@pytest.mark.needs_node
def test_page_modules_pass_their_own_tests() -> None:
    assert JS_TESTS, "tests/js holds no *.test.js"
    check(str(shutil.which("node")), "--test", *JS_TESTS)
