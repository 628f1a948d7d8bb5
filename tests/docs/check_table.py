"""The table of checks in docs/EVALUATE.md, made from their declarations.

`python -m tests.docs.check_table` writes it; a test compares the two.
"""

import re
from pathlib import Path
from typing import Final, get_args

import msgspec

from server.evaluation.checks.declarations import Check

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "EVALUATE.md"
_TABLE: Final = re.compile(r"(?<=<!-- checks -->\n).*?(?=<!-- /checks -->)", re.DOTALL)


def render() -> str:
    """Return a row for each type of check: its fields, and when an answer passes."""
    rows = ["| `type` | fields | passes if |", "|---|---|---|"]
    for one in get_args(Check):
        about = " ".join(one.__doc__.split()).removesuffix(".")
        rows.append(f"| `{one.__struct_config__.tag}` | {_fields(one)} | {about} |")
    return "\n".join(rows) + "\n"


def with_table(page: str) -> str:
    """Return the page with the table of today."""
    return _TABLE.sub(lambda _: render(), page)


def _fields(check: type[msgspec.Struct]) -> str:
    words = []
    for field in msgspec.structs.fields(check):
        value = field.default
        if value is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
            value = field.default_factory()
        is_set = not field.required and value is not None
        default = f" ({msgspec.json.encode(value).decode()})" if is_set else ""
        words.append(f"`{field.name}`{default}")
    return ", ".join(words)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
