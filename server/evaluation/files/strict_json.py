"""JSON as its standard has it, which Python's reader alone does not insist on."""

import json
from typing import Any, NoReturn


class RepeatedKey(ValueError):
    """An object has the key twice, of which a reader would lose one."""


def read_strictly(text: str) -> Any:
    """Read JSON; raises `RepeatedKey`, or `ValueError` in words that follow "is no JSON"."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} (character {error.pos + 1})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RepeatedKey(key)
        found[key] = value
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not of it")
