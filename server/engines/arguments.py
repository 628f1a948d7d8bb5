"""A model's `arguments` as words, each of which is on its engine's list."""

import re
import shlex
from collections.abc import Sequence
from typing import Final

from server.engines.engine import Engine

# No blank and no character of a shell: TGI's entry point passes its arguments on through one.
_VALUE: Final = re.compile(r"[A-Za-z0-9._,:/=@+-]+")
_NEGATIVE: Final = re.compile(r"-\d+(\.\d+)?")


def split_arguments(text: str, engine: Engine) -> list[str]:
    """Return the arguments in `text` as words; raises `ValueError` for one not on the list."""
    words = shlex.split(text)
    arguments: list[str] = []
    while words:
        name, has_value, value = words.pop(0).partition("=")
        if name in engine.without_value and not has_value:
            arguments.append(name)
            continue
        if name not in engine.with_value:
            known = ", ".join(sorted(engine.with_value | engine.without_value)) or "none"
            raise ValueError(
                f"{name} is not allowed here for engine = {engine.name}; expected one of {known}"
            )
        if not has_value:
            value = words.pop(0) if words else ""
        is_name = value.startswith("-") and not _NEGATIVE.fullmatch(value)
        if not _VALUE.fullmatch(value) or is_name:
            raise ValueError(f"{name}: expected a value without blanks, found {value!r}")
        arguments += [name, value]
    return arguments


def gpu_share(engine: Engine, words: Sequence[str]) -> float | None:
    """Return the share of a GPU's memory that arguments name, None where they name none.

    Raises `ValueError` for one that is no share.
    """
    share: float | None = None
    for place, name in enumerate(words):
        found, has_value, given = name.partition("=")
        if engine.gpu_argument and found == engine.gpu_argument:
            text = given if has_value else " ".join(words[place + 1 : place + 2])
            try:
                share = float(text)
            except ValueError:
                raise ValueError(f"{found}: expected a number, found {text!r}") from None
            if not 0 < share <= 1:
                raise ValueError(f"{found}: expected more than 0 and at most 1, found {text}")
    return share
