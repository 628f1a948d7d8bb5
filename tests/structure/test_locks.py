"""What is installed is pinned, hashed, explained, and tied to no particular place."""

import itertools
import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN, TEST = "requirements.lock", "requirements-test.lock"
PROJECT = (ROOT / "pyproject.toml").read_text()
ASKED = tomllib.loads(PROJECT)
ASKED_TO_RUN = ASKED["project"]["dependencies"]
ASKED_TO_TEST = ASKED["dependency-groups"]["test"]
PIN = "some-package==1.0 \\\n    --hash=sha256:abc\n    # via this\n"


def read(name: str) -> str:
    return (ROOT / name).read_text()


def pins(text: str) -> dict[str, str]:
    """Return each package's pin with its marker and hashes, by the package's name."""
    return {entry.split("==")[0]: entry for entry in re.split(r"\n(?=\S)", text) if "==" in entry}


def unhashed(text: str) -> list[str]:
    """Return the packages that a lock file pins without a hash."""
    return [name for name, pin in pins(text).items() if "--hash=sha256:" not in pin]


def addresses(text: str) -> list[str]:
    """Return the places that a file has packages fetched from."""
    text = re.sub(r'"funding": \{[^}]*\}', "", text)  # nothing is fetched from there
    return re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links|\bfile:", text)


def missing(requirements: Iterable[str], lock: str) -> set[str]:
    """Return what is asked for and not pinned."""
    names = (re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in requirements)
    return {name.lower().replace("_", "-") for name in names} - pins(lock).keys()


def pinned_otherwise(lock: str, other: str) -> set[str]:
    """Return what the first file pins, and the other does not, or differently."""
    one, two = (
        {name: re.sub(r"\s+#.*", "", pin).strip() for name, pin in pins(text).items()}
        for text in (lock, other)
    )
    return {name for name, pin in one.items() if two.get(name) != pin}


def unexplained(project: str) -> list[str]:
    """Return the server's dependencies without a comment in the line above."""
    lines = project[project.index("\ndependencies = ") :].partition("\n]")[0].splitlines()[1:]
    return [
        line
        for above, line in itertools.pairwise(lines)
        if not line.lstrip().startswith("#") and not above.lstrip().startswith("#")
    ]


def without_integrity(package_lock: dict[str, Any]) -> list[str]:
    """Return the npm packages that are pinned without a hash."""
    packages = package_lock["packages"]
    return [name for name, one in packages.items() if name and not one.get("integrity")]


@pytest.mark.parametrize("lock", [RUN, TEST])
def test_every_pin_has_hashes(lock: str) -> None:
    assert pins(read(lock))
    assert not unhashed(read(lock))


def test_a_pin_without_a_hash_is_found() -> None:
    assert unhashed(f"{PIN}other==2.0\n    # via that\n") == ["other"]


@pytest.mark.parametrize("file", [RUN, TEST, "pyproject.toml", "package.json", "package-lock.json"])
def test_no_address_is_written_down(file: str) -> None:
    assert not addresses(read(file))


@pytest.mark.parametrize(
    "line",
    [
        "--index-url elsewhere",
        "--extra-index-url elsewhere",
        "--find-links here",
        "a @ file:../a",
        '"resolved": "https://registry.example/a.tgz"',
    ],
)
def test_an_address_is_found(line: str) -> None:
    assert addresses(f"{PIN}{line}\n")


def test_test_lock_holds_all_of_the_other() -> None:
    assert not pinned_otherwise(read(RUN), read(TEST))


def test_a_different_pin_is_found() -> None:
    assert pinned_otherwise(PIN, PIN.replace("via this", "via that")) == set()
    for other in ("", PIN.replace("1.0", "1.1"), PIN.replace("abc", "abd")):
        assert pinned_otherwise(PIN, other) == {"some-package"}


def test_locks_hold_what_the_project_asks_for() -> None:
    assert not missing(ASKED_TO_RUN, read(RUN))
    assert not missing(ASKED_TO_TEST, read(TEST))


def test_a_dependency_without_a_pin_is_found() -> None:
    assert missing(["Some_Package>=1", "other[extra]>=2; sys_platform"], PIN) == {"other"}


def test_every_dependency_of_the_server_says_why() -> None:
    assert not unexplained(PROJECT)


def test_a_dependency_without_a_reason_is_found() -> None:
    text = PROJECT.replace("\ndependencies = [", '\ndependencies = [\n    "other>=1",')
    assert unexplained(text) == ['    "other>=1",']


def test_page_tools_are_pinned_by_hash() -> None:
    assert not without_integrity(json.loads(read("package-lock.json")))


def test_a_page_tool_without_a_hash_is_found() -> None:
    packages = {"": {}, "node_modules/a": {"integrity": "sha512-x"}, "node_modules/b": {}}
    assert without_integrity({"packages": packages}) == ["node_modules/b"]
