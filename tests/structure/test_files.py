"""Files stay small and say what they are for; the page takes nothing from elsewhere as markup."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 300
PYTHON = sorted([*(ROOT / "server").rglob("*.py"), ROOT / "run.py"])
SCRIPTS = sorted((ROOT / "static").rglob("*.js"))
PAGE = sorted(
    path
    for folder in ("static", "templates")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".js", ".css", ".html", ".svg"}
)
# Ways for text to become markup or code.
MARKUP = re.compile(
    r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|createContextualFragment)\b"
    r"|\bdocument\.write|\beval\(|\bnew Function\(|\|\s*safe\b"
)
# Names of things, not places to fetch from.
NAMESPACES = ("http://www.w3.org/",)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*PYTHON, *SCRIPTS], ids=relative)
def test_file_is_one_thing(path: Path) -> None:
    count = len(path.read_text().splitlines())
    assert count <= MAX_LINES, f"{count} lines are more than one thing"


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_file_opens_with_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", PAGE, ids=relative)
def test_text_never_becomes_markup(path: Path) -> None:
    found = [line.strip() for line in path.read_text().splitlines() if MARKUP.search(line)]
    assert not found


@pytest.mark.parametrize("path", PAGE, ids=relative)
def test_page_asks_nobody_else(path: Path) -> None:
    bare = without_comments(path.read_text(), path.suffix)
    addresses = re.findall(r"""(?:https?:|wss?:)?//[\w$][^\s"'`)]*""", bare)
    assert not [address for address in addresses if not address.startswith(NAMESPACES)]


def without_comments(text: str, suffix: str) -> str:
    """Return a file without its comments, in which an address does no harm."""
    if suffix in {".html", ".svg"}:
        return re.sub(r"<!--.*?-->|\{#.*?#\}", "", text, flags=re.DOTALL)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"(?m)(^|\s)//.*$", "", text) if suffix == ".js" else text
