"""The seam between the relay and a model server: what is asked, and what comes back.

An upstream speaks one dialect to one running server. It translates requests, events and errors,
and holds no lifecycle: when the server is gone, so is the upstream's use. Everything here is named
neutrally; what only one server knows stays in its dialect.

Rules for every dialect:

1. Parameters have the protocol's names. A dialect sends under the server's own names, refuses what
   the server is known not to take, and says in a notice what it left out or renamed.
2. An absent parameter means the server's own default, except where `EngineInfo.unset_is_greedy`.
3. Words of an answer are never lost: what came before an error is handed on before it is raised.
4. Only a reason to finish is an end. A connection that closes without one has broken off.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from server.core.protocol import Cost, FinishReason, Message, Notice, TokenInfo
from server.dialects.pictures import FetchPicture, no_pictures

ANY_MODEL: Final = "*"
"""In place of a model's name: the server as a whole, for a server with many models."""

NO_TOKEN_ID: Final = -1
"""The id of a token whose server tells none."""


@dataclass(frozen=True)
class Endpoint:
    """Say where a model server answers, and how it is spoken to.

    `url` is the server's base, which `/health` is put behind, without a slash at its end; `api` is
    the path from there to the API in OpenAI's form, which `/models` is put behind. `dialect` is
    `tgi`, `openai`, `ollama`, or `auto` to ask the server which; `flavour` the name of one, or
    empty to ask. `model` is the server's own name of the model, empty for the only one it has,
    `ANY_MODEL` for a server of which each model is asked for by name.
    """

    url: str
    api: str = "/v1"
    api_key: str = field(default="", repr=False)
    dialect: str = "tgi"
    flavour: str = ""
    model: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    ca_file: str = ""
    """A file of certificates (PEM) to trust in place of the system's."""
    chat_template: str = ""
    """A template (Jinja) from the settings, for a server that renders by none or a wrong one."""
    hub_cache: str = ""
    """The Hugging Face cache on this machine that the server reads, empty where there is none."""
    flags: frozenset[str] = frozenset()
    """What settings say of the server that it does not tell itself, such as `holds_one_model`.

    With `unset_is_greedy` parameters that nobody sets have no effect, whatever the server says;
    with `shows_stop` the stop text that ends an answer is its last part.
    """
    likely: str = ""
    """The flavour that it is taken for where it is asked who it is and does not say."""
    place: str = field(default="", compare=False)
    """The name of the machine it runs on, for people; empty where its address tells enough."""


@dataclass(frozen=True)
class EngineInfo:
    """What a server says of itself and of one model: limits in tokens or requests, None if unknown.

    `max_total_tokens` is the context in force, `model_context_tokens` the longest that the model
    could have. `takes` has the parameters that the server is known to take; None means that it is
    not known. `defaults` are its own, where nobody sets a parameter.
    """

    model_id: str = ""
    version: str = ""
    max_input_tokens: int | None = None
    max_total_tokens: int | None = None
    max_concurrent_requests: int | None = None
    has_chat_template: bool = False
    revision: str = ""
    image: str = ""
    engine: str = ""
    """The server's name for people, such as `vLLM`."""
    dialect: str = ""
    flavour: str = ""
    model_context_tokens: int | None = None
    takes: frozenset[str] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    unset_is_greedy: bool = False
    has_logprobs: bool = True
    cuts_for_length: bool = False
    """Whether the server cuts a prompt to make room for the length that is asked for."""
    always_tells_tokens: bool = False
    """Whether ids and probabilities come without being asked for."""
    can_cancel: bool = True
    """Whether the server stops computing when its connection is closed."""
    ends_thinking: bool = False
    """Whether the server itself ends the thinking at a budget that it is told."""
    is_billed: bool = False
    """Whether somebody has to pay for each answer."""
    can_load: bool = False
    """Whether `Upstream.load` and `unload` mean something."""
    holds_one_model: bool = False
    """Whether the server unloads one model to answer with another."""
    is_loaded: bool | None = None
    """Whether the model is in memory; None where the server does not tell."""
    can_see: bool | None = None
    """Whether the model takes pictures; None where the server does not tell."""
    details: Mapping[str, str] = field(default_factory=dict)
    """What people tell models apart by, such as `quantization` and `parameters`."""


@dataclass(frozen=True)
class ServedModel:
    """One model in a server's list; `name` is the server's own."""

    name: str
    aliases: tuple[str, ...] = ()
    title: str = ""
    kind: str = "text"
    """`text`, or what else it is for: `embedding`, `rerank`, `speech`, `image`, `relayed`.

    `relayed` is for what a gateway like this one has from another one: gateways that list each
    other would list each other's lists without end.
    """
    context_tokens: int | None = None
    model_context_tokens: int | None = None
    is_loaded: bool | None = None
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    """What people tell models apart by, such as `quantization` and `parameters`."""
    is_relayed: bool = False
    """Whether it comes through a gateway like this one."""


@dataclass(frozen=True)
class Prompt:
    """What a model is asked, as its server takes it, and its length where that is known.

    Messages have text, or parts that are text or pictures, which `Ask.fetch_picture` returns. Of a
    prompt with pictures the length is not known before it is asked.
    """

    content: Sequence[Message] | str
    tokens: int | None = None
    notices: tuple[Notice, ...] = ()
    stop: tuple[str, ...] = ()
    """Texts at which the answer has to end besides those that were asked for."""
    pictures: tuple[str, ...] = ()
    """The pictures that a rendered text names, each as often as it does."""


@dataclass(frozen=True)
class Ask:
    """One question to one model: the prompt, and what the answer shall be like.

    `parameters` have the protocol's names and no nulls; `chosen` names those that settings or a
    person set, while the others are ours. Those that are `optional` are left out without a word
    where the server does not take them. `extra` goes to the server as it is.
    """

    prompt: Prompt
    parameters: Mapping[str, Any]
    model: str = ""
    chosen: frozenset[str] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    wants_tokens: bool = False
    """Whether ids, probabilities and alternatives are of use to anybody."""
    is_lenient: bool = False
    """Whether what the server refuses may be left out, with a notice."""
    fetch_picture: FetchPicture = field(default=no_pictures, repr=False, compare=False)


@dataclass(frozen=True)
class Finish:
    """How an answer ended, in the protocol's words, and what it cost.

    `details` keeps what the protocol has no word for, such as the server's own finish reason;
    `answered_by` is who answered behind a router. Of `completion_tokens`, `unseen_tokens` were
    never handed on: thinking that the server keeps to itself, before the first word.
    """

    reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int | None
    is_cached: bool = False
    notices: tuple[Notice, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    answered_by: str = ""
    cost: Cost | None = None
    unseen_tokens: int = 0

    def as_cached(self) -> "Finish":
        """Return the same end of an answer that was given before, and costs nothing now."""
        return replace(self, is_cached=True, cost=None)


# Called with the tokens that one read from the server brought.
OnTokens = Callable[[list[TokenInfo]], None]
# Called when the server says why no token comes yet, None when that is over.
OnWait = Callable[[Notice | None], None]


class Meter:
    """Count how often words of an answer have come from one server: tells slow from stuck."""

    __slots__ = ("heard",)

    def __init__(self) -> None:
        self.heard = 0


class Upstream(Protocol):
    """Speak one dialect to one running model server."""

    meter: Meter

    async def is_healthy(self, *, timeout_seconds: float) -> bool:
        """Tell whether the server answers and says that it is well; raises nothing.

        The look is free: it loads, wakes, keeps alive and bills nothing.
        """

    async def describe(self, model: str = "") -> EngineInfo:
        """Ask the server for its limits and abilities with a model; raises `EngineError`.

        With `ANY_MODEL` only what holds for the server as a whole is told.
        """

    async def models(self) -> list[ServedModel]:
        """Return the models that the server lists; raises `EngineError`, also for no list."""

    async def load(self, model: str) -> None:
        """Have the server load a model and return when it is loaded; raises `EngineError`.

        Cancelling leaves the load to the server.
        """

    async def unload(self, model: str) -> None:
        """Have the server take a model out of memory; raises `EngineError`."""

    async def metrics(self, *, max_bytes: int) -> str:
        """Return the server's own figures as Prometheus' text.

        Raises `EngineError` when there are none, or more than `max_bytes` of them.
        """

    async def prompt(
        self, content: Sequence[Message] | str, *, model: str = "", needs_count: bool
    ) -> Prompt:
        """Turn a conversation, or text as it is, into what the server takes.

        Without `needs_count` its tokens are counted only if that costs nothing; where the server
        cannot count they are None. Raises `EngineError`.
        """

    async def count(self, prompt: Prompt, *, model: str = "") -> int | None:
        """Return the prompt's length in tokens, None where the server does not tell.

        Raises `EngineError`.
        """

    async def generate(self, ask: Ask, on_tokens: OnTokens, on_wait: OnWait) -> Finish:
        """Answer: hand the tokens on as they come, return how the answer ended.

        The last tokens are handed on in the same step of the loop in which it returns or raises.
        Raises `InvalidParameters` or `PromptTooLong` for what the server refuses, `EngineLimited`
        for its 429, `EngineOverloaded` where it has no place just now,
        `EngineLost` when the connection breaks, `EngineTimeout` when nothing comes, any other
        error the server reports as `EngineError`; or what `on_tokens` raises. Cancelling closes
        the connection, which ends the generation in the server where `can_cancel`.
        """

    async def close(self) -> None:
        """Close the connections that are kept for the next request."""
