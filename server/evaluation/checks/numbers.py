"""Find numbers in a text, and compare one of them."""

import math
import re
from typing import Final

from server.evaluation.checks.declarations import Number
from server.evaluation.checks.result import Answer, CheckResult

# A sign belongs to a number only where no word or digit stands before it; digits within a word,
# as in GPT4, are none. Written with a point; a comma as the decimal sign is exchanged before.
# Groups of thousands are bounded, as a text of nothing else would take quadratic time.
_NUMBER: Final = re.compile(
    r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:,\d{3}){1,20}(?!\d|,\d)|\d+|(?=\.\d))(?:\.\d+)?"
    r"(?:[eE][-+]?\d{1,3}(?!\w))?",
    re.ASCII,
)
_EXCHANGE: Final = str.maketrans(",.", ".,")


def numbers_in(text: str, *, decimal_comma: bool = False) -> list[float]:
    """Return the finite numbers of a text, in order."""
    if decimal_comma:
        text = text.translate(_EXCHANGE)
    found = _NUMBER.findall(text)
    numbers = (float(one.replace(",", "").replace("\u2212", "-")) for one in found)
    return [number for number in numbers if math.isfinite(number)]


def wanted_number(check: Number) -> float | None:
    """Return the number that a check compares with: its value, or the only one in a text."""
    if not isinstance(check.value, str):
        return check.value
    numbers = numbers_in(check.value, decimal_comma=check.decimal_comma)
    return numbers[0] if len(numbers) == 1 else None


def check_number(check: Number, answer: Answer) -> CheckResult:
    """Compare the last number, or the only one; raises `ValueError` if the check has none."""
    wanted = wanted_number(check)
    if wanted is None:
        raise ValueError(f"{check.value!r} is no number")
    numbers = numbers_in(answer.text, decimal_comma=check.decimal_comma)
    if not numbers:
        return CheckResult(False, "has no number")
    if check.which == "only" and len(set(numbers)) > 1:
        return CheckResult(False, f"has {len(set(numbers))} different numbers instead of one")
    found, tolerance = numbers[-1], max(check.absolute, check.relative * abs(wanted))
    # A little more, so that 0.3 is within 0.1 of 0.2 as people count.
    is_near = abs(found - wanted) <= tolerance + 1e-12 * max(abs(found), abs(wanted))
    given = f" give or take {tolerance:.12g}" if tolerance else ""
    words = "is" if is_near else "is not"
    return CheckResult(is_near, f"{found:.12g} {words} {wanted:.12g}{given}")
