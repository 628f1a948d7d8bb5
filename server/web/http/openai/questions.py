"""Turn what OpenAI's clients ask into what our models take, or say why it cannot be.

Both APIs' parameters are named differently; where TGI has none, the request is refused.
What the request leaves open is as the model's settings say, not OpenAI's default.
"""

from collections.abc import Sequence
from typing import Any, Final

from server.core.errors import InvalidParameters
from server.core.protocol import Message
from server.web.http.openai.types import (
    ChatMessage,
    ChatOptions,
    CompletionOptions,
    JSONFormat,
    JSONSchemaFormat,
    Options,
)

# The wire's fields that mean the same to TGI, by the same name.
_SAME: Final = (
    "temperature",
    "top_p",
    "top_k",
    "repetition_penalty",
    "frequency_penalty",
)
_ANY_OBJECT: Final[dict[str, Any]] = {"type": "object", "properties": {}}


def stops_of(options: Options) -> list[str]:
    """Return the stop sequences."""
    if options.stop is None:
        return []
    return [options.stop] if isinstance(options.stop, str) else options.stop


def chat_parameters(options: ChatOptions) -> dict[str, Any]:
    """Return a chat's parameters by TGI's names; raises `InvalidParameters`."""
    if options.tools or options.functions:
        raise InvalidParameters("`tools` are not supported: the models here answer with text")
    length = options.max_completion_tokens
    return _given(
        {
            **_common(options),
            "max_new_tokens": options.max_tokens if length is None else length,
            "top_n_tokens": options.top_logprobs,
            "grammar": _grammar(options.response_format),
        }
    )


def completion_parameters(options: CompletionOptions) -> dict[str, Any]:
    """Return a completion's parameters by TGI's names; raises `InvalidParameters`."""
    if options.suffix:
        raise InvalidParameters("`suffix` is not supported: text is only written to its end")
    if options.best_of not in (None, 1):
        raise InvalidParameters("`best_of` above 1 is not supported: ask again instead")
    if options.echo and options.logprobs is not None:
        raise InvalidParameters("`echo` with `logprobs` is not supported")
    return _given(
        {
            **_common(options),
            "max_new_tokens": options.max_tokens,
            "top_n_tokens": options.logprobs,
        }
    )


def conversation(messages: Sequence[ChatMessage]) -> list[Message]:
    """Return the messages as our models take them."""
    return [
        Message("system" if message.role == "developer" else message.role, _text(message))
        for message in messages
    ]


def _text(message: ChatMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(part.text for part in message.content)


def _common(options: Options) -> dict[str, Any]:
    if options.n not in (None, 1):
        raise InvalidParameters("`n` other than 1 is not supported: ask again for another answer")
    if options.presence_penalty:
        raise InvalidParameters(
            "`presence_penalty` is not supported", hint="`frequency_penalty` is"
        )
    if options.logit_bias:
        raise InvalidParameters("`logit_bias` is not supported")
    seed = options.seed
    return {
        **{name: getattr(options, name) for name in _SAME},
        # OpenAI's seeds have a sign, TGI's have not.
        "seed": None if seed is None else seed % 2**64,
        "stop": stops_of(options) or None,
    }


def _grammar(wanted: object) -> dict[str, Any] | None:
    if isinstance(wanted, JSONSchemaFormat):
        return {"type": "json", "value": wanted.json_schema.schema}
    if isinstance(wanted, JSONFormat):
        return {"type": "json", "value": wanted.value or _ANY_OBJECT}
    return None


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not said: null would take away what the model's settings say."""
    return {name: value for name, value in parameters.items() if value is not None}
