"""How long a server that refuses wants to be left alone: by its headers, then by its words.

`Retry-After` is seconds or a date; a date counts from the answer's own `Date`, because the server's
clock need not be ours. Of the limits in `x-ratelimit-reset-*` those count that are used up.
"""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhd])[a-z]*[\s,]*(?:and\s+)?", re.IGNORECASE)
_IN: Final = re.compile(
    r"(?:try again|retry|retry your request|wait)\s+(?:in|after|for)?\s*"
    r"((?:\d+(?:\.\d+)?\s*(?:ms|[smhd])[a-z]*[\s,]*(?:and\s+)?)+)",
    re.IGNORECASE,
)
_RESET: Final = "x-ratelimit-reset"
_REMAINING: Final = "x-ratelimit-remaining"
# Larger ones are points in time, in milliseconds or seconds since the epoch.
_EPOCH_MS: Final = 1e11
_EPOCH_SECONDS: Final = 1e8


def retry_after_seconds(headers: Mapping[str, str], words: str) -> float | None:
    """Return the seconds to wait, never negative, None where nothing says; names in lower case."""
    found = _number(headers.get("retry-after-ms", ""))
    if found is not None:
        return max(0.0, found / 1000)
    found = _after(headers.get("retry-after", ""), headers)
    if found is None:
        found = _reset(headers)
    if found is None and (told := _IN.search(words)) is not None:
        found = _duration(told[1])
    return None if found is None else max(0.0, found)


def _after(value: str, headers: Mapping[str, str]) -> float | None:
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds
    try:
        return parsedate_to_datetime(value).timestamp() - _now(headers)
    except ValueError:
        return _duration(value)


def _reset(headers: Mapping[str, str]) -> float | None:
    """Return when the limits that are used up are new; all of them where it is not told which."""
    resets = [name for name in headers if name.startswith(_RESET)]
    used_up = [
        name
        for name in resets
        if _number(headers.get(_REMAINING + name.removeprefix(_RESET), "")) == 0
    ]
    waits = [_reset_seconds(headers[name], headers) for name in used_up or resets]
    return max((wait for wait in waits if wait is not None), default=None)


def _reset_seconds(value: str, headers: Mapping[str, str]) -> float | None:
    number = _number(value)
    if number is None:
        return _duration(value)
    if number > _EPOCH_MS:
        return number / 1000 - _now(headers)
    return number - _now(headers) if number > _EPOCH_SECONDS else number


def _duration(text: str) -> float | None:
    """Return the seconds of `20s`, `6m0s`, `1h 2m`, `7.66s` or `20ms`."""
    parts = _PART.findall(text)
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in parts) if parts else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _now(headers: Mapping[str, str]) -> float:
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return time.time()
