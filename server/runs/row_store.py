"""What the grid of a run reads of the file: which prompts match, and answers in short.

Both are cut and compared in SQL, so that no long text leaves the database for a line of a table.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from server.runs.row_choice import Order, RowChoice, Show
from server.runs.shapes import PREVIEW_CHARS, Cell
from server.storage.database import Database, Row, Transaction

# 0 for an answer that failed, or a check of it; null where nothing says whether it is right.
_OUTCOME: Final = "CASE WHEN finish_reason = 'failed' THEN 0 ELSE passed END"
_TARGETS: Final = f"""
    SELECT prompt, target, min({_OUTCOME}) AS outcome, count(passed) AS checked,
        sum({_OUTCOME} = 0) AS failed, sum(finish_reason = 'failed') AS errors,
        sum(finish_reason = 'length') AS cut, max(total_ms) AS slowest
    FROM answer WHERE run = :run GROUP BY prompt, target
"""  # noqa: S608 - of constants
# Spaces at the ends, kinds of white space and the case of a to z make no other answer.
_SAID: Final = (
    "lower(trim(replace(replace(replace(text, char(13), ''), char(10), ' '), char(9), ' ')))"
)
_SAY_OTHERWISE: Final = f"""
    EXISTS (SELECT 1 FROM answer WHERE run = :run AND answer.prompt = by_target.prompt
        GROUP BY repeat HAVING count(DISTINCT {_SAID}) > 1)
"""  # noqa: S608 - of constants
_SHOWN: Final[dict[Show, str]] = {
    "all": "1",
    "failed": "sum(failed) > 0",
    "errors": "sum(errors) > 0",
    "cut": "sum(cut) > 0",
    "disagree": f"min(outcome) < max(outcome) OR (sum(checked) = 0 AND {_SAY_OTHERWISE})",
    "unvoted": "NOT EXISTS (SELECT 1 FROM vote WHERE run = :run AND voter = :voter"
    " AND vote.prompt = by_target.prompt)",
}
_SORTED: Final[dict[Order, str]] = {
    "prompt": "prompt",
    "slowest": "max(slowest) DESC, prompt",
    "failed": "sum(failed) DESC, prompt",
}
_WHY_FAILED: Final = """
    CASE WHEN passed = 0 THEN (
        SELECT json_extract(value, '$.explanation') FROM json_each(details, '$.checks')
        WHERE json_extract(value, '$.passed') = 0 LIMIT 1
    ) END
"""


class RowStore:
    """The answers in the file of runs, as rows of a grid."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> int:
        """Return a number that is another one after each change of the file."""
        async with self._database.read() as transaction:
            row = await transaction.row("PRAGMA data_version")
        return int(row[0]) if row else 0

    async def matching(self, number: int, choice: RowChoice, voter: str) -> list[int]:
        """Return the prompts with answers that match, in the order that was chosen.

        What is searched for is not looked at.
        """
        async with self._database.read() as transaction:
            return await _prompts(
                transaction,
                f"SELECT prompt FROM ({_TARGETS}) AS by_target GROUP BY prompt"  # noqa: S608
                f" HAVING {_SHOWN[choice.show]} ORDER BY {_SORTED[choice.sort]}",
                {"run": number, "voter": voter},
            )

    async def with_text(self, number: int, needle: str) -> list[int]:
        """Return the prompts that have an answer with a text in it.

        The case of the letters a to z makes no difference.
        """
        if "\0" in needle:  # It would end the pattern.
            return []
        pattern = needle.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        async with self._database.read() as transaction:
            return await _prompts(
                transaction,
                "SELECT DISTINCT prompt FROM answer WHERE run = :run"
                " AND text LIKE :pattern ESCAPE '\\'",
                {"run": number, "pattern": f"%{pattern}%"},
            )

    async def cells(self, number: int, prompts: Iterable[int]) -> list[Cell]:
        """Return the complete answers to some prompts in short."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                "SELECT prompt, target, repeat, substr(text, 1, :chars), finish_reason, code,"  # noqa: S608
                f" passed, {_WHY_FAILED}, first_token_ms, total_ms FROM answer"
                " WHERE run = :run AND prompt IN (SELECT value FROM json_each(:prompts))",
                {"run": number, "prompts": json.dumps(list(prompts)), "chars": PREVIEW_CHARS},
            )
        return [_cell(row) for row in rows]


async def _prompts(transaction: Transaction, sql: str, values: dict[str, Any]) -> list[int]:
    return [row[0] for row in await transaction.rows(sql, values)]


def _cell(row: Row) -> Cell:
    prompt, target, repeat, text, finish_reason, code, passed, reason, first_token, total = row
    return Cell(
        prompt,
        target,
        repeat,
        "done",
        text=text,
        finish_reason=finish_reason,
        code=code,
        passed=None if passed is None else bool(passed),
        reason=reason or "",
        first_token_ms=first_token,
        total_ms=total,
    )
