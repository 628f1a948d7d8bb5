"""What a file of prompts is, where nobody says it.

Rules:

1. A file that begins as JSON does is JSON Lines.
2. A table shows that it is one: its first line says the delimiter, or is a head. A head has a
   column that we know, or each of its columns is called as programs call them and all lines below
   fit it. Who names columns has a table, too.
3. All else is a prompt a line. A table that is taken for lines is seen in the first prompts; lines
   that are taken for a table lose the first of them.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final, Literal

from server.evaluation.files.csv_rows import OUR_MARK, first_records, stated_delimiter
from server.evaluation.files.rows import RESERVED
from server.evaluation.prompt_set import PROMPT_COLUMN

Form = Literal["lines", "csv", "jsonl"]

_KNOWN: Final = frozenset({PROMPT_COLUMN, OUR_MARK, *RESERVED})
# Beside others no sentence has them; where lines below do not fit, these are told.
_SURE: Final = frozenset({PROMPT_COLUMN, OUR_MARK})
# In a table of one column; the others say nothing of what is asked.
_ALONE: Final = frozenset({PROMPT_COLUMN, "messages"})
# A variable may stand first in a line, and so may a word in brackets.
_JSON: Final = re.compile(r'\s*(?:\{(?!\{)|\[\s*(?:[{"\]]|\Z))')
_IDENTIFIER: Final = re.compile(r"[^\W\d][\w-]*")
# Of the lines below a head that has known names; prose that begins with one of them has fewer.
_MOST: Final = 0.5


def form_of(text: str, named: Collection[str]) -> Form:
    """Return what a file is; `named` are the columns that the caller names."""
    if _JSON.match(text):
        return "jsonl"
    return "csv" if _is_table(text, named) else "lines"


def _is_table(text: str, named: Collection[str]) -> bool:
    _, delimiter = stated_delimiter(text)
    if delimiter is not None or any(name != PROMPT_COLUMN for name in named):
        return True
    records = first_records(text)
    if not records:
        return False
    names = [cell.strip() for cell in records[0]]
    known = {name.lower() for name in names} & _KNOWN
    if len(names) == 1:
        return bool(known & _ALONE)
    if known & _SURE:
        return True
    share = _fitting(records)
    if known:
        return share >= _MOST
    return share == 1 and len(records) > 1 and _are_identifiers(names)


def _fitting(records: Sequence[Sequence[str]]) -> float:
    """Return the share of the lines below the head that have as many cells."""
    below = records[1:]
    if not below:
        return 1.0
    return sum(len(record) == len(records[0]) for record in below) / len(below)


def _are_identifiers(names: Sequence[str]) -> bool:
    return len({*names}) == len(names) and all(map(_IDENTIFIER.fullmatch, names))
