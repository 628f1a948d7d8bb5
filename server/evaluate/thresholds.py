"""Thresholds of an evaluation: `pass>=0.9`, or `small:first_token_ms<=500` for one target."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_FORM: Final = re.compile(r"(?:(.+):)?\s*([a-z_0-9]+)\s*(>=|<=|==|>|<)\s*(-?\d+(?:\.\d+)?)\s*")
_SIGNS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_Figures = Mapping[str, Any]
METRICS: Final[dict[str, Callable[[_Figures], float | None]]] = {
    "pass": lambda figures: figures["answers"]["share"] if figures["answers"] else None,
    "pass_low": lambda figures: (
        figures["answers"]["interval"]["low"] if figures["answers"] else None
    ),
    "failed": lambda figures: float(sum(figures["failures"].values())),
    "cut": lambda figures: float(figures["cut"]),
    "first_token_ms": lambda figures: figures["first_token_warm"]["median"],
    "first_token_p95_ms": lambda figures: figures["first_token_warm"]["p95"],
    "tokens_per_second": lambda figures: figures["tokens_per_second"],
    "cost": lambda figures: figures["cost"],
}
"""What can be asked for, out of a row's `figures`; None where it is not known."""
_SHARES: Final = ("pass", "pass_low")


@dataclass(frozen=True)
class Threshold:
    """A condition on every target, or on the one of that name."""

    target: str
    metric: str
    sign: str
    value: float

    def __str__(self) -> str:
        """Return the condition as it is written."""
        name = f"{self.target}:" if self.target else ""
        return f"{name}{self.metric}{self.sign}{self.value:g}"


def read_threshold(text: str) -> Threshold:
    """Return the threshold that a text is; raises `ValueError` with words for the user."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no threshold; write for example pass>=0.9")
    target, metric, sign, value = found.groups()
    if metric not in METRICS:
        raise ValueError(f"{metric!r} is not known; there are {', '.join(METRICS)}")
    if metric in _SHARES and not 0 <= float(value) <= 1:
        raise ValueError(f"{metric} is a share from 0 to 1, and {value} is none")
    return Threshold(target or "", metric, sign, float(value))


def missed(thresholds: Sequence[Threshold], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each threshold that a target misses.

    `rows` are the results' targets. What is not known misses its threshold, and so does a target
    that is not there.
    """
    words = []
    for one in thresholds:
        concerned = [row for row in rows if one.target in ("", row["name"])]
        if not concerned:
            words.append(f"{one}: there is no target {one.target!r}")
        for row in concerned:
            value = METRICS[one.metric](row["figures"])
            if value is None:
                words.append(f"{one}: {row['name']} has no {one.metric}")
            elif not _SIGNS[one.sign](value, one.value):
                words.append(f"{one}: {row['name']} has {value:.4g}")
    return words
