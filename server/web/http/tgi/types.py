"""Requests and responses in TGI's form: the structs are the definition.

In addition to TGI's fields there are `model`, where the address names none, and `messages` instead
of `inputs`, which the model's chat template turns into a prompt.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

from server.core.errors import InvalidCommand
from server.core.protocol import Message
from server.web.http.sidestream_field import Remarks, Wishes

About = msgspec.Meta

_ONE_OF: Final = {"oneOf": [{"required": ["inputs"]}, {"required": ["messages"]}]}
RULES: Final = dict.fromkeys(("Prompted", "GenerateRequest", "CompatibleRequest"), _ONE_OF)
"""JSON Schema rules that the types below cannot express."""

# What `parameters` may hold beyond the types: the ranges that `normalise` takes, "off" included.
PARAMETER_RANGES: Final[dict[str, dict[str, Any]]] = {
    "best_of": {"enum": [1, None]},
    "temperature": {"minimum": 0},
    "repetition_penalty": {"exclusiveMinimum": 0},
    "frequency_penalty": {"minimum": -2, "maximum": 2},
    "truncate": {"minimum": 1, "maximum": 2**32 - 1},
    "typical_p": {"exclusiveMinimum": 0, "maximum": 1},
    "top_k": {"minimum": 0, "maximum": 2**31 - 1},
    "top_p": {"exclusiveMinimum": 0, "maximum": 1},
    "top_n_tokens": {"minimum": 0, "maximum": 5},
    "max_new_tokens": {"minimum": 1, "maximum": 2**32 - 1},
    "seed": {"minimum": 0, "maximum": 2**64 - 1},
    "stop": {"maxItems": 4},
    "decoder_input_details": {"enum": [False, None]},
}

Parameters = Annotated[
    dict[str, Any],
    About(
        description="TGI's generation parameters. What is not there is as the model's settings "
        "say; null takes the model's own value away. `temperature` 0, `top_p` 1 and `top_k` 0 "
        "mean off.",
        extra_json_schema={"$ref": "#/components/schemas/GenerationParameters"},
    ),
]


class Prompted(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a model: exactly one of `inputs` and `messages`."""

    inputs: (
        Annotated[str, About(min_length=1, description="Text to go on with.")] | msgspec.UnsetType
    ) = msgspec.UNSET
    messages: (
        Annotated[
            list[Message],
            About(min_length=1, description="A conversation, for the model's own chat template."),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    parameters: Parameters | None = None
    sidestream: Wishes = None

    @property
    def content(self) -> str | list[Message]:
        """Return what is to be answered; raises `InvalidCommand` unless there is one thing."""
        if not isinstance(self.inputs, msgspec.UnsetType):
            if isinstance(self.messages, msgspec.UnsetType):
                return self.inputs
        elif not isinstance(self.messages, msgspec.UnsetType):
            return self.messages
        raise InvalidCommand("give exactly one of `inputs` and `messages`")


class GenerateRequest(Prompted, frozen=True, kw_only=True):
    """Ask the model that is named; exactly one of `inputs` and `messages`."""

    model: Annotated[str, About(description="Id of a model, as `GET /models` lists them.")]


class CompatibleRequest(Prompted, frozen=True, kw_only=True):
    """Ask a model in the form TGI's own clients use; exactly one of `inputs` and `messages`."""

    stream: Annotated[bool, About(description="Whether to answer with events.")] = False


class TGIToken(msgspec.Struct, frozen=True):
    """One token; special ones, such as the end of the text, are not part of the answer's text.

    Where the model's server tells no tokens, one is a piece of text whose `id` is -1.
    """

    id: int
    text: str
    logprob: float | None
    special: bool


TGIFinish = Literal["length", "eos_token", "stop_sequence"]


class StreamDetails(msgspec.Struct, frozen=True):
    """How an answer ended, and what it cost; `seed` is the one asked for."""

    finish_reason: TGIFinish
    generated_tokens: int
    seed: int | None
    input_length: int | None


class Details(msgspec.Struct, frozen=True):
    """How an answer came about, token by token."""

    finish_reason: TGIFinish
    generated_tokens: int
    seed: int | None
    input_length: int | None
    prefill: list[TGIToken]
    tokens: list[TGIToken]
    top_tokens: list[list[TGIToken]] | msgspec.UnsetType = msgspec.UNSET


class GenerateAnswer(msgspec.Struct, frozen=True):
    """A whole answer; without `details` if the parameters say `"details": false`."""

    generated_text: str
    details: Details | msgspec.UnsetType = msgspec.UNSET
    sidestream: Remarks = msgspec.UNSET


class StreamEvent(msgspec.Struct, frozen=True):
    """One token of an answer; the last one brings the whole text, the details, and remarks."""

    index: int
    token: TGIToken
    generated_text: str | None
    details: StreamDetails | None
    top_tokens: list[TGIToken] | msgspec.UnsetType = msgspec.UNSET
    sidestream: Remarks = msgspec.UNSET


class Info(msgspec.Struct, frozen=True):
    """What TGI says of itself at `/info`; limits are null until the model has run once."""

    model_id: str
    model_sha: str | None
    model_pipeline_tag: str
    max_concurrent_requests: int | None
    max_best_of: int
    max_stop_sequences: int
    max_input_tokens: int | None
    max_total_tokens: int | None
    max_client_batch_size: int
    router: str
    version: str
    sha: str | None
    docker_label: str | None
