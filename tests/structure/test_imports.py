"""Imports go from a floor to the same or a lower one, and never in a circle.

The floors are those of docs/PROJECT_STRUCTURE.md. All imports count, also those inside functions.
"""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {
    "core": 0,
    "settings": 0,
    "instance": 0,
    "dialects": 1,
    "access": 2,
    "archive": 2,
    "models": 2,
    "chat": 3,
    "web": 4,
    "logs": 5,
    "app": 6,
    "reload": 6,
    "__main__": 7,
}
# Programs and libraries of their own, which see only what is named.
APART = {
    "client": {"client"},
    "doctor": {"doctor", "settings"},
    "engine": {"core", "engine"},
}


def module_name(path: Path) -> str:
    """Return a file's dotted name; a package's `__init__` has the package's."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / "server").rglob("*.py"))}


def imports_of(path: Path) -> set[str]:
    """Return the dotted names of all that a file imports, modules of ours resolved."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import in full"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else str(node.module))
    return found


IMPORTS = {name: imports_of(path) for name, path in MODULES.items()}
EDGES = sorted(
    (importer, imported)
    for importer, several in IMPORTS.items()
    for imported in several
    if imported in MODULES and importer != "server" and imported != "server"
)


def part_of(module: str) -> str:
    return module.split(".")[1]


def test_every_part_has_a_floor() -> None:
    parts = {part_of(module) for module in MODULES if module != "server"}
    assert parts <= FLOORS.keys() | APART.keys()


def goes_down(importer: str, imported: str) -> bool:
    above, below = part_of(importer), part_of(imported)
    if not {above, below} <= FLOORS.keys():
        return below in APART.get(above, ())
    # The two parts of the lowest floor: settings are built from the core, never the other way.
    is_within_lowest = (above, below) == ("settings", "core")
    return above == below or FLOORS[below] < FLOORS[above] or is_within_lowest


def test_imports_go_down() -> None:
    assert not [edge for edge in EDGES if not goes_down(*edge)]


def test_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for importer, imported in EDGES:
        graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        ("server.core", {"msgspec", "server"}),
        ("server.doctor", {"run", "server"}),
        ("server.client", {"aiohttp", "asyncio", "server"}),
    ],
)
def test_part_needs_little(part: str, allowed: set[str]) -> None:
    known = (sys.stdlib_module_names - {"asyncio"}) | allowed
    outside = {
        (name, imported)
        for name, several in IMPORTS.items()
        if name.startswith(part)
        for imported in several
        if imported.split(".")[0] not in known
    }
    assert not outside


def test_runners_are_siblings() -> None:
    folder = "server.models.runners."
    runners = {f"{folder}{name}" for name in ("process", "docker", "remote", "swarm")}
    assert not [edge for edge in EDGES if runners.issuperset(edge)]
