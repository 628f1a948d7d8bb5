"""The threat model names a test for each row, and there are these tests."""

import ast
import re

import pytest

from server.settings.document import ROOT

TEXT = (ROOT / "docs" / "SECURITY.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!threat ).*", TEXT, re.MULTILINE)


def names_in(path: str) -> set[str]:
    """Return the names of a file's tests."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" | ")[0].strip("| ")[:60])
def test_every_threat_names_a_test_that_there_is(row: str) -> None:
    _, what, done, shown, _ = row.split("|")
    assert what.strip()
    assert done.strip()
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", shown)
    assert named
    assert len(named) == shown.count("::")
    for path, name in named:
        assert name in names_in(path), f"{path} has no {name}"


def test_the_docker_socket_has_its_section_with_the_policy() -> None:
    section = TEXT.partition("\n## The Docker socket\n")[2].partition("\n## ")[0]
    assert "run.py doctor --policy" in section
    assert "test_docker_doctor.py::test_the_policy" in section
