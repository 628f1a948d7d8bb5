"""Requests in OpenAI's form: the structs are the definition, and unknown fields are ignored.

Fields of OpenAI's API that no model server supports are named, so that they are refused instead of
ignored: an answer without them would be wrong. Fields that some servers support are passed on, and
refused if the model's server is known not to support them.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

from server.core.parameter_rules import ParameterLimits
from server.core.tool_rules import ResponseFormat, Tool, ToolChoice, ToolName
from server.web.http.sidestream_field import Wishes

About = msgspec.Meta

_ECHO_ALONE: Final = {
    "not": {
        "properties": {"echo": {"const": True}, "logprobs": {"type": "integer"}},
        "required": ["echo", "logprobs"],
    }
}
RULES: Final = dict.fromkeys(("CompletionOptions", "CompletionRequest"), _ECHO_ALONE)
"""JSON Schema rules that the types below cannot express."""

_UNSUPPORTED = {"maxItems": 0}
_LIMITS: Final = ParameterLimits()


class ChatTextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """A part of a message that is text."""

    text: str


class ImageURL(msgspec.Struct, frozen=True):
    """Where a picture is: in the URL itself, as nothing is fetched."""

    url: Annotated[str, About(description="`data:image/png;base64,…`; PNG, JPEG, GIF or WebP.")]


class ChatImagePart(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    """A part of a user's message that is a picture."""

    image_url: ImageURL


Content = str | list[ChatTextPart]
UserContent = str | list[ChatTextPart | ChatImagePart]


class SystemMessage(msgspec.Struct, frozen=True, tag_field="role", tag="system"):
    """What holds for the whole conversation."""

    content: Content | None


class DeveloperMessage(msgspec.Struct, frozen=True, tag_field="role", tag="developer"):
    """What holds for the whole conversation, by its newer name."""

    content: Content | None


class UserMessage(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    """A turn of the user's."""

    content: UserContent | None


class PastFunction(msgspec.Struct, frozen=True):
    """The function that a model called; `arguments` is JSON's text."""

    name: ToolName
    arguments: str = ""


class PastToolCall(msgspec.Struct, frozen=True):
    """A call that a model made of a tool."""

    id: Annotated[str, About(min_length=1)]
    function: PastFunction
    type: Literal["function"] = "function"


class AssistantMessage(msgspec.Struct, frozen=True, tag_field="role", tag="assistant"):
    """A turn of the model; content may be missing, as beside calls of tools."""

    content: Content | None = None
    tool_calls: list[PastToolCall] | None = None


class ToolMessage(msgspec.Struct, frozen=True, tag_field="role", tag="tool"):
    """What a tool answers to a call that a message before it makes."""

    content: Content | None
    tool_call_id: Annotated[str, About(min_length=1)]


ChatMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
# llama.cpp's words, and those of providers; "hidden" is refused, as nothing is hidden.
ReasoningFormat = Literal["none", "raw", "auto", "deepseek", "deepseek-legacy", "parsed"]


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream brings beside the answer."""

    include_usage: Annotated[
        bool, About(description="Whether a last chunk tells the tokens in and out.")
    ] = False


Count = Annotated[int, About(ge=-1, le=2**32 - 1, extra_json_schema={"not": {"const": 0}})]
TokenId = Annotated[str, About(pattern=r"^[0-9]+(?!\n)$")]
Penalty = Annotated[float, About(ge=-2, le=2)]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What both kinds of request may say; null is as good as not there."""

    max_tokens: Annotated[
        Count | None, About(description="Longest answer, in tokens; -1 sets no length.")
    ] = None
    temperature: Annotated[
        Annotated[float, About(ge=0, le=2)] | None,
        About(description="0 takes the most likely token each time."),
    ] = None
    top_p: Annotated[
        Annotated[float, About(ge=0, le=1)] | None, About(description="0 and 1 mean off.")
    ] = None
    top_k: Annotated[
        Annotated[int, About(ge=0, le=2**31 - 1)] | None,
        About(description="Not OpenAI's: how many tokens are drawn from; 0 sets no limit."),
    ] = None
    min_p: Annotated[
        Annotated[float, About(ge=0, le=1)] | None,
        About(description="Not OpenAI's: the least probability, as a part of the likeliest's."),
    ] = None
    repetition_penalty: Annotated[
        Annotated[float, About(gt=0)] | None,
        About(description="Not OpenAI's: TGI's penalty for tokens that were there before."),
    ] = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    stop: Annotated[
        str | Annotated[list[str], About(max_length=_LIMITS.max_stop_sequences)] | None,
        About(
            description="Text at which the answer ends; it is not part of the answer. An empty one "
            "ends nothing."
        ),
    ] = None
    seed: Annotated[int, About(ge=-(2**63), le=2**63 - 1)] | None = None
    stream: Annotated[bool | None, About(description="Whether to answer with events.")] = None
    stream_options: StreamOptions | None = None
    n: Annotated[
        int | None, About(description="Refused unless 1.", extra_json_schema={"enum": [1, None]})
    ] = None
    logit_bias: Annotated[
        dict[TokenId, Annotated[float, About(ge=-100, le=100)]] | None,
        About(description="What is added for tokens, by their ids."),
    ] = None
    sidestream: Wishes = None


class ChatOptions(Options, frozen=True, kw_only=True):
    """Ask for the next turn of a conversation."""

    messages: Annotated[list[ChatMessage], About(min_length=1)]
    max_completion_tokens: Annotated[
        Count | None, About(description="As `max_tokens`, by its newer name.")
    ] = None
    logprobs: Annotated[
        bool | None, About(description="Whether to tell how likely each token was.")
    ] = None
    top_logprobs: Annotated[
        Annotated[int, About(ge=0, le=_LIMITS.max_top_n_tokens)] | None,
        About(description="How many other tokens to tell for each; none if `logprobs` is false."),
    ] = None
    response_format: Annotated[
        ResponseFormat | None, About(description="What the answer has to look like.")
    ] = None
    tools: Annotated[
        list[Tool] | None, About(description="Functions that the model may call; none is run here.")
    ] = None
    tool_choice: Annotated[
        ToolChoice | None, About(description="Whether the model may, must, or must not call one.")
    ] = None
    functions: Annotated[
        list[Any] | None,
        About(
            description="Refused unless empty: the older form of `tools`.",
            extra_json_schema=_UNSUPPORTED,
        ),
    ] = None
    reasoning_effort: Annotated[
        ReasoningEffort | None,
        About(
            description="How much the model thinks before it answers; `none` turns it off. Ignored "
            "where its server cannot be told."
        ),
    ] = None
    reasoning_format: Annotated[
        ReasoningFormat | None,
        About(
            description="Not OpenAI's: with `none` or `raw` the thinking stands in `content`, "
            "between its marks, and not in `reasoning_content`."
        ),
    ] = None


class CompletionOptions(Options, frozen=True, kw_only=True):
    """Ask for what follows a text."""

    prompt: Annotated[
        Annotated[str, About(min_length=1)]
        | Annotated[list[Annotated[str, About(min_length=1)]], About(min_length=1, max_length=1)],
        About(description="Text to go on with; in an array, one text."),
    ]
    echo: Annotated[
        bool | None, About(description="Whether the answer begins with the prompt.")
    ] = None
    logprobs: Annotated[
        Annotated[int, About(ge=0, le=_LIMITS.max_top_n_tokens)] | None,
        About(description="Tell how likely each token was, and so many others; not with `echo`."),
    ] = None
    best_of: Annotated[
        int | None, About(description="Refused unless 1.", extra_json_schema={"enum": [1, None]})
    ] = None
    suffix: Annotated[
        str | None, About(description="Refused unless empty.", extra_json_schema={"maxLength": 0})
    ] = None


_MODEL = About(
    description="Id of a model, as `GET /v1/models` lists them, or its own server's name of it "
    "where no other model is called so."
)


class ChatRequest(ChatOptions, frozen=True, kw_only=True):
    """Ask the model that is named for the next turn of a conversation."""

    model: Annotated[str, _MODEL]


class CompletionRequest(CompletionOptions, frozen=True, kw_only=True):
    """Ask the model that is named for what follows a text."""

    model: Annotated[str, _MODEL]
