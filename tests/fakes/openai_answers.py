"""What the fake of OpenAI's form says: events, whole answers and errors, all without I/O.

`tokens_of(text)` is what one token is here, so that a test can tell the whole answer beforehand.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.openai_options import FakeOptions

CREATED = 1_700_000_000


@dataclass(frozen=True)
class Event:
    """One event of a stream; `has_words` if it holds some of the answer or of the thinking."""

    data: Any
    has_words: bool = False


class Refusal(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error", **more: Any):
        super().__init__(message)
        self.status, self.message, self.kind, self.more = status, message, kind, more


def tokens_of(text: str) -> list[str]:
    """Return a text's tokens: words and signs, each with the space before it."""
    return re.findall(r"\s?\w+|\s?[^\w\s]|\s", text)


@dataclass(frozen=True)
class Answer:
    """What a request is answered: all that its events are made of."""

    options: FakeOptions
    is_chat: bool
    model: str
    wants_usage: bool
    wants_logprobs: bool
    prompt_tokens: int
    thoughts: list[str]
    tokens: list[str]
    reason: str

    def events(self) -> Iterator[Event]:
        """Return the stream's events, without `[DONE]`."""
        options = self.options
        for piece in options.loading:
            yield Event({"choices": [{"delta": {"reasoning_content": piece}}]}, has_words=True)
        if self.is_chat and options.role == "own":
            yield Event(self._chunk({"role": "assistant", "content": ""}))
        for thought in _together(self.thoughts, options.per_event):
            yield Event(self._chunk({options.reasoning_field: "".join(thought)}), has_words=True)
        said = 0
        groups = list(_together(self.tokens, options.per_event))
        for number, group in enumerate(groups):
            said += len(group)
            delta: dict[str, Any] = {"content": "".join(group)}
            if number == 0 and options.role == "first":
                delta = {"role": "assistant", **delta}
            is_last = number + 1 == len(groups) and options.finish_place == "last"
            yield Event(self._chunk(delta, group, is_last=is_last, said=said), has_words=True)
        if options.finish_place == "own" or (options.finish_place == "last" and not groups):
            yield Event(self._chunk({}, is_last=True, said=said))
        is_asked = options.usage in ("asked", "choice", "zeros") and self.wants_usage
        if is_asked or options.usage in ("own", "every"):
            chunk = self._chunk({}, said=said)
            if options.usage != "choice":
                chunk["choices"] = []
            yield Event({**chunk, "usage": self.usage()})

    def whole(self) -> dict[str, Any]:
        """Return the answer to a request that asked for no stream."""
        text = "".join(self.tokens)
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.reason}
        if self.is_chat:
            message = {"role": "assistant", "content": text}
            if self.thoughts:
                message[self.options.reasoning_field] = "".join(self.thoughts)
            choice["message"] = message
        else:
            choice["text"] = text
        if self.wants_logprobs:
            choice["logprobs"] = self._logprobs(self.tokens)
        kind = "chat.completion" if self.is_chat else "text_completion"
        return {**self._head(kind), "choices": [choice], "usage": self.usage()}

    def usage(self, said: int | None = None) -> dict[str, int]:
        """Return the costs, or those so far."""
        completion = len(self.thoughts) + (len(self.tokens) if said is None else said)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        }

    def _head(self, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl" if self.is_chat else "cmpl"
        model = self.options.answered_by or self.model
        return {"id": f"{prefix}-fake", "object": kind, "created": CREATED, "model": model}

    def _chunk(
        self,
        delta: dict[str, Any],
        tokens: list[str] | None = None,
        *,
        is_last: bool = False,
        said: int = 0,
    ) -> dict[str, Any]:
        options = self.options
        choice: dict[str, Any] = {"index": 0}
        if self.is_chat:
            choice["delta"] = delta
        else:
            choice["text"] = delta.get("content", "")
        if self.wants_logprobs and tokens:
            choice["logprobs"] = self._logprobs(tokens)
        if is_last:
            choice["finish_reason"] = self.reason
        elif options.no_reason != "absent":
            choice["finish_reason"] = None if options.no_reason == "null" else ""
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        chunk = {**self._head(kind), "choices": [choice]}
        if options.usage == "every":
            chunk["usage"] = self.usage(said)
        elif options.usage == "zeros":
            chunk["usage"] = dict.fromkeys(self.usage(), 0)
        elif options.usage == "finish" and is_last:
            chunk["usage"] = self.usage()
        return chunk

    def _logprobs(self, tokens: list[str]) -> dict[str, Any]:
        if self.options.logprobs == "legacy" and not self.is_chat:
            return {
                "tokens": tokens,
                "token_logprobs": [-0.5] * len(tokens),
                "top_logprobs": [{token: -0.5, " other": -1.5} for token in tokens],
                "text_offset": [0] * len(tokens),
            }

        def entry(token: str, logprob: float) -> dict[str, Any]:
            known: dict[str, Any] = {"token": token, "logprob": logprob}
            known["bytes"] = list(token.encode())
            if self.options.flavour == "llama.cpp":
                known["id"] = token_id(token)
            return known

        content = [
            {**entry(token, -0.5), "top_logprobs": [entry(token, -0.5), entry(" other", -1.5)]}
            for token in tokens
        ]
        return {"content": content}


def token_id(token: str) -> int:
    """Return the id of a token, where the flavour tells ids."""
    return sum(token.encode()) % 50_000


def answer(options: FakeOptions, body: dict[str, Any], *, is_chat: bool) -> Answer:
    """Return what a request is answered; raises `Refusal`."""
    known = [*options.models, *_aliases(options)]
    if options.strict_model and body.get("model") not in known:
        raise Refusal(404, f"The model `{body.get('model')}` does not exist.", "NotFoundError")
    for name in body:
        if name in options.refuses:
            raise Refusal(400, f"Unsupported parameter: '{name}'", param=name)
        if options.takes is not None and name not in options.takes:
            raise Refusal(422, f"Unexpected field: {name}", param=name)
    if options.is_blind and '"image_url"' in json.dumps(body):
        raise Refusal(
            500, "image input is not supported - hint: provide the mmproj", "server_error"
        )
    prompt_tokens = options.prompt_tokens or len(tokens_of(_prompt_text(body, is_chat=is_chat)))
    if options.max_prompt_tokens is not None and prompt_tokens > options.max_prompt_tokens:
        raise _too_long(options, prompt_tokens)
    text, reason = options.text, options.finish_reason
    stops = body.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        if stop and stop in text:
            text, reason = text[: text.index(stop)], "stop"
    tokens = tokens_of(text)
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit is not None and 0 <= limit < len(tokens):
        tokens, reason = tokens[:limit], "length"
    asked = body.get("logprobs")
    return Answer(
        options,
        is_chat=is_chat,
        model=str(body.get("model") or options.models[0]),
        wants_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        wants_logprobs=bool(options.logprobs) and asked is not None and asked is not False,
        prompt_tokens=prompt_tokens,
        thoughts=tokens_of(options.reasoning) if is_chat else [],
        tokens=tokens,
        reason=reason,
    )


def error_body(options: FakeOptions, refusal: Refusal) -> tuple[str, bytes]:
    """Return the content type and the body of an error, in the form the options say."""
    status, text, kind, more = refusal.status, refusal.message, refusal.kind, refusal.more
    param = more.get("param")
    nested = {"message": text, "type": kind, "param": param}
    form = options.error_form or "vllm"
    bodies: dict[str, Any] = {
        "vllm": {"error": {**nested, "code": status}},
        "llama.cpp": {"error": {"code": status, "message": text, "type": kind, **more}},
        "litellm": {"error": {**nested, "code": str(status)}},
        "ollama": {"error": {**nested, "code": None}},
        "string": {"error": text, "error_type": kind},
        "detail": {"detail": text},
        "details": {"detail": [{"type": kind, "loc": ["body", param or ""], "msg": text}]},
        "flat": {"object": "error", **nested, "code": status},
    }
    raw = {
        "text": ("text/plain; charset=utf-8", text.encode()),
        "html": ("text/html", f"<html><h1>{status}</h1><p>{text}</p></html>".encode()),
        "empty": ("text/plain", b""),
        "not-json": ("application/json", b'{"error": {"message": "' + text.encode()),
    }
    if form in raw:
        return raw[form]
    return "application/json", to_json(bodies[form])


def to_json(data: object) -> bytes:
    """Return JSON as servers write it: short, and letters as they are."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _too_long(options: FakeOptions, tokens: int) -> Refusal:
    most = options.max_prompt_tokens
    if options.error_form == "llama.cpp":
        text = f"request ({tokens} tokens) exceeds the available context size ({most} tokens)"
        kind = "exceed_context_size_error"
        return Refusal(400, text, kind, n_prompt_tokens=tokens, n_ctx=most)
    text = f"This model's maximum context length is {most} tokens, but the prompt has {tokens}."
    return Refusal(400, text, "BadRequestError", param="input_tokens")


def _aliases(options: FakeOptions) -> list[str]:
    aliases = options.model_fields.get("aliases")
    return list(aliases) if isinstance(aliases, list) else []


def _prompt_text(body: dict[str, Any], *, is_chat: bool) -> str:
    if not is_chat:
        prompt = body.get("prompt", "")
        return prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
    return " ".join(str(message.get("content") or "") for message in body.get("messages") or [])


def _together(tokens: list[str], size: int) -> Iterator[list[str]]:
    for first in range(0, len(tokens), size):
        yield tokens[first : first + size]
