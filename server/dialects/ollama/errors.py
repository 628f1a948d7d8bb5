"""Translate Ollama's errors into the protocol's.

Strategy: Ollama says what is wrong in one text, `{"error": TEXT}`, and hands on what its engine
(`llama-server`) says as JSON within that text. The engine's words are taken out, and the kind of
error is told by status and words, because Ollama names none.

The words are those of its sources of 2026-08 and, for servers of last year, of its own engine.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from server.core.errors import (
    EngineError,
    EngineLimited,
    EngineLost,
    EngineOverloaded,
    InvalidParameters,
    PromptTooLong,
    SidestreamError,
)
from server.dialects.http.client import Reply
from server.dialects.pictures import vision_refusal
from server.dialects.words import as_words, text_or_empty

_TOO_LONG: Final = (
    "exceeds the available context size",
    "exceeds the context length",
    "exceeds maximum context length",
    "prompt is too long",
)
_WRONG_PARAMETER: Final = re.compile(
    r'option "\w+" must be|invalid format:|does not support (tools|thinking|insert)'
    r"|failed to parse grammar|JSON schema conversion failed|top_logprobs must be"
)
# The model's own engine, a process of its own, is gone; Ollama is there and starts it again.
_ENGINE_GONE: Final = re.compile(
    r"unexpected EOF|connection reset|connection refused|no longer running|forcibly closed"
)


class _Said(msgspec.Struct):
    """What a body says, and what its engine counted."""

    message: str
    kind: str = ""
    status: int | None = None
    prompt_tokens: int | None = None
    context_tokens: int | None = None
    signin_url: str = ""


def failure(reply: Reply, *, model: str = "") -> SidestreamError:
    """Return the error that an answer with another status than 200 stands for."""
    try:
        value = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = reply.body.decode(errors="replace")
    said = _read(value, f"HTTP {reply.status}")
    return vision_refusal(said.message) or _translate(said, reply.status, reply.headers, model)


def failure_in_answer(error: Any, *, model: str = "") -> SidestreamError:
    """Return the error that an `error` within an answer of status 200 stands for."""
    said = _read({"error": error}, "no reason given")
    return vision_refusal(said.message) or _translate(said, said.status or 200, {}, model)


def _read(value: Any, otherwise: str) -> _Said:
    """Take the words out of however many layers of JSON they are wrapped in."""
    said = _Said("")
    for _ in range(4):
        if isinstance(value, str):
            try:
                inner = msgspec.json.decode(value) if value.lstrip().startswith("{") else None
            except (msgspec.DecodeError, RecursionError):
                inner = None
            if not isinstance(inner, dict):
                said.message = as_words(value)
                break
            value = inner
        if not isinstance(value, dict):
            said.message = "" if value is None else as_words(str(value))
            break
        said.kind = text_or_empty(value.get("type")) or said.kind
        said.status = _number(value.get("code")) or said.status
        said.prompt_tokens = _number(value.get("n_prompt_tokens")) or said.prompt_tokens
        said.context_tokens = _number(value.get("n_ctx")) or said.context_tokens
        said.signin_url = text_or_empty(value.get("signin_url")) or said.signin_url
        value = value.get("error", value.get("message"))
    said.message = said.message or otherwise
    return said


def _translate(said: _Said, status: int, headers: Mapping[str, str], model: str) -> SidestreamError:
    words = said.message
    if said.kind == "exceed_context_size_error" or any(part in words for part in _TOO_LONG):
        return _too_long(said)
    if status == 429:
        after = headers.get("retry-after", "")
        return EngineLimited(
            f"the model server takes no more requests for a while: {words}",
            retry_after_seconds=float(after) if after.isdecimal() else None,
        )
    if status == 503 or "pending requests exceeded" in words:
        return EngineOverloaded(
            "the model server has no place for another request just now", details={"said": words}
        )
    if status in (401, 403):
        return _refused(said, status)
    if status == 404 or ("model" in words and "not found" in words):
        return _not_found(words, model)
    if "does not support chat" in words or "does not support generate" in words:
        return EngineError(f"the model writes no text: {words}")
    if _WRONG_PARAMETER.search(words):
        return InvalidParameters(f"the model server refuses it: {words}")
    if "illegal instruction" in words:
        return EngineError(
            f"the model server's engine cannot run on this processor: {words}",
            hint="install the build of Ollama that is made for it",
        )
    if _ENGINE_GONE.search(words) and "process has terminated" not in words:
        return EngineLost(f"the model server's engine broke off: {words}")
    if status in (400, 422):
        return InvalidParameters(f"the model server refuses it: {words}")
    answered = "reports" if status == 200 else f"answered {status}"
    return EngineError(f"the model server {answered}: {words}")


def _too_long(said: _Said) -> PromptTooLong:
    counted = {"n_prompt_tokens": said.prompt_tokens, "n_ctx": said.context_tokens}
    details = {name: tokens for name, tokens in counted.items() if tokens is not None}
    if len(details) < len(counted):
        return PromptTooLong(f"the prompt is too long: {said.message}", details=details or None)
    return PromptTooLong(
        f"the prompt has {said.prompt_tokens} tokens; the model server has the model loaded with "
        f"a context of {said.context_tokens}",
        details=details,
    )


def _refused(said: _Said, status: int) -> EngineError:
    if said.signin_url:
        return EngineError(
            "the model is one of Ollama's cloud, and the server is not signed in there",
            hint="run `ollama signin` on the server's machine",
            details={"signin_url": said.signin_url},
        )
    if status == 403:
        return EngineError(
            f"the model server forbids it: {said.message}",
            hint="under another name than its own it answers only when `OLLAMA_HOST` is set there",
        )
    return EngineError(
        f"the model server refuses the API key: {said.message}",
        hint="set `api_key` in the model's section",
    )


def _not_found(words: str, model: str) -> EngineError:
    if "page not found" in words or not model:
        return EngineError(
            f"it does not speak Ollama's API: {words}",
            hint="mend `url`, which is Ollama's without a path, such as http://127.0.0.1:11434, or "
            "leave `dialect` out",
        )
    return EngineError(
        f"the model server does not have the model: {words}",
        hint=f"fetch it there with `ollama pull {model}`",
    )


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
