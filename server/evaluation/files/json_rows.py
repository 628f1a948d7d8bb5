"""Read JSON Lines: an object in each line; the first may say what is common to all."""

from typing import Any

from server.evaluation.files.rows import HEADER_KEY, SET_KEYS, Row, Rows
from server.evaluation.files.strict_json import RepeatedKey, read_strictly
from server.evaluation.problems import Problems


def read_json_lines(text: str, problems: Problems, *, max_rows: int) -> Rows:
    """Return the objects of a file; blank lines count, and are nothing else."""
    found = Rows()
    is_first = True
    # At line feeds only: strings may hold other characters that end lines elsewhere.
    for line, written in enumerate(text.split("\n"), 1):
        if not written.strip():
            continue
        cells = _object(written, line, problems)
        if cells is not None:
            if is_first and HEADER_KEY in cells:
                _take_common(cells, line, found, problems)
            elif HEADER_KEY in cells:
                problems.add("what is common to all stands in the first line", line, HEADER_KEY)
            elif len(found.rows) >= max_rows:
                problems.add(f"there are more than {max_rows:,} prompts", line)
                break
            else:
                found.rows.append(Row(line, cells))
        is_first = False
    if is_first:
        problems.add("the file is empty")
    return found


def _object(written: str, line: int, problems: Problems) -> dict[str, Any] | None:
    try:
        value = read_strictly(written)
    except RepeatedKey as error:
        problems.add("the key is there twice", line, str(error))
    except ValueError as error:
        problems.add(f"the line is no JSON: {error}", line)
    else:
        if isinstance(value, dict):
            return value
        hint = "; write one object a line, without brackets around" if line == 1 else ""
        problems.add(f"the line is no object{hint}", line)
    return None


def _take_common(cells: dict[str, Any], line: int, found: Rows, problems: Problems) -> None:
    common = cells[HEADER_KEY]
    for key in cells.keys() - {HEADER_KEY}:
        problems.add("a line of what is common to all has no prompt", line, key)
    if not isinstance(common, dict):
        problems.add("what is common to all is an object", line, HEADER_KEY)
        return
    for key in common.keys() - {*SET_KEYS, "version"}:
        problems.add(f"there is no such key; there are {', '.join(SET_KEYS)}", line, key)
    found.common = {key: common[key] for key in SET_KEYS if key in common}
    found.common_line = line
