"""What the modules of a tree import from each other, and what of it breaks the rules.

Each rule is a function that returns the offenders, so that it can be shown to find some.
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.structure.floors import APART, FLOOR_OF

RUNNERS = "server.models.runners."
# What every runner has (`server/models/runners/base.py`).
_RUNNER_METHODS = {"start", "stop", "inspect", "wait"}

Edge = tuple[str, str]


class Tree:
    """The modules under ROOT/server; all imports count, also those inside functions."""

    def __init__(self, root: Path) -> None:
        """Parse the files; raises `AssertionError` for a relative import."""
        files = sorted((root / "server").rglob("*.py"))
        self.modules = {_module_name(path.relative_to(root)): path for path in files}
        self._syntax = {
            name: ast.parse(path.read_text(), str(path)) for name, path in self.modules.items()
        }
        self.imports = {name: self._imports_of(name) for name in self.modules}
        self.edges = sorted(
            (importer, imported)
            for importer, several in self.imports.items()
            for imported in several
            if imported in self.modules and importer != "server" and imported != "server"
        )

    def _imports_of(self, name: str) -> set[str]:
        """Return the dotted names of all that a module imports, modules of ours resolved."""
        found: set[str] = set()
        for node in ast.walk(self._syntax[name]):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name}:{node.lineno}: write the import in full"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found.add(inner if inner in self.modules else str(node.module))
        return found

    def parts_without_floor(self) -> set[str]:
        """Return the parts of `server/` that floors.py does not name."""
        parts = {part_of(module) for module in self.modules if module != "server"}
        return parts - FLOOR_OF.keys() - APART.keys()

    def upward_imports(self) -> list[Edge]:
        """Return the imports from a higher floor, from a sibling part, or from a part apart."""
        return [edge for edge in self.edges if not _goes_down(*edge)]

    def circle(self) -> list[str]:
        """Return modules that import each other in a circle, empty if there is none."""
        graph: dict[str, set[str]] = {}
        for importer, imported in self.edges:
            graph.setdefault(importer, set()).add(imported)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            return list(error.args[1])
        return []

    def foreign_imports(self, part: str, allowed: set[str]) -> set[Edge]:
        """Return what a part imports beside the standard library and what is allowed."""
        known = (sys.stdlib_module_names - {"asyncio"}) | allowed
        return {
            (name, imported)
            for name, several in self.imports.items()
            if f"{name}.".startswith(f"server.{part}.")
            for imported in several
            if imported.split(".")[0] not in known
        }

    def runners(self) -> set[str]:
        """Return the modules and packages beside `runners/base.py` that hold a runner."""
        return {
            _child(name)
            for name, syntax in self._syntax.items()
            if name.startswith(RUNNERS) and any(_runner_classes(syntax))
        }

    def imports_between_runners(self) -> list[Edge]:
        """Return the imports of one runner from another."""
        runners = self.runners()
        return [
            (importer, imported)
            for importer, imported in self.edges
            if importer.startswith(RUNNERS) and imported.startswith(RUNNERS)
            if {_child(importer), _child(imported)} <= runners
            and _child(importer) != _child(imported)
        ]


def part_of(module: str) -> str:
    """Return the part of `server/` that a module belongs to."""
    return module.split(".")[1]


def _module_name(path: Path) -> str:
    """Return a file's dotted name; a package's `__init__` has the package's."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _goes_down(importer: str, imported: str) -> bool:
    above, below = part_of(importer), part_of(imported)
    if above == below:
        return True
    if above in APART:
        return below in APART[above].imports
    return below in FLOOR_OF and FLOOR_OF[below] < FLOOR_OF[above]


def _child(module: str) -> str:
    return module.removeprefix(RUNNERS).split(".")[0]


def _runner_classes(syntax: ast.Module) -> Iterator[ast.ClassDef]:
    """Give the classes with a runner's methods; the protocol itself is none."""
    for node in syntax.body:
        if isinstance(node, ast.ClassDef):
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            methods = {item.name for item in node.body if isinstance(item, functions)}
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            if methods >= _RUNNER_METHODS and "Protocol" not in bases:
                yield node
