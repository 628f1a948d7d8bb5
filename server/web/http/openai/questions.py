"""Turn what OpenAI's clients ask into what our models take, or say why it cannot be.

Both APIs' parameters are named differently; what no model server here has is refused.
What the request leaves open is as the model's settings say, not OpenAI's default. Clients that
cannot leave a field out say that it is off by a value that means nothing: `max_tokens` -1, `top_p`
0, an empty `stop`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

from server.core.errors import InvalidCommand, InvalidParameters
from server.core.protocol import Message
from server.web.http.openai.types import (
    AssistantMessage,
    ChatMessage,
    ChatOptions,
    CompletionOptions,
    DeveloperMessage,
    JSONFormat,
    JSONSchemaFormat,
    Options,
    SystemMessage,
)

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
CHAT_NAMES: Final = {**_COMMON_NAMES, "top_n_tokens": "top_logprobs"}
"""What our parameters are called in a chat, where their names differ."""
COMPLETION_NAMES: Final = {**_COMMON_NAMES, "top_n_tokens": "logprobs"}
"""What our parameters are called in a completion, where their names differ."""
_ANY_OBJECT: Final[dict[str, Any]] = {"type": "object", "properties": {}}


def tells_logprobs(options: ChatOptions) -> bool:
    """Tell whether a chat's answer is to say how likely its tokens were."""
    return bool(options.top_logprobs) if options.logprobs is None else options.logprobs


@contextmanager
def in_openais_words(names: Mapping[str, str]) -> Iterator[None]:
    """Have parameters that are refused while the context lasts called by OpenAI's names."""
    try:
        yield
    except InvalidParameters as error:
        message, details = error.message, error.details
        for ours, theirs in names.items():
            message = message.replace(f"`{ours}`", f"`{theirs}`")
        if details is not None and details.get("parameter") in names:
            details = {**details, "parameter": names[details["parameter"]]}
        raise InvalidParameters(message, hint=error.hint, details=details) from error


def chat_parameters(options: ChatOptions) -> dict[str, Any]:
    """Return a chat's parameters by our names; raises `InvalidCommand`."""
    if options.tools or options.functions:
        raise InvalidParameters("`tools` are not supported: the models here answer with text")
    length = _length("max_completion_tokens", options.max_completion_tokens)
    older_length = _length("max_tokens", options.max_tokens)
    return _given(
        {
            **_common(options),
            "max_new_tokens": older_length if length is None else length,
            "top_n_tokens": options.top_logprobs if tells_logprobs(options) else None,
            "grammar": _grammar(options.response_format),
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
    """Return the messages as our models take them."""
    return [Message(_role(message), _text(message)) for message in messages]


def _role(message: ChatMessage) -> Literal["system", "user", "assistant"]:
    if isinstance(message, SystemMessage | DeveloperMessage):
        return "system"
    return "assistant" if isinstance(message, AssistantMessage) else "user"


def _text(message: ChatMessage) -> str:
    content = message.content
    return content if isinstance(content, str) else "".join(part.text for part in content or ())


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
        # OpenAI's seeds have a sign, ours have not.
        "seed": None if seed is None else seed % 2**64,
        "stop": [stop for stop in stops if stop] or None,
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
