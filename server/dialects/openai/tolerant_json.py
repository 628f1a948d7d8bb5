"""JSON as model servers write it: strictly first, then as far as it makes sense.

Probabilities of nothing come as NaN and Infinity, which JSON does not have; they are None here.
Half of a character written as two escapes is no text; it is U+FFFD here.
"""

import json
import re
from typing import Any, Final

import msgspec

_HALF: Final = re.compile("[\ud800-\udfff]")
_decoder = msgspec.json.Decoder()


def decode(text: str | bytes) -> Any:
    """Return what a text means; raises `ValueError` if it is no JSON, however tolerantly read."""
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        pass
    try:
        value = json.loads(text, parse_constant=lambda _: None, strict=False)
        written = json.dumps(value, ensure_ascii=False)
        return _decoder.decode(_HALF.sub("\ufffd", written)) if _HALF.search(written) else value
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def decode_or_none(text: str | bytes) -> Any:
    """Return what a text means, None where it is no JSON."""
    try:
        return decode(text)
    except ValueError:
        return None


def decode_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the object that a text is, None if it is anything else."""
    value = decode_or_none(text)
    return value if isinstance(value, dict) else None
