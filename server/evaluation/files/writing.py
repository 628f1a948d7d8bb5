"""Write a prompt set as JSON Lines or CSV; both are read again to the same version."""

import csv
import io
from typing import Any, Final

from server.evaluation.checks.reading import as_data
from server.evaluation.files.csv_text import defused
from server.evaluation.files.rows import HEADER_KEY, RESERVED, SET_KEYS, SET_PREFIX
from server.evaluation.prompt_set import Prompt, PromptSet, canonical, prompt_data
from server.evaluation.templates import variables_of

# Spreadsheets take a file without it for Windows-1252.
_MARK: Final = "\ufeff"


def write_json_lines(prompt_set: PromptSet) -> bytes:
    """Return a line of what is common to all, and a line for each prompt."""
    lines = [canonical({HEADER_KEY: common_data(prompt_set)})]
    lines += [canonical(row_data(prompt_set, prompt)) for prompt in prompt_set.prompts]
    return "".join(f"{line}\n" for line in lines).encode()


def common_data(prompt_set: PromptSet) -> dict[str, Any]:
    """Return what is common to all prompts, as the first line of JSON Lines has it."""
    return {**_common(prompt_set), "version": prompt_set.version}


def row_data(prompt_set: PromptSet, prompt: Prompt) -> dict[str, Any]:
    """Return a prompt of a set as a line of JSON Lines has it."""
    data = prompt_data(prompt)
    variables = data.pop("variables", {})
    # The template's variables stand there also if they are empty.
    asked = {} if prompt.messages else dict.fromkeys(variables_of(prompt_set.template), "")
    return {**asked, **variables, **data}


def write_csv(prompt_set: PromptSet) -> bytes:
    """Return a table with a line for each prompt; what is common to all stands in the first.

    In UTF-8 with its mark, with commas. Cells that a spreadsheet would compute begin with an
    apostrophe.
    """
    common = _common(prompt_set)
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\r\n")
    own = [f"{SET_PREFIX}{key}" for key in SET_KEYS]
    table.writerow(map(defused, [*prompt_set.columns, *RESERVED, *own]))
    for number, prompt in enumerate(prompt_set.prompts):
        first = [_cell(key, common.get(key)) for key in SET_KEYS]
        cells = [prompt.variables.get(name, "") for name in prompt_set.columns]
        cells += [*_reserved(prompt), *(first if not number else [""] * len(first))]
        table.writerow(map(defused, cells))
    return (_MARK + written.getvalue()).encode()


def _common(prompt_set: PromptSet) -> dict[str, Any]:
    data = {
        "name": prompt_set.name,
        "template": prompt_set.template,
        "system": prompt_set.system,
        "checks": [as_data(check) for check in prompt_set.checks],
    }
    return {key: value for key, value in data.items() if value}


def _reserved(prompt: Prompt) -> list[str]:
    data = prompt_data(prompt)
    return [_cell(key, data.get(key)) for key in RESERVED]


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "tags" and all(_is_plain(tag) for tag in value):
        return ", ".join(value)
    return value if isinstance(value, str) else canonical(value)


def _is_plain(tag: str) -> bool:
    """Tell whether a tag survives being one of several between commas."""
    return tag == tag.strip() and "," not in tag and not tag.startswith("[")
