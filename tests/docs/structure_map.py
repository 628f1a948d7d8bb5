"""Write the map in `docs/PROJECT_STRUCTURE.md` from the first sentence of every module.

`python -m tests.docs.structure_map` writes it anew; a test compares.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "PROJECT_STRUCTURE.md"
HEADING = "## Map\n"


def render_map() -> str:
    """Return the map: a table per folder, a row per module, each in its own words."""
    parts = [HEADING]
    folders = sorted({path.parent for path in (ROOT / "server").rglob("*.py")})
    for folder in folders:
        rows = [_row(path) for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        if rows:
            title = f"### `{folder.relative_to(ROOT).as_posix()}/`"
            about = _sentence(folder / "__init__.py")
            parts.append("\n".join([title, "", about, "", "| module | |", "|---|---|", *rows]))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def split_page() -> tuple[str, str]:
    """Return what stands before the map, and the map as the page has it."""
    text = PAGE.read_text(encoding="utf-8")
    before, heading, after = text.partition(HEADING)
    return before, heading + after


def _row(path: Path) -> str:
    return f"| `{path.relative_to(ROOT).as_posix()}` | {_sentence(path)} |"


def _sentence(path: Path) -> str:
    about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(about.split("\n\n")[0].split())


if __name__ == "__main__":
    PAGE.write_text(split_page()[0] + render_map(), encoding="utf-8")
