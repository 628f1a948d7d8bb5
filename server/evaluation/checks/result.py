"""What a check says of an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MAX_SHOWN: Final = 80


@dataclass(frozen=True)
class Answer:
    """Hold what checks look at: the text, and how many tokens it has if that is known."""

    text: str
    tokens: int | None = None


@dataclass(frozen=True)
class CheckResult:
    """Say whether an answer passed and why; `passed` is None where it cannot be told."""

    passed: bool | None
    explanation: str


def shown(text: str) -> str:
    """Return a text in quotes, cut where it is long."""
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…")


def all_of(results: Sequence[CheckResult]) -> CheckResult:
    """Return that each passed; else the first that did not, or cannot be told, explains it."""
    return _first(results, False) or _first(results, None) or CheckResult(True, _joined(results))


def any_of(results: Sequence[CheckResult]) -> CheckResult:
    """Return that one passed, explained by the first that did."""
    return _first(results, True) or _first(results, None) or CheckResult(False, _joined(results))


def none_of(results: Sequence[CheckResult]) -> CheckResult:
    """Return that none passed."""
    passed = _first(results, True)
    if passed is not None:
        return CheckResult(False, passed.explanation)
    return _first(results, None) or CheckResult(True, _joined(results))


def _first(results: Sequence[CheckResult], passed: bool | None) -> CheckResult | None:
    return next((result for result in results if result.passed is passed), None)


def _joined(results: Sequence[CheckResult]) -> str:
    return "; ".join(result.explanation for result in results)
