"""An exported run has the set that it asked, whatever models, judges and people said of it."""

import dataclasses
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.protocol import Timings, Usage
from server.evaluation.files.building import Common, PromptLimits
from server.evaluation.prompt_set import PromptSet
from server.runs.export_lines import JudgedLines
from server.runs.exports import Report, json_lines_pieces
from server.runs.judge_shapes import Judge, Judgement, JudgeResults
from server.runs.questions import SetQuestions
from server.runs.results import Results
from server.runs.set_reading import read_file
from server.runs.shapes import Run, RunAnswer, RunTarget, RunVote
from tests.evaluation.test_prompt_sets import prompt_sets

TIMINGS = Timings(1.0, 2.0, 3.0, None)
# What could be taken for lines of a set, were it not within a line.
SAID = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            '"}\n{"kind":"prompt","row":{"prompt":"Mine"}}',
            '\r\n{"prompt": "Mine"}\u2028{"prompt": "Mine"}',
            '{"format":"sidestream-run"}',
            "\ud800",
        ]
    ),
).map(lambda text: text.encode("utf-8", "replace").decode())


def exported(asked: PromptSet, said: str, voter: str) -> bytes:
    """Return a run of a set as JSON Lines, in which everybody says the same."""
    target = RunTarget("m", state="done", answered=1, failed=0, passed=0, checked=0)
    run = Run("r", said, "p", asked.name, asked.version, 1, 1, "done", 0, 0, 1, 1, [target] * 2)
    judge = Judge("j", said, id="j_1", created=0, state="done", judged=1, unreadable=0)
    judgement = Judgement(
        *(0, 0, 0, None, 3, None, said, said, [{"role": "user", "content": said}]),
        usage=Usage(1, 1),
        timings=TIMINGS,
    )
    answer = RunAnswer(
        prompt=0,
        target=0,
        repeat=0,
        ended=1.0,
        text=said,
        finish_reason="stop",
        usage=Usage(1, 1),
        timings=TIMINGS,
    )
    report = Report(
        Results(run, [], []),
        SetQuestions(asked, None),
        [answer],
        [JudgedLines(JudgeResults(judge, [], [], 0, None), [judgement])],
        [RunVote([1, 0], [1], prompt=0, voter="id", created=1.0)],
        {"id": voter},
    )
    return b"".join(json_lines_pieces(report))


@given(prompt_sets(), SAID, SAID)
def test_it_is_read_as_the_version_that_was_asked(asked: PromptSet, said: str, voter: str) -> None:
    file = exported(asked, said, voter)
    lines = [msgspec.json.decode(line) for line in file.splitlines()]
    assert [line["kind"] for line in lines[-4:]] == ["answer", "judge", "judgement", "vote"]
    assert (lines[-1]["voter"], lines[-2]["reply"], lines[-2]["judge"]) == (voter, said, "j_1")
    found = read_file(file, "jsonl", Common(), PromptLimits()).prompt_set
    assert found.version == asked.version
    assert found.name == asked.name


@pytest.mark.parametrize("kind", ["answer", "judge", "judgement", "vote"])
def test_what_came_of_it_may_be_broken(kind: str) -> None:
    asked = read_file(b"One?\nTwo?", "lines", Common(), PromptLimits()).prompt_set
    asked = dataclasses.replace(asked, name="Set")
    lines: list[Any] = exported(asked, "so", "anna").split(b"\n")
    broken = [
        line[:-9] if line.startswith(b'{"kind":"%s"' % kind.encode()) else line for line in lines
    ]
    assert broken != lines
    found = read_file(b"\n".join(broken), "jsonl", Common(), PromptLimits()).prompt_set
    assert found.version == asked.version
