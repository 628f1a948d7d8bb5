"""Files stay small and say what they are for; the page takes nothing from elsewhere as markup."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

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


def offenders(paths: list[Path], is_wrong: Callable[[str, Path], object]) -> list[str]:
    """Return the files for which `is_wrong(text, path)` finds something, with what it found."""
    found = [(path, is_wrong(path.read_text(), path)) for path in paths]
    return [f"{path.relative_to(ROOT)}: {wrong}" for path, wrong in found if wrong]


def test_every_file_is_one_thing() -> None:
    def too_long(text: str, _: Path) -> int:
        count = len(text.splitlines())
        return count if count > MAX_LINES else 0

    assert not offenders([*PYTHON, *SCRIPTS], too_long)


def test_every_file_opens_with_what_it_is_for() -> None:
    assert not offenders(PYTHON, lambda text, _: ast.get_docstring(ast.parse(text)) is None)


def test_text_never_becomes_markup() -> None:
    assert not offenders(PAGE, lambda text, _: MARKUP.findall(text))


def test_page_asks_nobody_else() -> None:
    def addresses(text: str, path: Path) -> list[str]:
        found = re.findall(r"""(?:https?:|wss?:)?//[\w$][^\s"'`)]*""", bare(text, path.suffix))
        return [address for address in found if not address.startswith(NAMESPACES)]

    assert not offenders(PAGE, addresses)


def bare(text: str, suffix: str) -> str:
    """Return a file without its comments, in which an address does no harm."""
    if suffix in {".html", ".svg"}:
        return re.sub(r"<!--.*?-->|\{#.*?#\}", "", text, flags=re.DOTALL)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"(?m)(^|\s)//.*$", "", text) if suffix == ".js" else text
