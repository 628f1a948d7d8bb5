"""The catalogue: which models there are, as settings say; read again, it is another one.

A `ModelSpec` is either a root, which says what to run, or a preset of a root, which shares
the root's model server and differs in prompt and parameters. Only roots are ever started.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from server.core.errors import UnknownModel
from server.core.parameters import DEFAULT_MAX_NEW_TOKENS, merge
from server.settings import ModelSettings, Settings

# Of a server of somebody else it is known once the server was asked.
ENGINE_NAMES = {"process": "llama.cpp", "docker": "TGI", "remote": ""}

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

    @property
    def is_preset(self) -> bool:
        """Tell whether this model is served by another one's model server."""
        return self.root != self.id

    @property
    def server_settings(self) -> ModelSettings:
        """Return the settings that a server is started with; the others change while it runs."""
        plain = ModelSettings()
        kept = {key: getattr(plain, key) for key in _NOT_THE_SERVERS}
        if self.runner != "docker":
            kept["memory"] = plain.memory
        return replace(self.settings, **kept)


class Catalog:
    """Hold the models in the order of the settings; never changes."""

    def __init__(self, specs: list[ModelSpec]) -> None:
        self._specs = {spec.id: spec for spec in specs}

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

    def root_of(self, model_id: str) -> ModelSpec:
        """Return the model whose server serves `model_id`; raises `UnknownModel`."""
        return self._specs[self.get(model_id).root]

    def served_by(self, root_id: str) -> list[ModelSpec]:
        """Return the root and its presets."""
        return [spec for spec in self if spec.root == root_id]


def build_catalog(settings: Settings) -> Catalog:
    """Make the catalogue from checked settings; a preset inherits what it does not say."""
    specs: dict[str, ModelSpec] = {}
    # Roots first: a preset may stand above its base in the file.
    for model_id, model in sorted(settings.models.items(), key=lambda item: bool(item[1].base)):
        spec = ModelSpec(
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
            dialect=model.dialect if model.runner == "remote" else "tgi",
        )
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
                chosen=base.chosen | frozenset(model.parameters),
                dialect=base.dialect,
                max_concurrent=base.max_concurrent,
            )
        specs[model_id] = spec
    return Catalog([specs[model_id] for model_id in settings.models])


def _max_concurrent(model: ModelSettings) -> int | None:
    # The embedded engine takes more requests than it has slots; they are better kept here,
    # in a queue that is fair and shows its positions.
    return model.max_concurrent or (model.slots if model.runner == "process" else None)
