"""The view of a model that clients get, made from its settings, status, server and use."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from server.core.protocol import (
    Model,
    ModelConfig,
    ModelError,
    ModelReplica,
    ModelServer,
    ModelState,
)
from server.dialects.base import EngineInfo, ServedModel
from server.models.catalogue.catalog import ModelSpec
from server.models.catalogue.named_details import named_details
from server.models.catalogue.served_names import without_folders
from server.models.lifecycle.crew_host import ReplicaStatus
from server.models.lifecycle.loads import LoadState
from server.models.lifecycle.state import Status
from server.settings.addresses import resolve_address


@dataclass(frozen=True)
class ServerFacts:
    """Facts about an `[upstream]` in addition to its status.

    `seen` is when its list was last read, in seconds since the epoch; `problem` is why the list
    cannot be read; `left_out` is how many of its models do not generate text.
    """

    seen: float | None = None
    problem: ModelError | None = None
    left_out: int = 0

    def is_as(self, other: "ServerFacts") -> bool:
        """Tell whether both are equal except for the value of `seen`."""
        return replace(self, seen=other.seen) == other and (self.seen is None) == (
            other.seen is None
        )


FactsOf = Callable[[str], ServerFacts]


@dataclass(frozen=True)
class UseCounts:
    """How many answers a model is writing, and how many wait for it."""

    running: int
    waiting: int


class ViewParts(NamedTuple):
    """The parts that a model's view is made from."""

    spec: ModelSpec
    status: Status
    info: EngineInfo
    use: UseCounts
    facts: ServerFacts
    load_state: LoadState | None = None
    load_error: ModelError | None = None
    replicas: tuple[ReplicaStatus, ...] = ()


def model_view(parts: ViewParts) -> Model:
    """Return the view of a model."""
    spec, status, info, use, facts, load_state, load_error, replicas = parts
    served = spec.served or ServedModel(spec.served_as)
    if _is_loaded(spec, info):
        # The model is in memory, so an earlier error of loading it does not matter.
        load_error = None
    error = status.error or load_error or facts.problem
    sees = spec.can_see(info)
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
            "max_total_tokens": spec.context_tokens(info) or _context_set(spec),
            "max_concurrent": _together(replicas) if replicas else info.max_concurrent_requests,
            "model_context": info.model_context_tokens or served.model_context_tokens,
        },
        capabilities={
            # A model that was never used has no description; models in lists are chat models.
            "chat": info.has_chat_template or (spec.served is not None and not info.model_id),
            "cancel": info.can_cancel,
            "logprobs": info.has_logprobs,
            "load": info.can_load,
            "cost": info.is_billed or _has_prices(spec),
            **served.capabilities,
            **({} if sees is None else {"vision": sees}),
        },
        parameters=dict(spec.parameters),
        outdated=status.is_outdated,
        defaults=dict(info.defaults),
        server=_server(spec, info, facts) if spec.runner == "remote" else None,
        details={**_named(spec), **info.details, **served.details},
        config=_config(spec),
        replicas=[_replica(one) for one in replicas] or None,
    )


class ModelViews:
    """Cache the view of each model, and remake it only when one of its parts has changed.

    Every new client gets all models. Of thousands hardly any has changed since the last time, and
    making a view takes longer than sending it.
    """

    def __init__(self) -> None:
        self._made: dict[str, tuple[ViewParts, Model]] = {}

    def view(self, parts: ViewParts) -> Model:
        """Return `model_view(parts)`, from the cache if the parts have not changed."""
        made = self._made.get(parts.spec.id)
        if made is None or made[0] != parts:
            made = self._made[parts.spec.id] = parts, model_view(parts)
        return made[1]

    def forget_others(self, known: Container[str]) -> None:
        """Forget the views of models whose ids are not in `known`."""
        self._made = {name: made for name, made in self._made.items() if name in known}


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
        # The server answers, but no model of it can be asked.
        return "loading" if error is None else "failed"
    if load_state is not None:
        return load_state
    if is_loaded is False:
        # The server answers, and loads the model on the next request.
        return "stopped"
    return status.state


def _replica(one: ReplicaStatus) -> ModelReplica:
    return ModelReplica(
        number=one.number,
        state=one.status.state,
        address=one.address,
        place=one.place,
        progress=one.status.progress,
        error=one.status.error,
        answers=one.answers,
        max_concurrent=one.capacity,
        outdated=one.status.is_outdated,
    )


def _together(replicas: Sequence[ReplicaStatus]) -> int | None:
    """Return how many answers the ready replicas write at once, None if one does not tell."""
    ready = [one.capacity for one in replicas if one.status.state == "ready"]
    return None if None in ready else sum(filter(None, ready)) or None


def _has_prices(spec: ModelSpec) -> bool:
    return spec.settings.price_in is not None or spec.settings.price_out is not None


def _is_loaded(spec: ModelSpec, info: EngineInfo) -> bool | None:
    """Tell whether the model is in memory; a list is newer than a description."""
    return info.is_loaded if spec.served is None else spec.served.is_loaded


def _nothing_to_take(facts: ServerFacts) -> ModelError | None:
    """Return why none of a server's models can be used; None before its list was read."""
    if facts.seen is None:
        return None
    others = f"; {facts.left_out} that do not are left out" if facts.left_out else ""
    return ModelError(
        "model_failed",
        f"the server lists no model that answers with text and that `models` takes{others}",
        "see which models it has, and what `models` says in its section",
    )


def _context_set(spec: ModelSpec) -> int | None:
    """Return the context in the settings, for a managed server that is not up yet."""
    if spec.runner == "process":
        return spec.settings.context_tokens
    return spec.settings.max_total_tokens or None


# Cached: names hardly change, but every change of a model remakes its view.
@lru_cache(maxsize=4096)
def _details_in(names: tuple[str, ...], quantization: str) -> dict[str, str]:
    return named_details(*names, quantization=quantization)


def _named(spec: ModelSpec) -> dict[str, str]:
    names = (spec.settings.weights, spec.served_as or spec.settings.model_id, spec.name)
    return _details_in(names, spec.settings.quantize)


def _config(spec: ModelSpec) -> ModelConfig | None:
    settings = spec.settings
    config = ModelConfig(
        system=spec.system,
        chosen=sorted(spec.chosen & spec.parameters.keys()),
        weights=_weights(spec),
        price_in=settings.price_in,
        price_out=settings.price_out,
        # A plain int: msgspec cannot encode a subclass of int.
        memory=int(settings.memory) or None,
    )
    return None if config == ModelConfig() else config


def _weights(spec: ModelSpec) -> str:
    if spec.runner == "remote":
        return ""  # `ModelServer.model` is what its server calls it
    weights = spec.settings.weights or spec.settings.model_id
    # Clients must not see the folders of this machine.
    return weights if weights.startswith(("hf:", "pypi:")) else without_folders(weights)


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


# All models of a server have the same address, and every new client gets all models.
@lru_cache(maxsize=1024)
def _address(url: str) -> str:
    return str(resolve_address(url))
