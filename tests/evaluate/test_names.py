"""Names that are checked before anything is asked."""

from typing import Any

import pytest

from server.evaluate.names import check_models, check_targets, target_names
from server.evaluate.refused import Refused
from server.evaluate.thresholds import read_threshold
from server.runs.results import labels
from server.runs.shapes import Target

TARGETS: list[dict[str, Any]] = [
    {"model": "m"},
    {"model": "m", "name": ""},
    {"model": "x", "name": "m"},
    {"model": "y", "name": "m (2)"},
]


def test_targets_are_called_what_results_call_them() -> None:
    theirs = labels([Target(one["model"], name=one.get("name", "")) for one in TARGETS])
    assert target_names(TARGETS) == theirs
    assert theirs[:3] == ["m", "m (2)", "m (3)"]


def test_a_threshold_is_of_a_target_that_is_there() -> None:
    check_targets(TARGETS, [read_threshold("m (2):pass>=0.5"), read_threshold("cut==0")], "pairs")
    with pytest.raises(Refused, match=r"no target 'n'"):
        check_targets(TARGETS, [read_threshold("n:pass>=0.5")], "")


def test_pairs_take_two_targets() -> None:
    check_targets(TARGETS[:1], [], "grades")
    with pytest.raises(Refused, match="two targets or more"):
        check_targets(TARGETS[:1], [], "pairs")


def test_a_model_that_is_not_there_is_told_with_one_that_may_be_meant() -> None:
    check_models(["small"], ["small", "large"])
    with pytest.raises(Refused, match=r"^there is no model 'smol'; did you mean 'small'\?$"):
        check_models(["small", "smol"], ["small", "large"])
