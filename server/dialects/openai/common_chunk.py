"""A fast path for the common chunk of an answer: one piece of text and nothing else to read.

Rules:

1. Nearly all chunks are such, so just what is needed of one is decoded. A field that would mean
   something has to be absent, null or empty here; with anything in it, the chunk does not decode,
   and is for the general way.
2. One answer's common chunks mostly differ in their text alone. The bytes around the text of one
   are remembered, after a look that they are what they are taken for: by putting another text
   between them. A chunk with the same bytes around characters that JSON writes as they are is
   then known without decoding it. A server whose chunks differ in more, each time, soon is not
   tried this way any more.
3. On a busy machine a read brings several chunks. If all are common ones they are read one by one,
   so that what falls behind does not take the long way on top of that.
"""

import re
from typing import Final, Literal

import msgspec

from server.core.protocol import TokenInfo
from server.core.sse import lone_data
from server.dialects.base import NO_TOKEN_ID

# Characters that stand for themselves inside a JSON string.
_PLAIN: Final = re.compile(rb'[^"\\\x00-\x1f]+').fullmatch
_END_OF_EVENT: Final = b"\n\n"
_PROBE: Final = "\u00abprobe\u00bb"
# A text of more bytes than this is decoded the careful way.
_MAX_BYTES: Final = 64 * 1024
# So often the bytes around a text may be remembered in vain.
_MAX_STRIKES: Final = 4

_Nothing = Literal[""] | None


class _Delta(msgspec.Struct, gc=False):
    content: str
    reasoning_content: _Nothing = None
    reasoning: _Nothing = None
    reasoning_details: None = None
    thinking: _Nothing = None
    tool_calls: None = None
    refusal: _Nothing = None
    function_call: None = None


class _ChatChoice(msgspec.Struct, gc=False):
    delta: _Delta
    index: Literal[0] = 0
    finish_reason: _Nothing = None
    logprobs: None = None
    token_ids: None = None
    message: None = None
    error: None = None
    usage: None = None


class _TextChoice(msgspec.Struct, gc=False):
    text: str
    index: Literal[0] = 0
    finish_reason: _Nothing = None
    logprobs: None = None
    token_ids: None = None
    delta: None = None
    message: None = None
    error: None = None
    usage: None = None


class _ChatChunk(msgspec.Struct, gc=False):
    choices: tuple[_ChatChoice]
    error: None = None
    usage: None = None
    timings: None = None
    prompt_progress: None = None
    x_groq: None = None


class _TextChunk(msgspec.Struct, gc=False):
    choices: tuple[_TextChoice]
    error: None = None
    usage: None = None
    timings: None = None
    prompt_progress: None = None
    x_groq: None = None


_chat_chunk = msgspec.json.Decoder(_ChatChunk)
_text_chunk = msgspec.json.Decoder(_TextChunk)


class CommonChunks:
    """Read the common chunks of one answer."""

    __slots__ = (
        "_fewest_bytes",
        "_has_hit",
        "_head",
        "_head_bytes",
        "_is_chat",
        "_strikes",
        "_tail",
        "_tail_bytes",
    )

    def __init__(self, *, is_chat: bool) -> None:
        self._is_chat = is_chat
        self._head = b""
        self._tail = b""
        self._head_bytes = 0
        self._tail_bytes = 0
        self._fewest_bytes = _MAX_BYTES
        self._has_hit = False
        self._strikes = 0

    def tokens(self, chunk: bytes) -> list[TokenInfo] | None:
        """Return the tokens of the common chunks that a read is, None if it has anything else.

        Only for a read that begins an event. What is None here is for the general way.
        """
        text = self.text(chunk)
        if text is not None:
            return [TokenInfo(NO_TOKEN_ID, text, None, False)] if text else []
        if not chunk.endswith(_END_OF_EVENT) or chunk.count(_END_OF_EVENT) == 1:
            return None
        tokens: list[TokenInfo] = []
        for event in chunk.split(_END_OF_EVENT)[:-1]:
            text = self.text(event + _END_OF_EVENT)
            if text is None:
                return None
            if text:
                tokens.append(TokenInfo(NO_TOKEN_ID, text, None, False))
        return tokens

    def text(self, chunk: bytes) -> str | None:
        """Return the text of the one common chunk that a read is, None if it is anything else.

        Only for a read that begins an event.
        """
        if (
            chunk.startswith(self._head)
            and chunk.endswith(self._tail)
            and self._fewest_bytes < len(chunk) < _MAX_BYTES
        ):
            middle = chunk[self._head_bytes : -self._tail_bytes]
            if _PLAIN(middle):
                self._has_hit = True
                try:
                    return middle.decode()
                except UnicodeDecodeError:
                    return None
        data = lone_data(chunk)
        if data is None:
            return None
        try:
            # Not UTF-8, in whatever field, makes an event unreadable.
            text = self._decode(data if data.isascii() else data.decode())
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if self._strikes < _MAX_STRIKES:
            self._remember(chunk, text)
        return text

    def _decode(self, data: bytes | str) -> str:
        if self._is_chat:
            return _chat_chunk.decode(data).choices[0].delta.content
        return _text_chunk.decode(data).choices[0].text

    def _remember(self, chunk: bytes, text: str) -> None:
        written = text.encode()
        if not _PLAIN(written):
            return
        self._strikes = 0 if self._has_hit else self._strikes + 1
        self._has_hit = False
        head, quoted, tail = chunk.partition(b'"%b"' % written)
        head, tail = head + b'"', b'"' + tail
        data = lone_data(head + _PROBE.encode() + tail)
        try:
            is_text = quoted and data is not None and self._decode(data.decode()) == _PROBE
        except msgspec.DecodeError:
            is_text = False
        if is_text:
            self._head, self._head_bytes = head, len(head)
            self._tail, self._tail_bytes = tail, len(tail)
            self._fewest_bytes = len(head) + len(tail)
