"""The checks that other programs make: style, types, the page's own tests."""

import subprocess
import sys
import tomllib
from collections.abc import Iterable
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


# mypy without a cache, or all tests of the page, on a machine that does other things too.
SLOW = pytest.mark.timeout(1200)
RUFF = (sys.executable, "-m", "ruff")
LINT = (*RUFF, "check", "--quiet", "--output-format=concise")
FORMAT = (*RUFF, "format", "--check", "--quiet")
TYPES = (sys.executable, "-m", "mypy", "--no-error-summary")
PAGE_TYPES = ("node", str(ROOT / "node_modules/typescript/bin/tsc"))
PAGE_TESTS = ("node", "--test", "--test-reporter=tap")
BIOME = ("node", str(ROOT / "node_modules/@biomejs/biome/bin/biome"))
# Style too, once `formatter.enabled` in biome.json says so: see docs/decisions/008-checks.md.
PAGE_LINT = (*BIOME, "check", "--config-path=.", "--error-on-warnings")
# Nested and branching: more than a function may be.
TANGLED = '"""Do too much."""\n\n\ndef act(x: int) -> None:\n    """Act."""\n'
TANGLED += "".join(f"    if x > {number}:\n        print(x)\n" for number in range(20))


def test_ruff_finds_nothing() -> None:
    check(*LINT, ".")


def test_code_is_formatted() -> None:
    check(*FORMAT, ".")


@SLOW
def test_types_hold() -> None:
    check(*TYPES)


def unchecked(files: Iterable[Path]) -> list[str]:
    """Return the files, relative to the project's folder, that mypy leaves out."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    checked = [Path(name) for name in settings["tool"]["mypy"]["files"]]
    return [str(file) for file in files if not any(map(file.is_relative_to, checked))]


def test_types_are_checked_everywhere() -> None:
    listed = subprocess.run(
        ("git", "ls-files", "*.py"), cwd=ROOT, text=True, capture_output=True, check=True
    )
    assert unchecked(map(Path, listed.stdout.splitlines())) == []


def test_a_folder_without_checked_types_is_found() -> None:
    assert unchecked([Path("server/core/errors.py"), Path("tools/act.py")]) == ["tools/act.py"]


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        (LINT, '"""Do."""\n\nimport json\n', "F401"),
        (LINT, '"""Do."""\n\n\ndef act() -> None:\n    act()\n', "D103"),
        (LINT, TANGLED, "C901"),
        (FORMAT, '"""Do."""\nx=1\n', "act.py"),
        (TYPES, '"""Do."""\n\n\ndef act():  # no types\n    """Act."""\n', "no-untyped-def"),
    ],
)
def test_linters_find_errors(
    tmp_path: Path, command: tuple[str, ...], text: str, said: str
) -> None:
    file = tmp_path / "act.py"
    file.write_text(text)
    config = "--config-file" if command is TYPES else "--config"
    with pytest.raises(pytest.fail.Exception, match=said):
        check(*command, config, ROOT / "pyproject.toml", file)


@SLOW
@pytest.mark.needs_node
@pytest.mark.timeout(600)  # a minute on a quiet machine
def test_types_of_the_page_hold() -> None:
    check(*PAGE_TYPES, "--project", "tests/js")


@pytest.mark.needs_node
def test_nothing_is_found_in_the_page() -> None:
    check(*PAGE_LINT, "static", "tests/js")


@pytest.mark.needs_node
@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ((*PAGE_TYPES, "--checkJs", "--noEmit"), "export const x = 'a' * 2;\n", "TS2362"),
        (PAGE_LINT, "if (x === 1) debugger;\n", "noDebugger"),
        ((*PAGE_LINT, "--formatter-enabled=true"), "let x=1;\n", "format"),
    ],
)
def test_linters_find_errors_in_a_page(
    tmp_path: Path, command: tuple[str, ...], text: str, said: str
) -> None:
    file = tmp_path / "static" / "act.js"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(pytest.fail.Exception, match=said):
        check(*command, file)


@SLOW
@pytest.mark.needs_node
@pytest.mark.timeout(900)  # a minute on a quiet machine
def test_page_modules_pass_their_own_tests() -> None:
    assert JS_TESTS, "tests/js holds no *.test.js"
    check(*PAGE_TESTS, *JS_TESTS)


@pytest.mark.needs_node
@pytest.mark.parametrize("body", ["assert.equal(1, 2);", "await missing();"])
def test_a_failing_test_of_the_page_is_found(tmp_path: Path, body: str) -> None:
    file = tmp_path / "act.test.js"
    imports = "const assert = require('node:assert');\nconst test = require('node:test');\n"
    file.write_text(f"{imports}test('acts', async () => {{ {body} }});\n")
    with pytest.raises(pytest.fail.Exception, match="not ok 1 - acts"):
        check(*PAGE_TESTS, file)
