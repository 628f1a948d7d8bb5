"""Read CSV: the first line names the columns, the delimiter is found out.

A file that we wrote is known by its column `set:name`. In it, cells that a spreadsheet would take
for a formula begin with an apostrophe, which is taken away again (`csv_text.py`).
"""

import csv
import io
import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from server.evaluation.files.csv_text import restored
from server.evaluation.files.rows import RESERVED, SET_KEYS, SET_PREFIX, Row, Rows
from server.evaluation.files.strict_json import RepeatedKey, read_strictly
from server.evaluation.problems import Problems
from server.evaluation.prompt_set import PROMPT_COLUMN

DELIMITERS: Final = ",;\t|"
_LOOKED_AT: Final = 50
_AS_JSON: Final = ("messages", "checks")
OUR_MARK: Final = f"{SET_PREFIX}name"


def read_csv(text: str, problems: Problems, *, max_rows: int) -> Rows:
    """Return the rows of a table; stops where quotes are wrong, as nothing after is certain."""
    # Raised only, for all threads: Python's own limit is 128 KiB for a cell.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    skipped, delimiter = stated_delimiter(text)
    body = text.split("\n", skipped)[-1] if skipped else text
    found = Rows(delimiter=delimiter or _sniffed(body))
    records = _records(body, found.delimiter or ",", problems, skipped)
    header = next(records, None)
    if header is None:
        if not problems.found:
            problems.add("the file is empty")
        return found
    is_ours = OUR_MARK in header[1]
    names = _names(header[1], is_ours, problems, header[0])
    found.columns = tuple(name for name in names if name and not name.startswith(SET_PREFIX))
    problems.order = [name or str(number) for number, name in enumerate(names, 1)]
    nameless: set[int] = set()
    for line, cells in records:
        if len(found.rows) >= max_rows:
            problems.add(f"there are more than {max_rows:,} prompts", line)
            break
        if row := _row(line, names, list(map(restored, cells)) if is_ours else cells, problems):
            for number in sorted(_unnamed(names, cells) - nameless):
                message = f"the column has no name, and line {line:,} has a text in it"
                problems.add(message, header[0], str(number))
                nameless.add(number)
            _take_common(row, found, problems)
            found.rows.append(row)
    return found


def stated_delimiter(text: str) -> tuple[int, str | None]:
    """Return what the line `sep=;`, which some spreadsheets write first, says."""
    first = text[:16].split("\n", 1)[0].rstrip("\r").strip('"')
    if first.startswith("sep=") and len(first) == 5 and first[4] in DELIMITERS:
        return 1, first[4]
    return 0, None


def first_records(text: str) -> list[list[str]]:
    """Return the first records of a text, by the delimiter that makes it most like a table."""
    return _records_by(text, _sniffed(text))


def _sniffed(text: str) -> str:
    """Return the delimiter by which the first records look most like a table."""
    return max(DELIMITERS, key=lambda delimiter: _likeness(text, delimiter))


def _records_by(text: str, delimiter: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[list[str]] = []
    with suppress(csv.Error):  # What stands before it says enough.
        records += (record for record in itertools.islice(reader, _LOOKED_AT) if record)
    return records


def _likeness(text: str, delimiter: str) -> tuple[bool, bool, float, int]:
    records = _records_by(text, delimiter)
    if not records:
        return False, False, 0.0, 0
    columns = len(records[0])
    known = {PROMPT_COLUMN, OUR_MARK, *RESERVED}
    has_known = any(name.strip().lower() in known for name in records[0])
    fitting = sum(len(record) == columns for record in records) / len(records)
    return has_known, columns > 1, fitting, columns


def _records(
    text: str, delimiter: str, problems: Problems, skipped: int
) -> Iterator[tuple[int, list[str]]]:
    """Give the records that are not empty, with the line that each begins in."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1 + skipped
        try:
            record = next(reader, None)
        except csv.Error as error:
            if "unexpected end" in str(error):
                problems.add("a quote is opened and never closed", line)
            else:
                problems.add(f"the quotes are wrong: {error}", reader.line_num + skipped)
            return
        if record is None:
            return
        if record:
            yield line, record


def _names(header: list[str], is_ours: bool, problems: Problems, line: int) -> list[str]:
    """Return the names of the columns; of one without a name, an empty one."""
    names: list[str] = []
    for cell in header:
        name = restored(cell) if is_ours else cell.strip()
        if not is_ours and name.lower() in {PROMPT_COLUMN, *RESERVED}:
            name = name.lower()
        if name and name in names:
            problems.add("there are two columns of this name", line, name)
        if name.startswith(SET_PREFIX) and name.removeprefix(SET_PREFIX) not in SET_KEYS:
            problems.add(f"no column may be called `{SET_PREFIX}…`", line, name)
        names.append(name)
    return names


def _row(line: int, names: list[str], cells: list[str], problems: Problems) -> Row | None:
    """Return the cells that are not empty, by column."""
    # Spreadsheets fill up with empty columns.
    if len(cells) > len(names) and not any(cells[len(names) :]):
        cells = cells[: len(names)]
    if len(cells) != len(names):
        missing = names[len(cells)] if len(cells) < len(names) else names[-1]
        problems.add(
            f"the line has {len(cells)} cells, and the header {len(names)}; a cell that contains"
            " the delimiter needs quotes",
            line,
            missing,
        )
        return None
    found: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=True):
        if name and cell:
            found[name] = _cell(name, cell, line, problems)
    return Row(line, found)


def _unnamed(names: list[str], cells: list[str]) -> set[int]:
    """Return the columns without a name that a line has a text in, numbered from 1."""
    several = zip(names, cells, strict=False)
    return {number for number, (name, cell) in enumerate(several, 1) if cell and not name}


def _cell(name: str, cell: str, line: int, problems: Problems) -> Any:
    if name in _AS_JSON or name == f"{SET_PREFIX}checks":
        return _json(name, cell, line, problems)
    if name == "tags":
        if cell.lstrip().startswith("["):
            return _json(name, cell, line, problems)
        return [tag.strip() for tag in cell.split(",") if tag.strip()]
    return cell


def _json(name: str, cell: str, line: int, problems: Problems) -> Any:
    try:
        return read_strictly(cell)
    except RepeatedKey as error:
        problems.add(f"the key {str(error)!r} is there twice", line, name)
    except ValueError as error:
        problems.add(f"the cell is no JSON: {error}", line, name)
    return None


def _take_common(row: Row, found: Rows, problems: Problems) -> None:
    """Move what is common to all prompts out of a row; sorting the table may have moved it."""
    for key in SET_KEYS:
        value = row.cells.pop(f"{SET_PREFIX}{key}", None)
        if value is None:
            continue
        if found.common.setdefault(key, value) != value:
            message = "another line says something else, and this is common to all"
            problems.add(message, row.line, f"{SET_PREFIX}{key}")
        elif found.common_line is None:
            found.common_line = row.line
