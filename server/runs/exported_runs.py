"""The prompts of an exported run, as a file of a prompt set.

They keep their lines, so that what is wrong is told with its line in the file that was given.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from server.evaluation.files.building import MAX_SET_NAME_CHARS
from server.evaluation.files.rows import HEADER_KEY

FORMAT: Final = "sidestream-run"
"""What the first line of an exported run says that it is."""

TABLE_COLUMNS: Final = (
    *("prompt", "repeat", "target", "model", "question", "answer", "passed", "failed_check"),
    *("finish_reason", "error", "first_token_ms", "total_ms", "cold", "prompt_tokens"),
    *("completion_tokens", "reasoning_tokens", "tokens_per_second", "cost", "seed", "expected"),
)
"""The columns of a run's table, in which prompts are numbers: no prompt set can be read of it."""

# What came of the run is no part of its set; it may be broken, and is not even read.
_OUTCOMES: Final = tuple(f'{{"kind":"{kind}"' for kind in ("answer", "judge", "judgement", "vote"))


def prompts_of_export(text: str) -> str | None:
    """Return the prompts of an exported run as JSON Lines, None for every other file."""
    head, _, rest = text.partition("\n")
    first = _object(head) if FORMAT in head else {}
    if first.get("format") != FORMAT:
        return None
    return "\n".join([json.dumps({HEADER_KEY: _common(first)}), *_rows(rest)])


def _common(first: dict[str, Any]) -> dict[str, Any]:
    run, common = first.get("run"), first.get(HEADER_KEY)
    name = run.get("set_name") if isinstance(run, dict) else None
    return {
        **(common if isinstance(common, dict) else {}),
        **({"name": name[:MAX_SET_NAME_CHARS]} if isinstance(name, str) else {}),
    }


def _rows(rest: str) -> Iterator[str]:
    for line in rest.split("\n"):
        is_outcome = line.startswith(_OUTCOMES)
        said = {} if is_outcome else _object(line)
        if said.get("kind") == "prompt":
            yield json.dumps(_row(said))
        else:
            # What cannot be read is told by whoever reads the prompts.
            yield line if line and not said and not is_outcome else ""


def _row(said: dict[str, Any]) -> dict[str, Any]:
    """Return a prompt as it was in its set; of files without that, as it was asked."""
    row = said.get("row")
    if isinstance(row, dict):
        return row
    asked = {name: said.get(name) for name in ("messages", "expected")}
    return {name: value for name, value in asked.items() if value is not None}


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
