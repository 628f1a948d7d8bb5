"""What a flavour is: how one server differs from others that speak OpenAI's form, as plain data.

Strategy: everything that a server calls differently, puts elsewhere or cannot do stands in a value
of `Flavour`. Code reads the value and never asks for a name. Adding a server is adding a value.

Rules:

1. Routes begin at the server's base; `MODELS` stands for the list of models, wherever the
   settings say the API begins.
2. A place inside an answer is written with dots: `data.0.owned_by`. An empty place is the whole.
3. No route here costs the server anything, except those that load a model on request.
4. What is not known stays at its default, which fits an unknown server.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from server.dialects.openai.reading import Reading

MODELS: Final = "/models"
"""The list of models; the only route behind the API's own path."""
NO_ROUTE: Final = frozenset({404, 405, 501})
"""What a server answers to a route that it does not have."""
VALUE: Final = "<value>"
"""Stands in a form for what is filled in."""
GBNF: Final = "<gbnf>"
"""Stands in a form for a grammar in llama.cpp's own language."""
MODEL: Final = "{model}"
"""Stands in a route or a form for the model's name."""

Form = Mapping[str, Any]
"""What goes into a request's body, `VALUE` where something is filled in."""


@dataclass(frozen=True)
class Sign:
    """Something by which a server is known: what stands at a place of an answer, or in its head.

    `like` is a regular expression that has to be found there; empty where being there is enough.
    A sign without a route is about the server's host name.
    """

    route: str = MODELS
    at: str = ""
    header: str = ""
    like: str = ""


@dataclass(frozen=True)
class At:
    """A place where a server tells something: a route, empty for the model's own list entry."""

    place: str
    route: str = ""


@dataclass(frozen=True)
class Call:
    """A request that has the server do something with a model."""

    route: str
    method: str = "POST"
    body: Form | None = None


@dataclass(frozen=True)
class Count:
    """A way to count a prompt's tokens, maybe in two steps: render, then count the text.

    The number, or the list of tokens, stands at `at`.
    """

    route: str
    body: Form
    at: str
    render: "Count | None" = None


@dataclass(frozen=True)
class Logprobs:
    """How probabilities are asked for: forms that take the number of alternatives.

    None where the server tells none on that route. `least` is the smallest number that brings
    any. `ids` is what else to send so that tokens come with their ids.
    """

    chat: Form | None = field(default_factory=lambda: {"logprobs": True, "top_logprobs": VALUE})
    text: Form | None = field(default_factory=lambda: {"logprobs": VALUE})
    least: int = 0
    most: int = 20
    ids: Form = field(default_factory=dict)


@dataclass(frozen=True)
class Reasoning:
    """How a server is told how much to think: forms, None where it cannot be told that.

    `effort` takes `low`, `medium` or `high`, `budget` a number of tokens, at which the server ends
    the thinking. With a server that keeps no budget, `on` has the model think, and we count.
    """

    off: Form | None = None
    effort: Form | None = None
    budget: Form | None = None
    on: Form | None = None

    def form(self, value: object) -> Form | None:
        """Return what is sent for a value of the parameter, None where nothing can say it."""
        if value == "off":
            return self.off
        if isinstance(value, int):
            return self.on if self.budget is None else self.budget
        return self.effort


NO_LOGPROBS: Final = Logprobs(None, None)

JSON_SCHEMA: Final[Form] = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": VALUE},
    }
}


@dataclass(frozen=True)
class Flavour:
    """Say how one kind of server differs; `name` is the settings' word, `title` people's."""

    name: str
    title: str
    recognised_by: tuple[tuple[Sign, ...], ...] = ()
    """Any of these groups, all signs of the group."""

    # --- parameters ---
    takes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The server's own name, or several to send, for each parameter of the protocol."""
    is_certain: bool = True
    """Whether what is not in `takes` is known not to be taken."""
    length: str = "max_tokens"
    """What the answer's length is called in a chat; with a text it is `max_tokens` everywhere."""
    with_parameter: Mapping[str, Form] = field(default_factory=dict)
    """What has to be sent beside a parameter so that it means what the protocol says."""
    grammars: Mapping[str, Form] = field(default_factory=lambda: {"json": JSON_SCHEMA})
    text_grammars: Mapping[str, Form] | None = None
    """The same for a text, where that differs from a chat."""
    has_gbnf: bool = False
    """Whether grammars are those of llama.cpp: what they cannot say is refused, not passed over."""
    off: Mapping[str, Any] = field(default_factory=dict)
    """Where "off" has another value than the protocol's."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    unset_is_greedy: bool = False
    """Whether what nobody sets has no effect, as with TGI: the server's defaults are never used."""
    samplers: Form = field(default_factory=dict)
    """What has only TGI's steps of sampling applied, in TGI's order; for `unset_is_greedy`."""
    seeds: int = 2**63
    """How many seeds there are, from 0; a larger one is folded into them."""
    max_stop: int | None = None
    keeps_stop: bool = False
    """Whether the text at which an answer ends stays in it: then we cut it off."""
    shows_stop: bool = False
    """Whether the text at which an answer ends is its last part, as with TGI: then we end it."""
    merges_at_stop: bool = False
    """Whether tokens are merged where a stop text may come; where they are told we end there."""
    takes_token_ids: bool = False
    """Whether a prompt may be its tokens' ids: then it is cut here, where `truncate` says so."""
    always: Form = field(default_factory=dict)
    """What is sent with every question because it changes only what is told."""
    to_continue: Form = field(default_factory=dict)
    """What has to be sent so that a last message of the assistant's is gone on with."""
    may_repeat: bool = False
    """Whether an answer that goes on with a message may begin with that message."""
    stream_options: Form = field(default_factory=lambda: {"include_usage": True})
    logprobs: Logprobs = NO_LOGPROBS
    reasoning: Reasoning = field(default_factory=Reasoning)
    is_provider: bool = False
    """Whether answers are billed, and only what somebody chose is sent."""

    cuts_for_length: bool = False
    """Whether a prompt is cut in silence to make room for the length that is asked for."""

    # --- answers ---
    reading: Reading = field(default_factory=Reading)
    can_cancel: bool = True
    counts_chat: tuple[Count, ...] = ()
    counts_text: tuple[Count, ...] = ()

    # --- what it tells ---
    health: str = MODELS
    metrics: str = ""
    models: str = MODELS
    """A list that tells more than `MODELS`, which is asked where there is none."""
    facts: Mapping[str, tuple[At, ...]] = field(default_factory=dict)
    """Where each field of `EngineInfo` or `ServedModel` stands; the first place that has it."""
    defaults: tuple[At, ...] = ()
    """Where the server's own parameters stand, under its own names."""
    loaded: str = ""
    """A regular expression for what `facts["is_loaded"]` says of a model in memory."""
    load: Call | None = None
    unload: Call | None = None
    holds_one_model: bool = False
    refuses_unlisted: bool = False
    """Whether a model that is not in its list cannot be asked."""
    ignores_name: bool = False
    """Whether its only model answers, whichever is asked for."""


def find(value: object, place: str) -> object | None:
    """Return what stands at a place inside decoded JSON, None where there is nothing."""
    for name in place.split(".") if place else ():
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def fill(form: object, value: object, model: str = "") -> Any:
    """Return a form with `VALUE` and `MODEL` replaced, in new containers."""
    if isinstance(form, Mapping):
        return {name: fill(inner, value, model) for name, inner in form.items()}
    if form == VALUE:
        return value
    return model if form == MODEL else form
