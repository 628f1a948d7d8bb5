"""The values a setting may take: declared once beside its default, parsed from text by type."""

import dataclasses
import difflib
import json
import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from server.settings.commands import parse_variables

_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


class Size(int):
    """A number of bytes, written with K, M, G or T for powers of 1024."""

    def __str__(self) -> str:
        amount = int(self)
        for unit in ("", "K", "M", "G"):
            if amount == 0 or amount % 1024:
                return f"{amount}{unit}"
            amount //= 1024
        return f"{amount}T"


def human_size(size_bytes: int) -> str:
    """Return a size as people read it: in MB, from a thousand of them on in GB."""
    if size_bytes >= 1_000_000_000:
        return f"{size_bytes / 1_000_000_000:.1f} GB"
    return f"{size_bytes / 1_000_000:.0f} MB"


class Numbers(tuple[int, ...]):
    """A list of numbers, separated by commas; a plain tuple of two numbers is a range."""

    __slots__ = ()


class Count(tuple[int, int]):
    """A number of things, or the least and the greatest one: `3` or `1-4`."""

    __slots__ = ()


class Variables(dict[str, str]):
    """Environment variables, written as `NAME=VALUE` pairs or as a JSON object."""


class SettingsError(Exception):
    """The settings are invalid; `problems` has each place and what was expected there."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def option(
    default: Any,
    help_text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    pattern: str | None = None,
    secret: bool = False,
    only_for: tuple[str, ...] = (),
) -> Any:
    """Declare one key: its default, its help text, and the constraints on its value.

    `only_for` names the runners for which a model's key has a meaning. A default of None stands for
    a number that may be left out. A secret is neither shown nor repeated in errors.
    """
    metadata = {
        "default": default,
        "help": help_text,
        "low": low,
        "high": high,
        "choices": choices,
        "pattern": pattern,
        "secret": secret,
        "only_for": only_for,
    }
    if isinstance(default, dict):
        return dataclasses.field(
            default_factory=lambda: type(default)(default), metadata=metadata, repr=not secret
        )
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


def parse_value(declared: dataclasses.Field[Any], text: str) -> Any:
    """Parse the text of a key.

    Raises `ValueError` with what was expected and what was found.
    """
    text = text.strip()
    text.encode()  # An environment variable may hold bytes that are not UTF-8.
    rules = declared.metadata
    value = _parse_as(rules["default"], text, is_secret=rules["secret"])
    for number in value if isinstance(value, tuple) else () if value is None else (value,):
        _check_bounds(number, rules["low"], rules["high"])
    if rules["choices"] and value not in rules["choices"]:
        choices = ", ".join(filter(None, rules["choices"]))
        raise ValueError(f"expected one of {choices}, found {text!r}")
    if rules["pattern"] and not re.fullmatch(rules["pattern"], text):
        found = "" if rules["secret"] else f", found {text!r}"
        raise ValueError(f"expected to match {rules['pattern']}{found}")
    return value


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return what is wrong with a key that is not in `known`: the key that is meant, or all."""
    several = list(known)
    near = difflib.get_close_matches(key, several, n=1)
    meant = f"is `{near[0]}` meant?" if near else f"expected one of {', '.join(several)}"
    return f"unknown key; {meant}"


def in_words(names: tuple[str, ...]) -> str:
    """Return names as a list for people: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def format_value(value: Any) -> str:
    """Return a value as it is written in the file."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ""
    if isinstance(value, Count) and value[0] == value[1]:
        return str(value[0])
    if _is_range(value):
        return f"{value[0]}-{value[1]}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def describe_type(default: Any) -> str:
    """Return the name of a value's type for people."""
    if isinstance(default, Count):
        return "whole number or range"
    if _is_range(default):
        return "range of numbers"
    if isinstance(default, tuple):
        of_what = "numbers" if isinstance(default, Numbers) else "list"
        return f"{of_what}, separated by commas"
    if isinstance(default, Path):
        return "path"
    names = {
        Size: "size",
        bool: "yes or no",
        int: "whole number",
        float: "number",
        dict: "JSON object",
        Variables: "NAME=VALUE pairs or JSON object",
        type(None): "number or nothing",
    }
    return names.get(type(default), "text")


def _parse_as(default: Any, text: str, *, is_secret: bool) -> Any:
    """Read text as a value of the default's type; raises `ValueError`."""
    if isinstance(default, Variables) and not text.startswith("{"):
        return Variables(parse_variables(text))
    if isinstance(default, dict):
        return _json_object(text, is_secret=is_secret)
    if isinstance(default, Count):
        return Count(_count(text))
    if _is_range(default):
        return _range(text)
    parsers = (parse for kind, parse in _PARSERS if isinstance(default, kind))
    return next(parsers, str)(text)


def _is_range(value: Any) -> bool:
    is_pair = isinstance(value, tuple) and not isinstance(value, Numbers) and len(value) == 2
    return is_pair and all(isinstance(number, int) for number in value)


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _number(kind: type, expected: str, text: str) -> Any:
    try:
        number = kind(text)
    except ValueError:
        raise ValueError(f"expected {expected}, found {text!r}") from None
    if kind is float and not math.isfinite(number):
        raise ValueError(f"expected {expected}, found {text!r}")
    return number


def _size(text: str) -> Size:
    match = re.fullmatch(r"(\d+)\s*([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"expected a size such as 512M or 8G, found {text!r}")
    return Size(int(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def _json_object(text: str, *, is_secret: bool) -> dict[str, Any]:
    try:
        # Stricter than the standard library's: no NaN, no lone surrogates.
        value = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"expected a JSON object: {error}") from None
    if not isinstance(value, dict):
        found = "" if is_secret else f", found {text!r}"
        raise ValueError(f"expected a JSON object{found}")
    return value


def _range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)\s*-\s*(\d+)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise ValueError(f"expected a range such as 8080-8089, found {text!r}")
    return int(match[1]), int(match[2])


def _count(text: str) -> tuple[int, int]:
    least, dash, most = (part.strip() for part in text.partition("-"))
    pair = (least, most if dash else least)
    if not all(re.fullmatch(r"[0-9]{1,9}", part) for part in pair) or int(pair[0]) > int(pair[1]):
        raise ValueError(f"expected a whole number or a range such as 1-4, found {text!r}")
    return int(pair[0]), int(pair[1])


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError(f"expected yes or no, found {text!r}")
    return _BOOLEANS[text.lower()]


def _path(text: str) -> Path:
    if not text:
        raise ValueError("expected a path, found nothing")
    return Path(text)


def _numbers(text: str) -> Numbers:
    return Numbers(_number(int, "whole numbers", part) for part in _parts(text))


def _optional_number(text: str) -> float | None:
    return _number(float, "a number", text) if text else None


# By the type of the default; the first match counts, because a `bool` is an `int`, too.
_PARSERS: Final[tuple[tuple[type, Callable[[str], Any]], ...]] = (
    (bool, _boolean),
    (Size, _size),
    (int, partial(_number, int, "a whole number")),
    (float, partial(_number, float, "a number")),
    (type(None), _optional_number),
    (Path, _path),
    (Numbers, _numbers),
    (tuple, _parts),
)


def _check_bounds(number: Any, low: float | None, high: float | None) -> None:
    if low is not None and not number >= low:
        raise ValueError(f"expected at least {low:.15g}, found {number}")
    if high is not None and not number <= high:
        raise ValueError(f"expected at most {high:.15g}, found {number}")
