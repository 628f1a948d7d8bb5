"""What is installed is pinned, hashed, explained, and tied to no particular place."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-test.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(lock: str) -> dict[str, str]:
    """Return each package's pin with its marker and hashes, by the package's name."""
    text = (ROOT / lock).read_text()
    return {entry.split("==")[0]: entry for entry in re.split(r"\n(?=\S)", text) if "==" in entry}


def name_of(requirement: str) -> str:
    name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
    return name.lower().replace("_", "-")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes(lock: str) -> None:
    assert pins(lock)
    assert not [name for name, pin in pins(lock).items() if "--hash=sha256:" not in pin]


@pytest.mark.parametrize("file", [*LOCKS, "pyproject.toml", "package.json", "package-lock.json"])
def test_no_address_is_written_down(file: str) -> None:
    text = (ROOT / file).read_text()
    assert not re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links|\bfile:", text)


def test_test_lock_holds_all_of_the_other() -> None:
    run, test = (
        {name: re.sub(r"\s+#.*", "", pin) for name, pin in pins(lock).items()} for lock in LOCKS
    )
    assert run.items() <= test.items()


def test_locks_hold_what_the_project_asks_for() -> None:
    wanted = PROJECT["project"]["dependencies"]
    assert {name_of(requirement) for requirement in wanted} <= pins(LOCKS[0]).keys()
    wanted = PROJECT["dependency-groups"]["test"]
    assert {name_of(requirement) for requirement in wanted} <= pins(LOCKS[1]).keys()


def test_every_dependency_of_the_server_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    lines = text[text.index("\ndependencies = ") : text.index("\n[dependency-groups]")].splitlines()
    for requirement in PROJECT["project"]["dependencies"]:
        (number,) = (number for number, line in enumerate(lines) if f'"{requirement}"' in line)
        assert lines[number - 1].lstrip().startswith("#"), requirement


def test_page_tools_are_pinned_by_hash() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert all("integrity" in package for name, package in packages.items() if name)
