"""JSON as model servers write it: strictly first, then as far as it makes sense.

Probabilities of nothing come as NaN and Infinity, which JSON does not have; they are None here.
"""

import json
from typing import Any

import msgspec

_decoder = msgspec.json.Decoder()


def decode(text: str | bytes) -> Any:
    """Return what a text means; raises `ValueError` if it is no JSON, however tolerantly read."""
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        pass
    try:
        return json.loads(text, parse_constant=lambda _: None, strict=False)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def decode_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the object that a text is, None if it is anything else."""
    try:
        value = decode(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
