"""What files of both forms are read into, and written from."""

from dataclasses import dataclass, field
from typing import Any, Final

# Keys that are no variables.
RESERVED: Final = ("expected", "system", "messages", "checks", "tags")
# What is common to all prompts stands in columns of these names, in JSON Lines in a first line.
SET_KEYS: Final = ("name", "template", "system", "checks")
SET_PREFIX: Final = "set:"
HEADER_KEY: Final = "prompt_set"


@dataclass(frozen=True)
class Row:
    """Hold one line: its number in the file, from 1, and its cells by column or key."""

    line: int
    cells: dict[str, Any]


@dataclass
class Rows:
    """Hold what a file has: its lines, and what it says of all of them, with the line of that.

    `columns` are the names that a table declares; other files have none but what each line has.
    """

    rows: list[Row] = field(default_factory=list)
    columns: tuple[str, ...] | None = None
    common: dict[str, Any] = field(default_factory=dict)
    common_line: int | None = None
    delimiter: str | None = None
