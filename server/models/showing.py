"""A model as clients see it: what is known of it in four places, as one value."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

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
    return Model(
        id=spec.id,
        name=spec.name,
        description=spec.description,
        runner=spec.runner,
        engine=spec.engine or info.engine,
        state=_state(spec, status, load_state),
        progress=status.progress,
        error=status.error or load_error or facts.problem,
        running=use.running,
        waiting=use.waiting,
        limits={
            "max_input_tokens": info.max_input_tokens,
            "max_total_tokens": info.max_total_tokens or served.context_tokens,
            "max_concurrent": info.max_concurrent_requests,
            "model_context": info.model_context_tokens or served.model_context_tokens,
        },
        capabilities={
            "chat": info.has_chat_template,
            "cancel": info.can_cancel,
            "logprobs": info.has_logprobs,
            "load": info.can_load,
            **served.capabilities,
        },
        parameters=dict(spec.parameters),
        outdated=status.is_outdated,
        defaults=dict(info.defaults),
        server=_server(spec, info, facts) if spec.runner == "remote" else None,
        details=dict(served.details),
    )


def _state(spec: ModelSpec, status: Status, load_state: LoadState | None) -> ModelState:
    if load_state is not None and status.state == "ready":
        return load_state
    if spec.served is not None and spec.served.is_loaded is False and status.state == "ready":
        # The server answers, and loads the model when it is asked.
        return "stopped"
    return status.state


def _server(spec: ModelSpec, info: EngineInfo, facts: ServerFacts) -> ModelServer:
    fields: dict[str, Any] = {}
    if spec.served is not None:
        fields["loaded"] = spec.served.is_loaded
    elif info.is_loaded is not None:
        fields["loaded"] = info.is_loaded
    return ModelServer(
        address=_address(spec.settings.url),
        name=spec.server,
        model=spec.served_as or info.model_id,
        dialect=info.dialect,
        flavour=info.flavour,
        seen=facts.seen,
        left_out=facts.left_out,
        **fields,
    )


# All models of a server have the same, and all are shown to everybody who comes.
@lru_cache(maxsize=1024)
def _address(url: str) -> str:
    return str(resolve_address(url))
