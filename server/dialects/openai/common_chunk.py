"""The common chunk of an answer: one piece of text, and nothing else that would have to be read.

Nearly all chunks are such, so just what is needed of one is decoded, once. A field that would mean
something has to be absent, null or empty here; with anything in it, the chunk does not decode, and
is for the general way.
"""

from typing import Literal

import msgspec

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


class ChatChunk(msgspec.Struct, gc=False):
    """A piece of a chat's answer."""

    choices: tuple[_ChatChoice]
    error: None = None
    usage: None = None
    prompt_progress: None = None
    x_groq: None = None


class TextChunk(msgspec.Struct, gc=False):
    """A piece of a completion."""

    choices: tuple[_TextChoice]
    error: None = None
    usage: None = None
    prompt_progress: None = None
    x_groq: None = None


chat_chunk = msgspec.json.Decoder(ChatChunk)
text_chunk = msgspec.json.Decoder(TextChunk)
