"""Read a file of prompts, CSV, JSON Lines or a prompt a line, into a prompt set."""

import sys
from dataclasses import dataclass
from typing import Final

from server.evaluation.files.building import Common, PromptLimits, build
from server.evaluation.files.csv_rows import read_csv
from server.evaluation.files.decoding import decode
from server.evaluation.files.detection import Form, form_of
from server.evaluation.files.json_rows import read_json_lines
from server.evaluation.files.line_rows import read_lines
from server.evaluation.problems import Problem, collected, invalid
from server.evaluation.prompt_set import PromptSet
from server.evaluation.templates import variables_of

_READERS: Final = {"lines": read_lines, "csv": read_csv, "jsonl": read_json_lines}
DEFAULT_LIMITS = PromptLimits()
NOTHING_COMMON = Common()
_NO_LIMITS = PromptLimits(sys.maxsize, sys.maxsize, sys.maxsize)


@dataclass(frozen=True)
class PromptFile:
    """Hold what was read, and how: worth showing, as an encoding may have been guessed wrong."""

    prompt_set: PromptSet
    form: Form
    encoding: str
    delimiter: str | None


def read_prompts(
    data: bytes,
    *,
    form: Form | None = None,
    common: Common = NOTHING_COMMON,
    limits: PromptLimits = DEFAULT_LIMITS,
) -> PromptFile:
    """Read a file; without a form, it is what it looks like (`detection.py`).

    Takes up to a few seconds for the largest file: call it in a thread. Raises `InvalidPromptSet`
    with up to 20 problems, each in its line and column.
    """
    if len(data) > limits.max_bytes:
        message = f"the file has {len(data):,} bytes, more than {limits.max_bytes:,}"
        raise invalid([Problem(message)])
    text, encoding = decode(data)
    if form is None:
        form = form_of(text, _named(common))
    with collected() as problems:
        rows = _READERS[form](text, problems, max_rows=limits.max_prompts)
        if rows.rows or not problems.found:
            prompt_set = build(rows, common, limits, problems)
    return PromptFile(prompt_set, form, encoding, rows.delimiter)


def _named(common: Common) -> list[str]:
    """Return the columns that a caller names."""
    own = [common.prompt_column] if common.prompt_column else []
    return [*own, *variables_of(common.template or "")]


def read_written(body: str) -> PromptSet:
    """Return the set that `write_json_lines` wrote; call it in a thread.

    Without limits: they may be lower today, and what is written is longer than what was read.
    """
    return read_prompts(body.encode(), form="jsonl", limits=_NO_LIMITS).prompt_set
