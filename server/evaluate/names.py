"""The names that an evaluation is given: checked before anything is kept or asked."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from server.evaluate.refused import Refused
from server.evaluate.thresholds import Threshold

_Targets = Sequence[Mapping[str, Any]]


def target_names(targets: _Targets) -> list[str]:
    """Return what results call these targets: by name or model, numbered where two are alike."""
    names: list[str] = []
    for target in targets:
        name = called = str(target.get("name") or target["model"])
        number = 2
        while called in names:
            called, number = f"{name} ({number})", number + 1
        names.append(called)
    return names


def check_models(models: Iterable[str], known: Sequence[str]) -> None:
    """Raise `Refused` for a model that is not among the known ones."""
    for model in models:
        if model not in known:
            raise Refused(f"there is no model {model!r}{_near(model, known)}")


def check_targets(targets: _Targets, thresholds: Sequence[Threshold], judges_by: str) -> None:
    """Raise `Refused` for a threshold of no target, or where pairs of one target are to be judged.

    `judges_by` is `grades` or `pairs`, or empty where nothing is judged.
    """
    names = target_names(targets)
    for one in thresholds:
        if one.target and one.target not in names:
            raise Refused(f"{one}: there is no target {one.target!r}{_near(one.target, names)}")
    if judges_by == "pairs" and len(targets) < 2:
        raise Refused("--judge-by pairs: pairs are judged of two targets or more")


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
