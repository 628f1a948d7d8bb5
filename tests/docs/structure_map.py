"""Write what `docs/PROJECT_STRUCTURE.md` takes from the code: lifecycle, floors and map.

The floors are those that the tests hold imports to, the map is the first sentence of every module.
`python -m tests.docs.structure_map` writes them anew; tests compare.
"""

import ast
import re
from pathlib import Path

from server.models.lifecycle.state import EVENTS, TRANSITIONS
from tests.structure.floors import APART, FLOORS

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "PROJECT_STRUCTURE.md"
HEADING = "## Floors\n"
LIFECYCLE = re.compile(r"(?<=<!-- lifecycle -->\n)(.*?)(?=<!-- /lifecycle -->)", re.DOTALL)


def render() -> str:
    """Return all that is written: the floors, then the map."""
    return "\n".join([HEADING, *_floors(), "", "## Map", "", _map()])


def _floors() -> list[str]:
    """Return a table of the floors from the top, and of what stands apart."""
    top = len(FLOORS) - 1
    rows = [
        f"| {top - depth} | {_places(*ps)} | {about} |" for depth, (ps, about) in enumerate(FLOORS)
    ]
    for name, apart in APART.items():
        what = (
            f"imports {_places(*apart.imports)} only" if apart.imports else "imports none of them"
        )
        rows.append(f"| | {_places(name)} | {apart.about}; {what} |")
    return [
        "A file imports from its own folder or from a lower floor, never in a circle; a test",
        "parses the imports. What is allowed stands in `tests/structure/floors.py`.",
        "",
        "| floor | folder | |",
        "|---|---|---|",
        *rows,
    ]


def _places(*parts: str) -> str:
    """Return where parts of `server/` are."""
    files = (f"server/{part}.py" for part in parts)
    return ", ".join(f"`{p}`" if (ROOT / p).exists() else f"`{p[:-3]}/`" for p in files)


def _map() -> str:
    """Return the map: a table per folder, a row per module, each in its own words."""
    parts = []
    folders = sorted({path.parent for path in (ROOT / "server").rglob("*.py")})
    for folder in folders:
        rows = [_row(path) for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        if rows:
            title = f"### `{folder.relative_to(ROOT).as_posix()}/`"
            about = _sentence(folder / "__init__.py")
            parts.append("\n".join([title, "", about, "", "| module | |", "|---|---|", *rows]))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def split_page() -> tuple[str, str]:
    """Return what somebody wrote, and what `render` wrote, as the page has them."""
    text = PAGE.read_text(encoding="utf-8")
    before, heading, after = text.partition(HEADING)
    return before, heading + after


def render_lifecycle() -> str:
    """Return the events of a model server's lifecycle, and the state that follows on each."""
    meanings = [f"| `{event}` | {meaning} |" for event, (_, meaning) in EVENTS.items()]
    head = "".join(f" {event} |" for event in EVENTS)
    rows = [
        f"| **{state}** |" + "".join(f" {follows.get(event, '')} |" for event in EVENTS)
        for state, follows in TRANSITIONS.items()
    ]
    lines = ["| event | |", "|---|---|", *meanings, "", f"| |{head}"]
    return "\n".join([*lines, "|---" * (len(EVENTS) + 1) + "|", *rows]) + "\n"


def _row(path: Path) -> str:
    return f"| `{path.relative_to(ROOT).as_posix()}` | {_sentence(path)} |"


def _sentence(path: Path) -> str:
    about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(about.split("\n\n")[0].split())


if __name__ == "__main__":
    text = LIFECYCLE.sub(lambda _: render_lifecycle(), split_page()[0])
    PAGE.write_text(text + render(), encoding="utf-8")
