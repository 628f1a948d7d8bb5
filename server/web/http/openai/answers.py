"""What is answered in OpenAI's form: the structs of answers, and of the chunks of streams."""

from typing import Final, Literal

import msgspec

from server import __version__
from server.web.http.beyond import Remarks

FINGERPRINT: Final = f"sidestream-{__version__}"

OpenAIFinish = Literal["stop", "length", "content_filter"]


class PromptDetails(msgspec.Struct, frozen=True):
    """What is known of the tokens in: how many the model server had read before."""

    cached_tokens: int


class CompletionDetails(msgspec.Struct, frozen=True):
    """What is known of the tokens out: how many the model thought before it answered."""

    reasoning_tokens: int


class OpenAIUsage(msgspec.Struct, frozen=True):
    """Tokens in and out, as the model server counted them; 0 in where it did not say."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | msgspec.UnsetType = msgspec.UNSET
    completion_tokens_details: CompletionDetails | msgspec.UnsetType = msgspec.UNSET


class TopLogprob(msgspec.Struct, frozen=True):
    """A token the model weighed; `bytes` is its text in UTF-8."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(msgspec.Struct, frozen=True):
    """A token of the answer, how likely it was, and what else there was."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


class ChatLogprobs(msgspec.Struct, frozen=True):
    """How likely each token of a chat's answer was."""

    content: list[TokenLogprob]
    refusal: None = None


class CompletionLogprobs(msgspec.Struct, frozen=True):
    """How likely each token of a completion was, in arrays of one length."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class AnswerMessage(msgspec.Struct, frozen=True):
    """The assistant's turn."""

    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None


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


class ChatDelta(msgspec.Struct, frozen=True):
    """What is new of the assistant's turn."""

    role: Literal["assistant"] | msgspec.UnsetType = msgspec.UNSET
    content: str | msgspec.UnsetType = msgspec.UNSET


class ChatChunkChoice(msgspec.Struct, frozen=True):
    """What is new of the one answer."""

    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: OpenAIFinish | None = None
    index: int = 0


class ChatChunk(msgspec.Struct, frozen=True):
    """An event of a chat's stream; `usage` is there if asked for, and only in the last not null.

    Remarks, if there are any, are in the last.
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
    """The one answer, or in a stream what is new of it."""

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


class OpenAIModel(msgspec.Struct, frozen=True):
    """A model as OpenAI lists it."""

    id: str
    created: int = 0
    owned_by: str = "sidestream"
    object: Literal["model"] = "model"


class OpenAIModels(msgspec.Struct, frozen=True):
    """All models."""

    data: list[OpenAIModel]
    object: Literal["list"] = "list"
