"""A run as a file: CSV and JSON Lines for programs, one HTML page to read.

The JSON Lines have all that is needed to ask again: the prompts as their set has them, from which
the set is made again in the same version, parameters with their seeds, and what served each target.
In CSV, cells that a spreadsheet would compute begin with an apostrophe.
"""

import csv
import io
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from server import __version__
from server.archive.exports import moment
from server.evaluation.files.csv_text import defused
from server.evaluation.files.rows import HEADER_KEY
from server.runs.answers import first_token_ms, written_ms
from server.runs.questions import RunQuestions
from server.runs.results import Results, labels
from server.runs.shapes import RunAnswer
from server.typesetting.pages import render_page

RunForm = Literal["csv", "jsonl", "html"]
FORMAT: Final = "sidestream-run"
FORMAT_VERSION: Final = 1

_MARK: Final = "\ufeff"
_COLUMNS: Final = (
    *("prompt", "repeat", "target", "model", "question", "answer", "passed", "failed_check"),
    *("finish_reason", "error", "first_token_ms", "total_ms", "cold", "prompt_tokens"),
    *("completion_tokens", "reasoning_tokens", "tokens_per_second", "cost", "seed", "expected"),
)


def export_csv(results: Results, questions: RunQuestions, answers: Sequence[RunAnswer]) -> bytes:
    """Return a table with a line for each answer, in UTF-8 with its mark."""
    names = labels(results.run.targets)
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\r\n")
    table.writerow(_COLUMNS)
    for answer in answers:
        failed = next((one for one in answer.checks if one.passed is False), None)
        row = (
            *(answer.prompt + 1, answer.repeat + 1, names[answer.target]),
            *(results.run.targets[answer.target].model, questions.title(answer.prompt)),
            *(answer.text, answer.passed, failed.explanation if failed else None),
            *(answer.finish_reason, answer.error.message if answer.error else None),
            *(first_token_ms(answer.timings), written_ms(answer.timings), answer.was_cold),
            *(answer.usage.prompt_tokens, answer.usage.completion_tokens),
            *(answer.usage.reasoning_tokens, answer.timings.tokens_per_second),
            answer.cost.amount if answer.cost else None,
            *(answer.parameters.get("seed"), questions.expected(answer.prompt)),
        )
        table.writerow([_cell(value) for value in row])
    return (_MARK + written.getvalue()).encode("utf-8", "replace")


def export_json_lines(
    results: Results, questions: RunQuestions, answers: Sequence[RunAnswer]
) -> bytes:
    """Return the run with its results in the first line, then the prompts, then each answer."""
    return b"".join(
        msgspec.json.encode(line) + b"\n" for line in _lines(results, questions, answers)
    )


def export_html(results: Results, questions: RunQuestions, answers: Sequence[RunAnswer]) -> bytes:
    """Return one page with the table, its chart and every answer; it loads nothing."""
    by_prompt: dict[int, list[RunAnswer]] = {}
    for answer in answers:
        by_prompt.setdefault(answer.prompt, []).append(answer)
    prompts = [
        {
            "number": prompt + 1,
            "messages": questions.messages(prompt),
            "expected": questions.expected(prompt),
            "answers": several,
        }
        for prompt, several in sorted(by_prompt.items())
    ]
    return render_page(
        "run.html",
        ("conversation.css", "run.css"),
        results=results,
        run=results.run,
        names=labels(results.run.targets),
        prompts=prompts,
        moment=moment,
        milliseconds=_milliseconds,
        first_token_ms=first_token_ms,
        written_ms=written_ms,
    )


def _lines(
    results: Results, questions: RunQuestions, answers: Sequence[RunAnswer]
) -> Iterator[Any]:
    yield {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "server": __version__,
        "exported": round(time.time(), 3),
        **msgspec.structs.asdict(results),
        HEADER_KEY: questions.common(),
    }
    for prompt in range(len(questions)):
        yield {
            "kind": "prompt",
            "prompt": prompt,
            "messages": [
                {"role": one.role, "content": one.content} for one in questions.messages(prompt)
            ],
            "expected": questions.expected(prompt),
            "row": questions.row(prompt),
        }
    for answer in answers:
        yield {"kind": "answer", **msgspec.structs.asdict(answer)}


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return defused(value) if isinstance(value, str) else str(value)


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


EXPORTS: Final[dict[RunForm, Callable[[Results, RunQuestions, Sequence[RunAnswer]], bytes]]] = {
    "csv": export_csv,
    "jsonl": export_json_lines,
    "html": export_html,
}
