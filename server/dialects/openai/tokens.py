"""The tokens of a chunk: its text, with ids and probabilities where the server tells them.

Rules:

1. The text is never changed, lost or doubled: entries of `logprobs` become tokens only if their
   texts join to it; otherwise the text is one token without an id. With stop texts, vLLM holds
   back characters of the text and not the entries beside it.
2. An entry that llama.cpp made of several tokens has the id and probability of the last of them.
   Where it is told how many those are, the others come before it without text, see `unseen`. Where
   it is not, and an alternative shows the same id with another text, the entry becomes a token
   without either.
3. A token without text of its own in the answer, beside the end, is a special one; so is one that
   has an id and no bytes.
4. What is no number, as NaN, is an unknown probability.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from server.core.protocol import Alternative, TokenInfo
from server.dialects.base import NO_TOKEN_ID
from server.dialects.openai.unseen import unseen_tokens
from server.dialects.words import text_or_empty


class _Entry(NamedTuple):
    token_id: int
    text: str
    logprob: float | None
    top: list[Alternative] | None
    is_special: bool = False


def plain(text: str) -> TokenInfo:
    """Return text of which no more is known."""
    return TokenInfo(NO_TOKEN_ID, text, None, False)


def read_tokens(
    text: str,
    logprobs: object,
    token_ids: object,
    *,
    is_end: bool = False,
    unseen: int | None = None,
) -> list[TokenInfo]:
    """Return the tokens that have this text; `is_end` where the model itself ended the answer.

    `unseen` is how many tokens without text of their own came before the last, where that is known.
    """
    ids = [item for item in _list(token_ids) if isinstance(item, int)]
    entries = _entries(logprobs) if isinstance(logprobs, dict) else []
    if entries:
        if "".join(entry.text for entry in entries) == text:
            tokens = _tokens(entries, ids, is_known=unseen is not None)
            return [*unseen_tokens(unseen or 0), *tokens]
        if not text and is_end and len(entries) == 1:
            entry = entries[0]
            return [TokenInfo(_id(entry, ids), entry.text, entry.logprob, True, entry.top)]
    elif len(ids) == 1:
        return [TokenInfo(ids[0], text, None, is_end and not text)]
    return [plain(text)] if text else []


def _tokens(entries: Sequence[_Entry], ids: Sequence[int], *, is_known: bool) -> list[TokenInfo]:
    if len(ids) != len(entries):
        ids = []
    return [
        plain(entry.text)
        if not is_known and _is_merged(entry)
        else TokenInfo(
            _id(entry, ids[n : n + 1]), entry.text, entry.logprob, entry.is_special, entry.top
        )
        for n, entry in enumerate(entries)
    ]


def _id(entry: _Entry, ids: Sequence[int]) -> int:
    return ids[0] if entry.token_id == NO_TOKEN_ID and len(ids) == 1 else entry.token_id


def _is_merged(entry: _Entry) -> bool:
    return entry.token_id != NO_TOKEN_ID and any(
        other.id == entry.token_id and other.text != entry.text for other in entry.top or ()
    )


def _entries(logprobs: Mapping[str, Any]) -> list[_Entry]:
    if content := _list(logprobs.get("content")):
        return [_entry(item) for item in content if isinstance(item, dict)]
    values, tops = _list(logprobs.get("token_logprobs")), _list(logprobs.get("top_logprobs"))
    return [
        _Entry(
            NO_TOKEN_ID,
            text_or_empty(text),
            _number(values[n]) if n < len(values) else None,
            _keyed_alternatives(tops[n]) if n < len(tops) else None,
        )
        for n, text in enumerate(_list(logprobs.get("tokens")))
    ]


def _entry(item: Mapping[str, Any]) -> _Entry:
    top = [
        Alternative(
            _number_of(other), text_or_empty(other.get("token")), _number(other.get("logprob"))
        )
        for other in _list(item.get("top_logprobs"))
        if isinstance(other, dict)
    ]
    token_id, text = _number_of(item), text_or_empty(item.get("token"))
    # What has an id and not a byte is shown to nobody.
    is_special = token_id != NO_TOKEN_ID and not text and item.get("bytes") == []
    return _Entry(token_id, text, _number(item.get("logprob")), top or None, is_special)


def _keyed_alternatives(top: object) -> list[Alternative] | None:
    """Return the alternatives of the older form, keyed by text: those of one text are one."""
    if not isinstance(top, dict):
        return None
    return [Alternative(NO_TOKEN_ID, text, _number(value)) for text, value in top.items()] or None


def _number_of(item: Mapping[str, Any]) -> int:
    value = item.get("id")
    return value if isinstance(value, int) else NO_TOKEN_ID


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
