"""A run as a file: CSV and JSON Lines for programs, one HTML page to read.

The JSON Lines have all that is needed to ask again: the prompts as their set has them, from which
the set is made again in the same version, parameters with their seeds, and what served each target.
In CSV, cells that a spreadsheet would compute begin with an apostrophe. All are written as they are
made: a file may be larger than memory.
"""

import csv
import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Literal, NamedTuple

import msgspec
from markupsafe import Markup

from server import __version__
from server.archive.exports import moment
from server.evaluation.files.csv_text import defused
from server.evaluation.files.rows import HEADER_KEY
from server.runs.answers import first_token_ms, written_ms
from server.runs.export_lines import JudgedLines, judge_lines, vote_lines
from server.runs.exported_runs import FORMAT, TABLE_COLUMNS
from server.runs.questions import RunQuestions
from server.runs.report_charts import expected_wins_chart, judge_chart, result_charts
from server.runs.report_words import made_of, percent, rate_words, won_words
from server.runs.results import Results, labels
from server.runs.shapes import RunAnswer, RunVote
from server.typesetting.pages import page_pieces

RunForm = Literal["csv", "jsonl", "html"]
FORMAT_VERSION: Final = 1

_MARK: Final = "\ufeff"


class Report(NamedTuple):
    """What is written of a run; answers, judgements and votes are taken once, by prompt.

    `voters` are names by the ids of keys.
    """

    results: Results
    questions: RunQuestions
    answers: Iterable[RunAnswer]
    judges: Sequence[JudgedLines] = ()
    votes: Iterable[RunVote] = ()
    voters: Mapping[str, str] = {}


def csv_pieces(report: Report) -> Iterator[bytes]:
    """Yield a table with a line for each answer, in UTF-8 with its mark."""
    results, questions = report.results, report.questions
    names = labels(results.run.targets)
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\r\n")
    table.writerow(TABLE_COLUMNS)
    yield (_MARK + _taken(written)).encode()
    for answer in report.answers:
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
        yield _taken(written).encode("utf-8", "replace")


def json_lines_pieces(report: Report) -> Iterator[bytes]:
    """Yield the run with its results in the first line, then the prompts, then each answer.

    Behind them are the judges, each with its judgements, and people's votes.
    """
    return (msgspec.json.encode(line) + b"\n" for line in _lines(report))


def html_pieces(report: Report) -> Iterator[bytes]:
    """Yield one page with the table, its charts and every answer; it loads nothing."""
    results, questions = report.results, report.questions
    names = labels(results.run.targets)
    prompts = (
        {
            "number": prompt + 1,
            "messages": questions.messages(prompt),
            "expected": questions.expected(prompt),
            "answers": several,
        }
        for prompt, several in groupby(report.answers, key=lambda answer: answer.prompt)
    )
    return page_pieces(
        "run.html",
        ("conversation.css", "run.css"),
        results=results,
        run=results.run,
        # What stands in their heads is the same for each target.
        rates=results.targets[0].judges if results.targets else (),
        names=names,
        prompts=prompts,
        charts=result_charts(results, _milliseconds),
        expected_wins=expected_wins_chart(names, results.ranking),
        judges=[(one, judge_chart(names, one)) for one, _ in report.judges],
        # Our own drawing, in which all names are escaped.
        drawn=lambda chart: Markup(chart.svg),  # noqa: S704
        percent=percent,
        won_words=won_words,
        rate_words=rate_words,
        made_of=made_of,
        moment=moment,
        milliseconds=_milliseconds,
        first_token_ms=first_token_ms,
        written_ms=written_ms,
    )


def _lines(report: Report) -> Iterator[Any]:
    results, questions = report.results, report.questions
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
    for answer in report.answers:
        yield {"kind": "answer", **msgspec.structs.asdict(answer)}
    yield from judge_lines(report.judges)
    yield from vote_lines(report.votes, report.voters)


def _taken(written: io.StringIO) -> str:
    """Return what was written since the last time."""
    text = written.getvalue()
    written.seek(0)
    written.truncate()
    return text


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


EXPORTS: Final[dict[RunForm, Callable[[Report], Iterator[bytes]]]] = {
    "csv": csv_pieces,
    "jsonl": json_lines_pieces,
    "html": html_pieces,
}
