"""Translate OpenAI's requests into the protocol's messages and parameters.

The names of parameters differ; those that no model server has are refused. A parameter that is not
set is as the model's settings say, not OpenAI's default. Clients that cannot leave a field out send
a neutral value: `max_tokens` -1, `top_p` 0, an empty `stop`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from server.core.errors import InvalidCommand, InvalidParameters
from server.core.protocol import Message, PastCall
from server.core.tool_rules import fields_as_parameters
from server.web.http.openai.requests import (
    AssistantMessage,
    ChatMessage,
    ChatOptions,
    ChatTextPart,
    CompletionOptions,
    DeveloperMessage,
    Options,
    SystemMessage,
    ToolMessage,
)
from server.web.http.sidestream_field import with_names

# Fields that mean the same here, by the same name.
_SAME: Final = (
    "temperature",
    "top_k",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
)
_COMMON_NAMES: Final = {"max_new_tokens": "max_tokens", "grammar": "response_format"}
CHAT_NAMES: Final = {
    **_COMMON_NAMES,
    "reasoning": "reasoning_effort",
    "top_n_tokens": "top_logprobs",
}
"""OpenAI's names of our parameters in a chat, where they differ."""
COMPLETION_NAMES: Final = {**_COMMON_NAMES, "top_n_tokens": "logprobs"}
"""OpenAI's names of our parameters in a completion, where they differ."""
OPTIONAL: Final = frozenset({"reasoning"})
"""Our parameters that clients send to every model: those that cannot think ignore them."""
# Ours in place of OpenAI's other words for how much a model thinks.
_EFFORTS: Final = {"none": "off", "minimal": "low", "xhigh": "high", "max": "high"}


def tells_logprobs(options: ChatOptions) -> bool:
    """Tell whether a chat's answer needs log probabilities."""
    return bool(options.top_logprobs) if options.logprobs is None else options.logprobs


def joins_thinking(options: ChatOptions) -> bool:
    """Tell whether a chat's thinking stands in its answer's content."""
    return options.reasoning_format in ("none", "raw")


@contextmanager
def in_openais_words(names: Mapping[str, str]) -> Iterator[None]:
    """Rename parameters to OpenAI's names in errors raised while the context lasts."""
    try:
        yield
    except InvalidParameters as error:
        message, details = with_names(error.message, error.details, names)
        raise InvalidParameters(message, hint=error.hint, details=details) from error


def chat_parameters(options: ChatOptions) -> dict[str, Any]:
    """Return a chat's parameters by our names; raises `InvalidCommand`."""
    if options.functions:
        raise InvalidParameters("`functions` are not supported: give them as `tools`")
    length = _length("max_completion_tokens", options.max_completion_tokens)
    older_length = _length("max_tokens", options.max_tokens)
    return _given(
        {
            **_common(options),
            "max_new_tokens": older_length if length is None else length,
            "top_n_tokens": options.top_logprobs if tells_logprobs(options) else None,
            "reasoning": _EFFORTS.get(options.reasoning_effort or "", options.reasoning_effort),
            **fields_as_parameters(options.tools, options.tool_choice, options.response_format),
        }
    )


def completion_parameters(options: CompletionOptions) -> dict[str, Any]:
    """Return a completion's parameters by our names; raises `InvalidCommand`."""
    if options.suffix:
        raise InvalidParameters("`suffix` is not supported: text is only written to its end")
    if options.best_of not in (None, 1):
        raise InvalidParameters("`best_of` above 1 is not supported: ask again instead")
    if options.echo and options.logprobs is not None:
        raise InvalidParameters("`echo` with `logprobs` is not supported")
    return _given(
        {
            **_common(options),
            "max_new_tokens": _length("max_tokens", options.max_tokens),
            "top_n_tokens": options.logprobs,
        }
    )


def conversation(messages: Sequence[ChatMessage]) -> list[Message]:
    """Return the messages of a chat as the protocol's, without pictures."""
    return [_message(message) for message in messages]


def _message(message: ChatMessage) -> Message:
    text = _text(message)
    if isinstance(message, ToolMessage):
        return Message("tool", text, tool_call_id=message.tool_call_id)
    if isinstance(message, AssistantMessage):
        calls = [
            PastCall(call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or ()
        ]
        return Message("assistant", text, tool_calls=calls)
    is_system = isinstance(message, SystemMessage | DeveloperMessage)
    return Message("system" if is_system else "user", text)


def _text(message: ChatMessage) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    return "".join(part.text for part in content or () if isinstance(part, ChatTextPart))


def _length(name: str, count: int | None) -> int | None:
    if count == 0:
        raise InvalidCommand(f"`{name}` has to be at least 1, or -1 for no length of your own")
    return None if count == -1 else count


def _common(options: Options) -> dict[str, Any]:
    if options.n not in (None, 1):
        raise InvalidParameters("`n` other than 1 is not supported: ask again for another answer")
    seed = options.seed
    stops = [options.stop] if isinstance(options.stop, str) else options.stop or []
    return {
        **{name: getattr(options, name) for name in _SAME},
        "top_p": 1 if options.top_p == 0 else options.top_p,
        # OpenAI's seeds are signed, ours are not.
        "seed": None if seed is None else seed % 2**64,
        "stop": [stop for stop in stops if stop] or None,
    }


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Leave out parameters that are not set: null would remove those of the model's settings."""
    return {name: value for name, value in parameters.items() if value is not None}
