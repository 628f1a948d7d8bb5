"""Imports go from a floor to a lower one, and never in a circle; each rule is shown to bite."""

from pathlib import Path

import pytest

from tests.structure.imports import Tree

ROOT = Path(__file__).resolve().parents[2]
NEEDS = [
    ("core", {"msgspec", "server"}),
    ("doctor", {"run", "server"}),
    ("client", {"aiohttp", "asyncio", "server"}),
    ("evaluation", {"asyncio", "jsonschema_rs", "msgspec", "re2", "server"}),
]
RUNNER = "class Some:\n    def start(): ...\n    def stop(): ...\n    def inspect(): ...\n"
RUNNER += "    def wait(): ...\n"
BASE = "from typing import Protocol\n" + RUNNER.replace("Some", "Runner(Protocol)")


@pytest.fixture(scope="module")
def ours() -> Tree:
    """Return the project's own modules."""
    return Tree(ROOT)


def small(root: Path, **files: str) -> Tree:
    """Return a tree of these files, each named by its dotted name below `server`."""
    for name, text in {"__init__": "", **files}.items():
        path = root / "server" / Path(*name.split("__in__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(root)


def test_every_part_has_a_floor(ours: Tree) -> None:
    assert not ours.parts_without_floor()


def test_a_part_without_a_floor_is_found(tmp_path: Path) -> None:
    assert small(tmp_path, core__in__a="", new__in__b="").parts_without_floor() == {"new"}


def test_imports_go_down(ours: Tree) -> None:
    assert not ours.upward_imports()


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("core__in__a", "server.settings.b"),
        ("dialects__in__a", "server.settings.b"),
        ("access__in__a", "server.archive.b"),
        ("web__in__a", "server.app"),
        ("client__in__a", "server.core.b"),
        ("chat__in__a", "server.engine.b"),
    ],
)
def test_an_import_that_does_not_go_down_is_found(
    tmp_path: Path, importer: str, imported: str
) -> None:
    """Also one inside a function."""
    module, _, name = imported.rpartition(".")
    text = f"def f():\n    from {module} import {name}\n"
    target = "__in__".join(imported.split(".")[1:])
    tree = small(tmp_path, **{importer: text, target: ""})
    assert tree.upward_imports() == [("server." + importer.replace("__in__", "."), imported)]


def test_a_relative_import_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="write the import in full"):
        small(tmp_path, core__in__a="from . import b", core__in__b="")


def test_there_is_no_circle(ours: Tree) -> None:
    assert not ours.circle(), " -> ".join(ours.circle())


def test_a_circle_is_found(tmp_path: Path) -> None:
    tree = small(
        tmp_path,
        core__in__a="import server.core.b",
        core__in__b="from server.core import c",
        core__in__c="from server.core.a import x",
    )
    assert set(tree.circle()) == {f"server.core.{name}" for name in "abc"}


@pytest.mark.parametrize(("part", "allowed"), NEEDS)
def test_part_needs_little(ours: Tree, part: str, allowed: set[str]) -> None:
    assert not ours.foreign_imports(part, allowed)


@pytest.mark.parametrize(("part", "allowed"), NEEDS)
def test_a_part_that_needs_more_is_found(tmp_path: Path, part: str, allowed: set[str]) -> None:
    text = "import json\nimport server\nimport jinja2.filters\n"
    tree = small(tmp_path, **{f"{part}__in__a": text, f"{part}s__in__a": text})
    assert tree.foreign_imports(part, allowed) == {(f"server.{part}.a", "jinja2.filters")}


def test_runners_are_siblings(ours: Tree) -> None:
    assert ours.runners() >= {"docker", "programs", "remote"}
    assert not ours.imports_between_runners()


def test_an_import_of_one_runner_from_another_is_found(tmp_path: Path) -> None:
    """Packages were not looked into, and one that was named did not exist."""
    tree = small(
        tmp_path,
        models__in__runners__in__base=BASE,
        models__in__runners__in__ports="",
        models__in__runners__in__one__in__runner=RUNNER,
        models__in__runners__in__one__in__helper="import server.models.runners.ports",
        models__in__runners__in__two=f"from server.models.runners.one import helper\n{RUNNER}",
        models__in__runners__in__all="import server.models.runners.two",
    )
    assert tree.runners() == {"one", "two"}
    found = ("server.models.runners.two", "server.models.runners.one.helper")
    assert tree.imports_between_runners() == [found]
