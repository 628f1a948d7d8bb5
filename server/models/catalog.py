"""The catalogue: which models there are, as settings and servers' lists say; it never changes.

A `ModelSpec` is a root, which says what to run, or shares the server of a root: a preset, which
differs from it in prompt and parameters, or a model of an `[upstream]`, whose root is that server
as a whole. Only roots have a lifecycle; a server as a whole is no model that anybody sees.
"""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote

from server.core.errors import UnknownModel
from server.core.parameters import DEFAULT_MAX_NEW_TOKENS, merge
from server.dialects.base import ANY_MODEL, ServedModel
from server.settings import (
    ASKED_RUNNERS,
    ModelSettings,
    RemoteSettings,
    Settings,
    UpstreamSettings,
)

# Of a server that may be any it is known once it was asked.
ENGINE_NAMES = {"process": "llama.cpp", "docker": "TGI", "command": "", "remote": ""}

# What a model's id may have beside letters and digits; others are percent-encoded.
_ID_CHARS: Final = "._-:@+/"
_PATTERN: Final = re.compile(r"[*?\[]")
# Longer names exist only to do harm; ids stand in addresses and in logs.
_MAX_SERVED_ID: Final = 160
_MAX_SHOWN: Final = 160

# Enough to see how they differ.
_SHOWN_NAMESAKES: Final = 5

# What people see, how the model is asked, and when it runs: nothing its server is told.
_NOT_THE_SERVERS = (
    *("name", "description", "system", "parameters"),
    *("max_concurrent", "idle_timeout", "pinned", "preload"),
    *("extra_allowed", "price_in", "price_out"),
)


@dataclass(frozen=True)
class ModelSpec:
    """Describe one model: what people see, what is run, and how it is spoken to."""

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
    """How many answers its server writes at once; None: what the server says itself."""
    chosen: frozenset[str] = frozenset()
    """The parameters that the settings set, rather than we."""
    dialect: str = "tgi"
    """How its server is spoken to; `auto` until it was asked."""
    served_as: str = ""
    """The server's own name of the model; empty for the only one it has."""
    extra_allowed: frozenset[str] = frozenset()
    """What may be passed on to its server as it is."""
    server: str = ""
    """The name of the `[upstream]` that it is a model of, or that it is as a whole."""
    served: ServedModel | None = None
    """What the server's list says of it."""

    @property
    def is_preset(self) -> bool:
        """Tell whether this model is served by another one's model server."""
        return self.root != self.id

    @property
    def is_server(self) -> bool:
        """Tell whether this is a server as a whole, rather than a model."""
        return bool(self.server) and not self.is_preset

    def is_called(self, name: str) -> bool:
        """Tell whether that is what the model's server calls it; of a preset it is not."""
        if not name or self.is_server or (self.is_preset and not self.server):
            return False
        return name == self.served_as or (self.served is not None and name in self.served.aliases)

    @property
    def server_settings(self) -> ModelSettings:
        """Return the settings that a server is started with; the others change while it runs."""
        plain = ModelSettings()
        kept = {key: getattr(plain, key) for key in _NOT_THE_SERVERS}
        if self.runner != "docker":
            kept["memory"] = plain.memory
        return replace(self.settings, **kept)


class Catalog:
    """Hold the models in the order of the settings, and the servers with many of them."""

    def __init__(self, specs: list[ModelSpec]) -> None:
        self._servers = {spec.id: spec for spec in specs if spec.is_server}
        with_models = {spec.root for spec in specs if spec.is_preset}
        # A server of which no model is known stands for itself, with what is wrong there.
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
        """Return the model of that id, or else the only one that its server calls so.

        Only models are looked at whose ids `sees` allows. Raises `UnknownModel`, with the ids of
        all where several are called so.
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

    def root_of(self, model_id: str) -> ModelSpec:
        """Return the model whose server serves `model_id`; raises `UnknownModel`."""
        root_id = self.get(model_id).root
        return self._servers.get(root_id) or self._specs[root_id]

    def roots(self) -> list[ModelSpec]:
        """Return what has a lifecycle: models with a server of their own, and servers."""
        models = [spec for spec in self if not spec.is_preset and not spec.is_server]
        return [*models, *self._servers.values()]

    def served_by(self, root_id: str) -> list[ModelSpec]:
        """Return the models that a root's server serves, the root itself if it is one."""
        return list(self._served.get(root_id, ()))


def build_catalog(
    settings: Settings, lists: Mapping[str, Sequence[ServedModel]] | None = None
) -> Catalog:
    """Make the catalogue from checked settings; a preset inherits what it does not say.

    `lists` has the models of each `[upstream]`, as far as they are known.
    """
    specs: dict[str, ModelSpec] = {}
    # Roots first: a preset may stand above its base in the file.
    for model_id, model in sorted(settings.models.items(), key=lambda item: bool(item[1].base)):
        spec = _own_spec(model_id, model)
        if model.base:
            base = specs[model.base]
            spec = replace(
                spec,
                runner=base.runner,
                engine=base.engine,
                root=base.id,
                settings=base.settings,
                system=model.system or base.system,
                parameters=merge(base.parameters, model.parameters),
                max_concurrent=base.max_concurrent,
                chosen=base.chosen | frozenset(model.parameters),
                dialect=base.dialect,
                served_as=base.served_as,
                extra_allowed=base.extra_allowed,
            )
        specs[model_id] = spec
    ordered = {model_id: specs[model_id] for model_id in settings.models}
    for name, upstream in settings.upstreams.items():
        server = server_spec(name, upstream)
        ordered[server.id] = server
        for served in taken(upstream, (lists or {}).get(name)):
            spec = served_spec(server, served)
            # Who names a model in the settings means that one.
            ordered.setdefault(spec.id, spec)
    return Catalog(list(ordered.values()))


def server_id(name: str) -> str:
    """Return the id of an `[upstream]` as a whole, which no model can have."""
    return f"[upstream {name}]"


def server_spec(name: str, upstream: UpstreamSettings) -> ModelSpec:
    """Describe a server with many models as a whole."""
    shared = {
        declared.name: getattr(upstream, declared.name)
        for declared in dataclasses.fields(RemoteSettings)
    }
    settings = ModelSettings(runner="remote", model_id=ANY_MODEL, **shared)
    spec = _own_spec(server_id(name), settings)
    return replace(spec, name=name, server=name)


def served_spec(server: ModelSpec, served: ServedModel) -> ModelSpec:
    """Describe one model in a server's list."""
    return replace(
        server,
        id=served_id(server.server, served.name),
        name=readable(served.title or served.name),
        served_as=served.name,
        served=served,
    )


def taken(upstream: UpstreamSettings, models: Sequence[ServedModel] | None) -> list[ServedModel]:
    """Return the models that answer with text and that the settings take, each once.

    Without a list, those that the settings name whole.
    """
    if models is None:
        return [ServedModel(name) for name in upstream.models if not _PATTERN.search(name)]
    names: dict[str, ServedModel] = {}
    for model in models:
        is_wanted = any(fnmatchcase(model.name, pattern) for pattern in upstream.models)
        if model.kind == "text" and is_wanted:
            names.setdefault(model.name, model)
    return list(names.values())


def served_id(server: str, name: str) -> str:
    """Return the id of a server's model: stable, unique, and fit for an address.

    What ids cannot have is percent-encoded, the percent sign included, so that two names never
    meet in one id. One that is too long ends in a hash of the whole.
    """
    text = quote(name, safe=_ID_CHARS, errors="surrogatepass")
    if not {"", ".", ".."}.isdisjoint(text.split("/")):
        # To an address these parts mean something else.
        text = text.replace(".", "%2E").replace("/", "%2F")
    if len(text) > _MAX_SERVED_ID:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
        # Half of an encoded character would be none.
        text = re.sub("%.?$", "", text[: _MAX_SERVED_ID - 13]) + f"-{digest}"
    return f"{server}/{text}"


def readable(text: str) -> str:
    """Return a name of somebody else's as one line that can be shown, not too long."""
    line = "".join(char if char.isprintable() else "\ufffd" for char in text[: _MAX_SHOWN + 1])
    return line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 1]}…"


def _own_spec(model_id: str, model: ModelSettings) -> ModelSpec:
    return ModelSpec(
        id=model_id,
        name=model.name or model_id,
        description=model.description,
        runner=model.runner,
        engine=ENGINE_NAMES[model.runner],
        root=model_id,
        settings=model,
        system=model.system,
        parameters=merge({"max_new_tokens": DEFAULT_MAX_NEW_TOKENS}, model.parameters),
        max_concurrent=_max_concurrent(model),
        chosen=frozenset(model.parameters),
        dialect=model.dialect if model.runner in ASKED_RUNNERS else "tgi",
        served_as=model.model_id if model.runner in ASKED_RUNNERS else "",
        extra_allowed=frozenset(model.extra_allowed),
    )


def _max_concurrent(model: ModelSettings) -> int | None:
    # The embedded engine takes more requests than it has slots; they are better kept here,
    # in a queue that is fair and shows its positions.
    return model.max_concurrent or (model.slots if model.runner == "process" else None)
