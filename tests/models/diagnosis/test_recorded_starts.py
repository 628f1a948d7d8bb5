"""Failed starts and ends as real servers logged them, and the cause that is recognised."""

import pytest

from server.models.diagnosis.causes import explain_exit
from server.models.logbook import LogLine
from server.models.runners.base import Condition, Observation, Replica
from tests.support.starts import CAUSES, STARTS, check, read


def test_there_is_a_cause_for_each_recording() -> None:
    assert {path.stem for path in STARTS.glob("*.txt")} == CAUSES.keys()


@pytest.mark.parametrize("engine", ["TGI", "vLLM", "llama.cpp", ""])
@pytest.mark.parametrize("name", CAUSES)
def test_a_recorded_end_has_its_true_cause(name: str, engine: str) -> None:
    """Whichever engine it was taken for: a command or an image may start any."""
    check(STARTS / f"{name}.txt", CAUSES[name], engine)


@pytest.mark.parametrize("count", [60, 100, 200])
@pytest.mark.parametrize("name", ["tgi-missing", "tgi-arch", "vllm-tensor-parallel"])
def test_a_log_cut_at_its_beginning_gives_the_same_cause(name: str, count: int) -> None:
    lines, code = read(STARTS / f"{name}.txt")
    tail = tuple(LogLine(0.0, "stdout", line) for line in lines[-count:])
    seen = Observation(Replica("t", "a"), Condition.EXITED, exit_code=code, tail=tail)
    assert (explain_exit(seen).details or {})["cause"] == CAUSES[name][0]
