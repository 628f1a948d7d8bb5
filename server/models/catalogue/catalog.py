"""The catalogue: an immutable list of all models, built from the settings and servers' lists.

A `ModelSpec` either is a root, with a model server of its own, or shares the server of a root.
Presets share a server: they have another prompt and other parameters than their root. So do the
models of an `[upstream]`, whose root is the server as a whole. Only roots have a lifecycle. A
server as a whole is not shown as a model.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from server.core.errors import UnknownModel
from server.core.parameters import merge
from server.dialects.base import ANY_MODEL, EngineInfo, ServedModel
from server.engines.engine import Engine
from server.engines.known import ENGINES, started_by
from server.engines.llama_cpp import LLAMA_CPP
from server.models.catalogue.served_names import readable, served_id, without_folders
from server.settings.commands import command_words
from server.settings.containers import engine_of
from server.settings.models import ModelSettings
from server.settings.remote import RemoteSettings
from server.settings.runners import CONTAINER_RUNNERS, RUNNERS
from server.settings.tables import DEFAULT_LENGTH, Settings
from server.settings.upstreams import UpstreamSettings

_PATTERN: Final = re.compile(r"[*?\[]")
# Enough to show how they differ.
_SHOWN_NAMESAKES: Final = 5

# Keys for people, requests and the lifecycle, which a server is not started with.
_NOT_THE_SERVERS = (
    *("name", "description", "system", "parameters"),
    *("max_concurrent", "idle_timeout", "pinned", "preload"),
    *("start_timeout", "download_timeout", "stop_grace"),
    *("extra_allowed", "price_in", "price_out", "vision"),
    *("replicas", "affinity"),
)


@dataclass(frozen=True)
class ModelSpec:
    """One model: how it is shown, how its server is run, and how requests to it are made."""

    id: str
    name: str
    description: str
    runner: str
    engine: str
    root: str
    settings: ModelSettings
    system: str
    parameters: Mapping[str, Any]
    max_concurrent: int | None
    """How many answers its server writes at once; None for the number that the server reports."""
    chosen: frozenset[str] = frozenset()
    """The parameters that the settings set; the others are defaults of the gateway."""
    program: str = ""
    """The engine that is started, by its name in the settings; empty if it is not known."""
    dialect: str = "tgi"
    """The dialect of its server; `auto` to ask the server."""
    unset_is_greedy: bool = False
    """Whether its server takes the most likely token unless a parameter asks for sampling."""
    served_as: str = ""
    """The server's own name of the model; empty if it has only one model."""
    extra_allowed: frozenset[str] = frozenset()
    """The names in `extra` that are passed on to its server."""
    server: str = ""
    """The name of its `[upstream]`, if it has one."""
    served: ServedModel | None = None
    """Its entry in the server's list."""
    default_length: int = DEFAULT_LENGTH
    """How many tokens an answer has at most if neither request nor settings set a limit."""

    @property
    def is_preset(self) -> bool:
        """Tell whether this model shares the server of another one."""
        return self.root != self.id

    @property
    def is_server(self) -> bool:
        """Tell whether this is a server as a whole and not a model."""
        return bool(self.server) and not self.is_preset

    def context_tokens(self, info: EngineInfo) -> int | None:
        """Return the context in tokens, None if unknown; `info` is the server's description."""
        # The list is newer than the description.
        return (self.served.context_tokens if self.served else None) or info.max_total_tokens

    def is_called(self, name: str) -> bool:
        """Tell whether the model's server uses that name for it; never true of a preset."""
        if not name or self.is_server or (self.is_preset and not self.server):
            return False
        aliases = () if self.served is None else self.served.aliases
        return name in (self.served_as, without_folders(self.served_as), *aliases)

    def can_see(self, info: EngineInfo) -> bool | None:
        """Tell whether the model takes pictures, None if unknown.

        `info` is its server's description of itself and the model.
        """
        if self.settings.vision != "auto":
            return self.settings.vision == "yes"
        if info.can_see is not None or self.served is None:
            return info.can_see
        return self.served.capabilities.get("vision")

    @property
    def budgeted_memory(self) -> int:
        """Return the bytes that its server takes of a budget, 0 if unknown; a swarm has its own."""
        return 0 if self.runner == "swarm" else int(self.settings.memory)

    @property
    def server_settings(self) -> ModelSettings:
        """Return the settings that a server starts with; the others may change while it runs."""
        plain = ModelSettings()
        kept = {key: getattr(plain, key) for key in _NOT_THE_SERVERS}
        if self.runner not in CONTAINER_RUNNERS:
            kept["memory"] = plain.memory
        return replace(self.settings, **kept)


class Catalog:
    """Hold the models in the order of the settings, and the servers with many models."""

    def __init__(self, specs: list[ModelSpec]) -> None:
        self._servers = {spec.id: spec for spec in specs if spec.is_server}
        with_models = {spec.root for spec in specs if spec.is_preset}
        # A server without known models is shown as a whole, with its error.
        self._specs = {
            spec.id: spec for spec in specs if not spec.is_server or spec.id not in with_models
        }
        self._served: dict[str, list[ModelSpec]] = {}
        for spec in self._specs.values():
            self._served.setdefault(spec.root, []).append(spec)

    def __iter__(self) -> Iterator[ModelSpec]:
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._specs

    def get(self, model_id: str) -> ModelSpec:
        """Return the model of that id; raises `UnknownModel`."""
        try:
            return self._specs[model_id]
        except KeyError:
            raise UnknownModel(f"there is no model {model_id[:80]!r}") from None

    def named(self, name: str, *, sees: Callable[[str], bool] = lambda model_id: True) -> ModelSpec:
        """Return the model with that id, or else the only one whose server uses that name for it.

        Only models whose ids `sees` accepts are considered. Raises `UnknownModel`; its message has
        all ids if several models have the name.
        """
        if name in self._specs and sees(name):
            return self._specs[name]
        found = [spec for spec in self if spec.is_called(name) and sees(spec.id)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise UnknownModel(f"there is no model {name[:80]!r}")
        ids = [spec.id for spec in found]
        raise UnknownModel(
            f"several models are called {name[:80]!r} by their servers",
            hint=f"ask for {' or '.join(ids[:_SHOWN_NAMESAKES])}",
            details={"models": ids},
        )

    def roots(self) -> list[ModelSpec]:
        """Return all with a lifecycle: models with their own server, and servers as a whole."""
        models = [spec for spec in self if not spec.is_preset and not spec.is_server]
        return [*models, *self._servers.values()]

    def served_by(self, root_id: str) -> list[ModelSpec]:
        """Return the models that a root's server serves, including the root if it is a model."""
        return list(self._served.get(root_id, ()))


def build_catalog(
    settings: Settings, lists: Mapping[str, Sequence[ServedModel]] | None = None
) -> Catalog:
    """Build the catalogue from checked settings; a preset inherits what it does not set.

    `lists` has the known models of each `[upstream]`.
    """
    specs: dict[str, ModelSpec] = {}
    # Roots first, because a preset may come before its base in the file.
    for model_id, model in sorted(settings.models.items(), key=lambda item: bool(item[1].base)):
        spec = _own_spec(model_id, model, settings.answers.default_length)
        if model.base:
            base = specs[model.base]
            spec = replace(
                spec,
                runner=base.runner,
                engine=base.engine,
                program=base.program,
                root=base.id,
                settings=base.settings,
                system=model.system or base.system,
                parameters=merge(base.parameters, model.parameters),
                max_concurrent=base.max_concurrent,
                chosen=base.chosen | frozenset(model.parameters),
                dialect=base.dialect,
                unset_is_greedy=base.unset_is_greedy,
                served_as=base.served_as,
                extra_allowed=base.extra_allowed,
            )
        specs[model_id] = spec
    ordered = {model_id: specs[model_id] for model_id in settings.models}
    for name, upstream in settings.upstreams.items():
        server = server_spec(name, upstream, default_length=settings.answers.default_length)
        ordered[server.id] = server
        for served in taken(upstream, (lists or {}).get(name)):
            spec = served_spec(server, served)
            # A model in the settings takes precedence over one in a list.
            ordered.setdefault(spec.id, spec)
    return Catalog(list(ordered.values()))


def server_id(name: str) -> str:
    """Return the id of an `[upstream]` as a whole, which no model can have."""
    return f"[upstream {name}]"


def server_spec(
    name: str, upstream: UpstreamSettings, *, default_length: int = DEFAULT_LENGTH
) -> ModelSpec:
    """Describe a server with many models as a whole."""
    shared = {
        declared.name: getattr(upstream, declared.name)
        for declared in dataclasses.fields(RemoteSettings)
    }
    settings = ModelSettings(runner="remote", model_id=ANY_MODEL, **shared)
    spec = _own_spec(server_id(name), settings, default_length)
    return replace(spec, name=name, server=name)


def served_spec(server: ModelSpec, served: ServedModel) -> ModelSpec:
    """Describe one model in a server's list."""
    return replace(
        server,
        id=served_id(server.server, served.name),
        name=readable(served.title or without_folders(served.name)),
        served_as=served.name,
        served=served,
    )


def taken(upstream: UpstreamSettings, models: Sequence[ServedModel] | None) -> list[ServedModel]:
    """Return the models of a list that generate text and match the settings, each once.

    Without a list, return the models that the settings name in full.
    """
    if models is None:
        return [ServedModel(name) for name in upstream.models if not _PATTERN.search(name)]
    names: dict[str, ServedModel] = {}
    for model in models:
        if model.kind == "text" and _is_named_by(upstream.models, model):
            names.setdefault(model.name, model)
    return list(names.values())


def _is_named_by(patterns: Sequence[str], model: ServedModel) -> bool:
    names = (model.name, *model.aliases)
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _own_spec(model_id: str, model: ModelSettings, default_length: int) -> ModelSpec:
    engine = _engine(model)
    dialect, served_as = "openai", ""
    if model.urls:
        # What looks at one address takes the first.
        model = replace(model, url=model.urls[0])
    if RUNNERS[model.runner].is_asked:
        dialect, served_as = model.dialect, model.model_id
    elif model.runner in CONTAINER_RUNNERS and engine is not None:
        dialect, served_as = engine.dialect, model.model_id if engine.serves_by_name else ""
    return ModelSpec(
        id=model_id,
        name=model.name or model_id,
        description=model.description,
        runner=model.runner,
        engine=_title(model, engine),
        # The embedded engine's launcher reports the phases of a start as data.
        program=engine.name if engine and model.runner != "process" else "",
        root=model_id,
        settings=model,
        system=model.system,
        parameters=merge({"max_new_tokens": default_length}, model.parameters),
        max_concurrent=_max_concurrent(model),
        chosen=frozenset(model.parameters),
        dialect=dialect,
        unset_is_greedy=dialect == "tgi" or model.runner == "process",
        served_as=served_as,
        extra_allowed=frozenset(model.extra_allowed),
        default_length=default_length,
    )


def _engine(model: ModelSettings) -> Engine | None:
    """Return the engine that a model's settings start, None if it is not known."""
    if model.runner in CONTAINER_RUNNERS:
        return engine_of(model)
    if model.runner == "command":
        return ENGINES.get(model.engine or started_by(command_words(model.command)))
    return LLAMA_CPP if model.runner == "process" else None


def _title(model: ModelSettings, engine: Engine | None) -> str:
    """Return the engine's name for people; empty if the server has to be asked."""
    return engine.title if engine and (model.engine or not RUNNERS[model.runner].is_asked) else ""


def _max_concurrent(model: ModelSettings) -> int | None:
    # The gateway's queue is fair; the one in llama.cpp is not, and shows no positions.
    return model.max_concurrent or (model.slots if model.runner == "process" else None)
