"""JSON with half of a surrogate pair, which many writers leave where they cut a text.

It is no character, so that strict readers refuse it, in words that do not say why.
"""

import json
from typing import Any


def read_with_halves(text: str | bytes) -> Any:
    """Read JSON in which texts may have halves; raises `ValueError` or `RecursionError`."""
    if isinstance(text, bytes):
        text = text.decode(errors="surrogatepass")
    return json.loads(text, parse_constant=_refuse)


def half_problem(text: str | bytes) -> str:
    """Return that JSON has half of a surrogate pair; empty if it has none, or is no JSON."""
    try:
        json.dumps(read_with_halves(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "a text has half of a surrogate pair, which is no character"
    except (ValueError, RecursionError):
        pass
    return ""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
