"""Sum up or write a large run in a process of its own, beside the gateway's loop.

It has the file opened, and whatever else it needs read and imported, before it gives up to open
anything (`server/workers/fences.py`).
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from server.core.errors import StorageFailed
from server.evaluation.files.reading import read_written
from server.evaluation.prompt_set import PromptSet
from server.runs.exports import Report, html_pieces
from server.runs.questions import SetQuestions
from server.runs.report_reading import ReportRequest, opened
from server.runs.results import Results
from server.runs.shapes import Run
from server.runs.single_use import answer, step_back
from server.typesetting.documents import render_markdown
from server.workers.fences import arguments, close_doors, read_frame


def main() -> None:
    """Answer one request about the file that the argument names."""
    step_back()
    frame = read_frame()
    if frame is None:
        return
    request = msgspec.json.decode(frame, type=ReportRequest)
    _prepare()
    answer(lambda: _pieces(Path(arguments()[0]), request))


def _pieces(path: Path, request: ReportRequest) -> Iterator[bytes]:
    try:
        with opened(path) as file:
            close_doors()
            questions = SetQuestions(read_written(file.body(request.version)), None)
            yield from file.pieces(request, questions)
    except sqlite3.Error as error:
        raise StorageFailed(f"the run cannot be read: {error}") from None


def _prepare() -> None:
    """Have templates read, and imported what is only imported once it is needed."""
    nothing = Run("", "", "", "", "", 0, 1, "done", 0.0, 0.0, 0, 0, [])
    report = Report(Results(nothing, [], []), SetQuestions(PromptSet("", ()), None), ())
    for _ in html_pieces(report):
        pass
    render_markdown("$x$")
