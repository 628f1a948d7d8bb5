"""The message of a server's error, from any of the bodies that it may come in.

Bodies: `{"error": {message, type, code, param}}`, with `code` a number, text or null, and facts of
its own beside them; `{"error": "…"}`; the same flat, as `{"object": "error", …}`; `{"detail": …}`
with a text or a list of places; a list around one of these; JSON as text inside a message; plain
text; a page. What was sent, which some repeat as `input`, is not taken along.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from server.dialects.openai.tolerant_json import decode_or_none
from server.dialects.words import as_words, text_or_empty

# Where a server tells a status of its own, inside an answer that began as 200.
_STATUS_FIELDS: Final = ("code", "http_status_code", "status_code", "status")
_MAX_DEPTH: Final = 3
# pydantic's own writing, with the place of the fault and what was wrong with it.
_PLACE: Final = re.compile(r"""'loc': '([^']*)', 'msg': (?:'([^']*)'|"([^"]*)")""")
# Where a request's parts are, seen from their server.
_PARTS: Final = frozenset({"body", "query", "path", "header"})


@dataclass(frozen=True)
class Told:
    """An error in the server's words, and what else it tells."""

    message: str = ""
    kind: str = ""
    """The server's `type`, which is no enumeration."""
    code: str = ""
    status: int = 0
    places: tuple[str, ...] = ()
    """Parameters that are named as the fault, by the server's own names."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the server behind a router, names in lower case."""


def told(body: object, depth: int = 0) -> Told:
    """Read an error: text, bytes, or JSON already decoded."""
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    if isinstance(body, str):
        return _told_in_text(body, depth)
    if isinstance(body, list) and body and depth < _MAX_DEPTH:
        return told(body[0], depth + 1)
    if not isinstance(body, dict):
        return Told()
    error = body.get("error")
    if isinstance(error, dict) and depth < _MAX_DEPTH:
        inner = _told_in_object(error, depth)
        return inner if inner.status else replace(inner, status=_status(body))
    if error:
        return replace(told(error, depth + 1), status=_status(body))
    if "detail" in body:
        return _told_in_detail(body["detail"])
    return _told_in_object(body, depth)


def is_error(item: Mapping[str, Any]) -> bool:
    """Tell whether an object is an error and no part of an answer."""
    if item.get("error") or item.get("object") == "error":
        return True
    if item.get("choices") is not None:
        return False
    return bool(item.get("detail")) or (
        isinstance(item.get("message"), str)
        and ("code" in item or "error" in text_or_empty(item.get("type")).lower())
    )


def _told_in_text(text: str, depth: int) -> Told:
    if depth < _MAX_DEPTH and text.lstrip()[:1] in ("{", "["):
        found = told(decode_or_none(text), depth + 1)
        if found.message:
            return found
    places = [(place, first or second) for place, first, second in _PLACE.findall(text)]
    return _with_places(places) if places else Told(as_words(text))


def _told_in_object(error: Mapping[str, Any], depth: int) -> Told:
    message = error.get("message") or error.get("msg") or error.get("detail") or ""
    inner = told(message, depth + 1)
    metadata = error.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if isinstance(raw := metadata.get("raw"), str) and raw:
        # A router's own message says no more than that there was an error.
        behind = told(raw, depth + 1).message
        inner = replace(inner, message=as_words(f"{inner.message}: {behind}"))
    param = error.get("param")
    places = _places([param]) if isinstance(param, str) else ()
    headers = metadata.get("headers")
    return Told(
        inner.message
        or as_words(text_or_empty(error.get("type")) or text_or_empty(error.get("code"))),
        text_or_empty(error.get("type")) or inner.kind,
        text_or_empty(error.get("code")) or inner.code,
        _status(error) or inner.status,
        places or inner.places,
        {**inner.facts, **{key: error[key] for key in error if isinstance(error[key], int)}},
        {name.lower(): str(headers[name]) for name in headers} if isinstance(headers, dict) else {},
    )


def _told_in_detail(detail: object) -> Told:
    if isinstance(detail, str):
        return _told_in_text(detail, 1)
    if isinstance(detail, dict):
        return _told_in_object(detail, 1)
    places: list[tuple[str, str]] = []
    for fault in detail if isinstance(detail, list) else []:
        if isinstance(fault, dict):
            loc = fault.get("loc")
            parts = loc if isinstance(loc, list) else []
            places.append((".".join(map(str, parts)), text_or_empty(fault.get("msg"))))
        else:
            places.append(("", text_or_empty(fault)))
    return _with_places(places)


def _with_places(faults: list[tuple[str, str]]) -> Told:
    lines = [f"{place}: {words}" if place else words for place, words in faults]
    return Told(as_words("; ".join(lines)), places=_places([place for place, _ in faults]))


def _places(paths: list[str]) -> tuple[str, ...]:
    """Return the parameters that paths such as `body.stop.0` begin with, once each."""
    names: dict[str, None] = {}
    for path in paths:
        first = next((part for part in path.split(".") if part not in _PARTS), "")
        if first.isidentifier():
            names[first] = None
    return tuple(names)


def _status(error: Mapping[str, Any]) -> int:
    for name in _STATUS_FIELDS:
        value = error.get(name)
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(number, int) and 400 <= number < 600:
            return number
    return 0
