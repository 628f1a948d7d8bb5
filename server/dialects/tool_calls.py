"""The calls of tools in one answer, out of fragments as servers send them.

Rules:

1. A fragment belongs to the call of its index, unless it has another id. Without an index, a new id
   or another name begins a call, and so does a name where the last call is whole; anything else
   goes on with the last call. The later items of one list that have a name begin calls, too.
2. A name that is repeated is the same name. Arguments may come as an object: its text is JSON.
3. Calls are handed on one after the other. Fragments of others are held back until the one that is
   handed on is whole, or other text comes, or the answer ends. So is a call without a name.
4. Around each call stand marks, so that a client that reads an answer as one text reads JSON. A
   call without arguments has an empty object.
5. Nothing is lost: a fragment for a call whose mark is closed comes behind it, without marks.
6. A call without an id gets one, so that it can be answered: nine letters and digits, which is what
   the strictest templates take.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from server.core.protocol import TokenInfo, ToolCall
from server.dialects.base import NO_TOKEN_ID

_OPENING: Final = '<tool_call>\n{{"name": {}, "arguments": '
_CLOSING: Final = "}\n</tool_call>\n"
_NO_ARGUMENTS: Final = "{}"


@dataclass(slots=True)
class _Call:
    place: int
    id: str = ""
    told_id: str = ""
    """The id as the server told it."""
    name: str = ""
    told_arguments: object = None
    """The arguments where they came as an object, and not as its text."""
    arguments: list[str] = field(default_factory=list)
    handed_on: int = 0
    """How many pieces of the arguments have been handed on."""
    is_closed: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing but blanks can follow."""
        last = next((piece for piece in reversed(self.arguments) if piece.strip()), "")
        if not last.rstrip().endswith("}"):
            return False
        try:
            return isinstance(msgspec.json.decode("".join(self.arguments)), dict)
        except (msgspec.DecodeError, RecursionError):
            return False


class ToolCalls:
    """Label the fragments of one answer's calls, and put marks around each call.

    `id_prefix` has eight characters that ids begin with which are made here.
    """

    __slots__ = ("_by_index", "_calls", "_id_prefix", "_open")

    def __init__(self, id_prefix: str = "") -> None:
        self._id_prefix = id_prefix or secrets.token_hex(4)
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        # The first of the calls that is not closed, as far as it has a name.
        self._open: _Call | None = None

    @property
    def is_open(self) -> bool:
        """Whether something has to be closed before other text."""
        return bool(self._calls) and not self._calls[-1].is_closed

    def take(self, fragments: Sequence[object]) -> list[TokenInfo]:
        """Take the fragments of one chunk; return what can be handed on."""
        tokens: list[TokenInfo] = []
        for number, fragment in enumerate(fragments):
            if isinstance(fragment, dict):
                self._add(fragment, tokens, is_first=number == 0)
        return tokens

    def take_whole(self, calls: Sequence[object]) -> list[TokenInfo]:
        """Take calls that come whole, whatever their indices; return them with all marks."""
        tokens = self.close()
        for call in calls:
            if isinstance(call, dict):
                # Ollama counts calls anew in each line, and has the index in the function.
                tokens += [*self.take([{**call, "index": None}]), *self.close()]
        return tokens

    def told(self) -> list[dict[str, Any]]:
        """Return the calls so far as the server told them, in OpenAI's form."""
        return [
            {
                "id": call.told_id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": "".join(call.arguments)
                    if call.told_arguments is None
                    else call.told_arguments,
                },
            }
            for call in self._calls
        ]

    def close(self) -> list[TokenInfo]:
        """Return what is held back, and closing marks: before other text, and at the end."""
        tokens: list[TokenInfo] = []
        if self.is_open:
            for call in self._calls:
                if not call.is_closed:
                    self._hand_on(call, tokens)
                    self._close(call, tokens)
        self._open = None
        return tokens

    def _add(self, fragment: Mapping[str, Any], tokens: list[TokenInfo], *, is_first: bool) -> None:
        function = fragment.get("function")
        function = function if isinstance(function, dict) else {}
        call_id, name = _text(fragment.get("id")), _text(function.get("name"))
        told = function.get("arguments")
        arguments = _arguments(told)
        if not (call_id or name or arguments):
            return
        call = self._find(fragment.get("index"), call_id, name, is_first=is_first)
        call.told_id = call.told_id or call_id
        if told is not None and not isinstance(told, str):
            call.told_arguments = told
        if arguments:
            call.arguments.append(arguments)
        if call.is_closed:
            if arguments:
                tokens.append(_token(arguments, self._label(call)))
            return
        if call is not self._open:
            call.id, call.name = call.id or call_id, call.name or name
        self._advance(tokens)

    def _find(self, index: object, call_id: str, name: str, *, is_first: bool) -> _Call:
        place = index if isinstance(index, int) and not isinstance(index, bool) else None
        known = None if place is None else self._by_index.get(place)
        # Some servers number every call of an answer 0.
        if known is not None and call_id in ("", known.told_id or call_id):
            return known
        last = self._calls[-1] if self._calls else None
        if (
            place is not None
            or last is None
            or (last.is_closed and name)
            or self._begins(last, call_id, name, is_first=is_first)
        ):
            call = _Call(len(self._calls))
            self._calls.append(call)
            if place is not None:
                self._by_index[place] = call
            return call
        return last

    @staticmethod
    def _begins(last: _Call, call_id: str, name: str, *, is_first: bool) -> bool:
        if call_id and last.id:
            return call_id != last.id
        if not name or not last.name:
            return False
        return name != last.name or not is_first or last.is_whole

    def _advance(self, tokens: list[TokenInfo]) -> None:
        """Hand on what is next in turn."""
        first = self._open.place if self._open is not None else 0
        for call in self._calls[first:]:
            if call.is_closed:
                continue
            if not call.name:
                return
            self._hand_on(call, tokens)
            if call is self._calls[-1] or not call.is_whole:
                return
            self._close(call, tokens)

    def _hand_on(self, call: _Call, tokens: list[TokenInfo]) -> None:
        if call is not self._open:
            call.id = call.id or f"{self._id_prefix}{call.place}"
            self._open = call
            name = msgspec.json.encode(call.name).decode()
            tokens.append(_token(_OPENING.format(name), self._label(call), is_mark=True))
        label = self._label(call)
        tokens += (_token(piece, label) for piece in call.arguments[call.handed_on :])
        call.handed_on = len(call.arguments)

    def _close(self, call: _Call, tokens: list[TokenInfo]) -> None:
        call.is_closed = True
        if not "".join(call.arguments).strip():
            tokens.append(_token(_NO_ARGUMENTS, self._label(call)))
        tokens.append(_token(_CLOSING, self._label(call), is_mark=True))

    @staticmethod
    def _label(call: _Call) -> ToolCall:
        return ToolCall(call.place, call.name, call.id)


def _token(text: str, call: ToolCall, *, is_mark: bool = False) -> TokenInfo:
    return TokenInfo(NO_TOKEN_ID, text, None, False, kind="tool_call", mark=is_mark, call=call)


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _arguments(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()
