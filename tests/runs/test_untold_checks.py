"""Checks that cannot be told: results count them, with a reason."""

from typing import Any

import msgspec

from server.core.protocol import Timings, Usage
from server.runs.results import results_of
from server.runs.shapes import CheckOutcome, Run, RunAnswer, RunTarget


def answer(target: int, *checks: CheckOutcome) -> RunAnswer:
    """Return an answer of a target with these checks."""
    return RunAnswer(
        prompt=0,
        target=target,
        repeat=0,
        ended=0.0,
        text="x",
        finish_reason="stop",
        usage=Usage(None, 0),
        timings=Timings(None, None, 0.0, None),
        checks=list(checks),
    )


def run(*models: str) -> Run:
    """Return a run of these models."""
    counts: dict[str, Any] = {"answered": 0, "failed": 0, "passed": 0, "checked": 0}
    return Run(
        id="r",
        name="",
        prompt_set="p",
        set_name="",
        version="v",
        prompts=1,
        repeats=1,
        state="done",
        created=0.0,
        updated=0.0,
        answered=0,
        total=0,
        targets=[RunTarget(model=model, state="done", **counts) for model in models],
    )


def test_checks_that_cannot_be_told_are_counted_with_the_first_reason() -> None:
    told = CheckOutcome({"type": "equals"}, False, "is another")
    untold = [
        CheckOutcome({"type": "command", "name": "haiku"}, None, "no program"),
        CheckOutcome({"type": "regex", "pattern": "x"}, None, "took too long"),
    ]
    results = results_of(
        run("a", "b"), [answer(0, told), answer(1, told, *untold), answer(1, untold[1])], [3]
    )
    assert [(one.untold_checks, one.untold_reason) for one in results.targets] == [
        (0, ""),
        (3, "command haiku: no program"),
    ]
    wire = msgspec.to_builtins(results.targets[1])
    assert (wire["untold_checks"], wire["untold_reason"]) == (3, "command haiku: no program")
