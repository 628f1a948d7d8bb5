"""Answers of runs as rows of the file."""

from typing import Any, Final

import msgspec

from server.archive.answer_writer import to_json
from server.core.protocol import Cost, ErrorInfo, Notice, Timings, Usage
from server.runs.answers import first_token_ms, written_ms
from server.runs.shapes import CheckOutcome, RunAnswer
from server.storage.database import Row

ANSWERS: Final = (
    "SELECT prompt, target, repeat, ended, finish_reason, passed, was_cold, {texts}, details"
    " FROM answer WHERE run = ? AND prompt BETWEEN ? AND ? ORDER BY prompt, target, repeat"
)
"""The answers of the run with this number to prompts from one to another, by prompt.

`{texts}` is to be `text, reasoning`, or two empty texts in their place.
"""


class _Details(msgspec.Struct, frozen=True, omit_defaults=True):
    """What only the program reads of an answer: fields of `RunAnswer` that have no column."""

    usage: Usage
    timings: Timings
    parameters: dict[str, Any] = {}
    checks: list[CheckOutcome] = []
    error: ErrorInfo | None = None
    notices: list[Notice] = []
    details: dict[str, Any] = {}
    answered_by: str = ""
    cost: Cost | None = None


_DETAILS: Final = msgspec.json.Decoder(_Details)


def answer_row(number: int, answer: RunAnswer) -> tuple[Any, ...]:
    """Return the columns of an answer of the run with this number."""
    details = _Details(**{name: getattr(answer, name) for name in _Details.__struct_fields__})
    return (
        number,
        answer.prompt,
        answer.target,
        answer.repeat,
        answer.ended,
        answer.finish_reason,
        answer.error.code if answer.error else None,
        answer.passed,
        first_token_ms(answer.timings),
        written_ms(answer.timings),
        answer.was_cold,
        answer.text,
        answer.reasoning,
        to_json(details),
    )


def answer_of(row: Row) -> RunAnswer:
    """Return the answer of a row of `ANSWERS`."""
    prompt, target, repeat, ended, finish_reason, passed, was_cold, text, reasoning, details = row
    return RunAnswer(
        **msgspec.structs.asdict(_DETAILS.decode(details)),
        prompt=prompt,
        target=target,
        repeat=repeat,
        ended=ended,
        finish_reason=finish_reason,
        passed=None if passed is None else bool(passed),
        was_cold=bool(was_cold),
        text=text,
        reasoning=reasoning,
    )
