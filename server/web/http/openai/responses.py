"""Responses in OpenAI's form: whole answers, and the chunks of streams."""

from typing import Final, Literal

import msgspec

from server import __version__
from server.dialects.openai.listing import GATEWAY
from server.web.http.sidestream_field import Remarks

FINGERPRINT: Final = f"sidestream-{__version__}"

OpenAIFinish = Literal["stop", "length", "content_filter", "tool_calls"]


class PromptDetails(msgspec.Struct, frozen=True):
    """Prompt tokens that the model server had cached."""

    cached_tokens: int


class CompletionDetails(msgspec.Struct, frozen=True):
    """Tokens of the model's reasoning before the answer."""

    reasoning_tokens: int


class OpenAIUsage(msgspec.Struct, frozen=True):
    """Tokens as the model server counted them; 0 prompt tokens if it did not say."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | msgspec.UnsetType = msgspec.UNSET
    completion_tokens_details: CompletionDetails | msgspec.UnsetType = msgspec.UNSET


class TopLogprob(msgspec.Struct, frozen=True):
    """An alternative token; `bytes` is its text in UTF-8."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(msgspec.Struct, frozen=True):
    """A token of the answer, its log probability, and its alternatives."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


class ChatLogprobs(msgspec.Struct, frozen=True):
    """Log probabilities of a chat's tokens."""

    content: list[TokenLogprob]
    refusal: None = None


class CompletionLogprobs(msgspec.Struct, frozen=True):
    """Log probabilities of a completion's tokens, in arrays of equal length."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class CalledFunction(msgspec.Struct, frozen=True):
    """The function that a model calls; `arguments` is JSON's text, if the model keeps to it."""

    name: str
    arguments: str


class AnsweredCall(msgspec.Struct, frozen=True):
    """A call of a tool, to be answered with a message that has its id."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class AnswerMessage(msgspec.Struct, frozen=True):
    """The assistant's turn; `content` is null where there are calls of tools alone."""

    content: str | None
    role: Literal["assistant"] = "assistant"
    refusal: None = None
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET
    tool_calls: list[AnsweredCall] | msgspec.UnsetType = msgspec.UNSET


class ChatChoice(msgspec.Struct, frozen=True):
    """The one answer of a chat."""

    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: OpenAIFinish
    index: int = 0


class ChatCompletion(msgspec.Struct, frozen=True):
    """A chat's whole answer."""

    id: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: OpenAIUsage
    object: Literal["chat.completion"] = "chat.completion"
    system_fingerprint: str = FINGERPRINT
    sidestream: Remarks = msgspec.UNSET


class FunctionDelta(msgspec.Struct, frozen=True):
    """New text of a call's arguments; the name comes once, with the first."""

    arguments: str
    name: str | msgspec.UnsetType = msgspec.UNSET


class CallDelta(msgspec.Struct, frozen=True):
    """A piece of a call of a tool; id and type come once, with the first."""

    index: int
    function: FunctionDelta
    id: str | msgspec.UnsetType = msgspec.UNSET
    type: Literal["function"] | msgspec.UnsetType = msgspec.UNSET


class ChatDelta(msgspec.Struct, frozen=True):
    """What is new of the assistant's turn: its text, its thinking, or a call of a tool."""

    role: Literal["assistant"] | msgspec.UnsetType = msgspec.UNSET
    content: str | msgspec.UnsetType = msgspec.UNSET
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET
    tool_calls: list[CallDelta] | msgspec.UnsetType = msgspec.UNSET


class ChatChunkChoice(msgspec.Struct, frozen=True):
    """New text of the one choice."""

    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: OpenAIFinish | None = None
    index: int = 0


class ChatChunk(msgspec.Struct, frozen=True):
    """An event of a chat's stream; `usage` is present if asked for, and null except in the last.

    `sidestream` is in the last event, if at all.
    """

    id: str
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: OpenAIUsage | msgspec.UnsetType | None = msgspec.UNSET
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    system_fingerprint: str = FINGERPRINT
    sidestream: Remarks = msgspec.UNSET


class CompletionChoice(msgspec.Struct, frozen=True):
    """The one choice, or in a stream its new text."""

    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: OpenAIFinish | None = None
    index: int = 0


class Completion(msgspec.Struct, frozen=True):
    """A whole completion, or an event of its stream."""

    id: str
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: OpenAIUsage | msgspec.UnsetType | None = msgspec.UNSET
    object: Literal["text_completion"] = "text_completion"
    system_fingerprint: str = FINGERPRINT
    sidestream: Remarks = msgspec.UNSET


class Architecture(msgspec.Struct, frozen=True):
    """What a model takes, as OpenRouter says it: `text`, and `image` if it sees."""

    input_modalities: list[str]


class OpenAIModel(msgspec.Struct, frozen=True):
    """A model as OpenAI lists it; `architecture` is not OpenAI's, and absent if nobody knows."""

    id: str
    created: int = 0
    owned_by: str = GATEWAY
    object: Literal["model"] = "model"
    architecture: Architecture | msgspec.UnsetType = msgspec.UNSET


class OpenAIModels(msgspec.Struct, frozen=True):
    """All models."""

    data: list[OpenAIModel]
    object: Literal["list"] = "list"
