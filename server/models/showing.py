"""A model as clients see it: what is known of it in four places, as one value."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from server.core.protocol import Model, ModelError, ModelServer, ModelState
from server.dialects.base import EngineInfo, ServedModel
from server.models.catalog import ModelSpec
from server.models.loads import LoadState
from server.models.surroundings import Status
from server.settings import resolve_address


@dataclass(frozen=True)
class ServerFacts:
    """What is known of an `[upstream]` beside its status.

    `seen` is when it last gave its list, in seconds since the epoch; `problem` why it cannot be
    read; `left_out` how many of its models do not answer with text.
    """

    seen: float | None = None
    problem: ModelError | None = None
    left_out: int = 0

    def is_as(self, other: "ServerFacts") -> bool:
        """Tell whether nothing is otherwise than the time at which the server was seen."""
        return replace(self, seen=other.seen) == other and (self.seen is None) == (
            other.seen is None
        )


Facts = Callable[[str], ServerFacts]


@dataclass(frozen=True)
class Use:
    """How many answers of a model are being written, and how many wait."""

    running: int
    waiting: int


def shown_model(
    spec: ModelSpec,
    status: Status,
    info: EngineInfo,
    use: Use,
    facts: ServerFacts,
    *,
    load_state: LoadState | None = None,
    load_error: ModelError | None = None,
) -> Model:
    """Return the model: by its settings, its server's status, what that tells, and its use."""
    served = spec.served or ServedModel(spec.served_as)
    if _is_loaded(spec, info):
        # Whatever a request to load it came to: it is there.
        load_error = None
    error = status.error or load_error or facts.problem
    if spec.is_server and status.state == "ready":
        error = error or _nothing_to_take(facts)
    return Model(
        id=spec.id,
        name=spec.name,
        description=spec.description,
        runner=spec.runner,
        engine=spec.engine or info.engine,
        state=_state(spec, status, _is_loaded(spec, info), load_state, error),
        progress=status.progress,
        error=error,
        running=use.running,
        waiting=use.waiting,
        limits={
            "max_input_tokens": info.max_input_tokens,
            # A list that was read is newer than what was asked.
            "max_total_tokens": served.context_tokens or info.max_total_tokens,
            "max_concurrent": info.max_concurrent_requests,
            "model_context": info.model_context_tokens or served.model_context_tokens,
        },
        capabilities={
            # A model that was never used has not been asked; servers with lists have chat models.
            "chat": info.has_chat_template or (spec.served is not None and not info.model_id),
            "cancel": info.can_cancel,
            "logprobs": info.has_logprobs,
            "load": info.can_load,
            "cost": info.is_billed or _has_prices(spec),
            **served.capabilities,
        },
        parameters=dict(spec.parameters),
        outdated=status.is_outdated,
        defaults=dict(info.defaults),
        server=_server(spec, info, facts) if spec.runner == "remote" else None,
        details=dict(served.details),
    )


def _state(
    spec: ModelSpec,
    status: Status,
    is_loaded: bool | None,
    load_state: LoadState | None,
    error: ModelError | None,
) -> ModelState:
    if status.state != "ready":
        return status.state
    if spec.is_server:
        # It answers, and yet there is nothing that could be asked.
        return "loading" if error is None else "failed"
    if load_state is not None:
        return load_state
    if is_loaded is False:
        # The server answers, and loads the model when it is asked.
        return "stopped"
    return status.state


def _has_prices(spec: ModelSpec) -> bool:
    return spec.settings.price_in is not None or spec.settings.price_out is not None


def _is_loaded(spec: ModelSpec, info: EngineInfo) -> bool | None:
    """Tell whether the model is in memory: a list that was read is newer than what was asked."""
    return info.is_loaded if spec.served is None else spec.served.is_loaded


def _nothing_to_take(facts: ServerFacts) -> ModelError | None:
    """Return why a server that answers has no models here; None while its list is not read."""
    if facts.seen is None:
        return None
    others = f"; {facts.left_out} that do not are left out" if facts.left_out else ""
    return ModelError(
        "model_failed",
        f"the server lists no model that answers with text and that `models` takes{others}",
        "see which models it has, and what `models` says in its section",
    )


def _server(spec: ModelSpec, info: EngineInfo, facts: ServerFacts) -> ModelServer:
    return ModelServer(
        address=_address(spec.settings.url),
        name=spec.server,
        model="" if spec.is_server else spec.served_as or info.model_id,
        dialect=info.dialect,
        flavour=info.flavour,
        seen=facts.seen,
        left_out=facts.left_out,
        loaded=_is_loaded(spec, info),
    )


# All models of a server have the same, and all are shown to everybody who comes.
@lru_cache(maxsize=1024)
def _address(url: str) -> str:
    return str(resolve_address(url))
