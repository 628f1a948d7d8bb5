"""Models that operators add by name and remove while the gateway runs.

Rules:

1. A model is checked against the hub and this machine before it is written: one that is missing,
   gated or too large is refused. Weights are downloaded only when the model is first started.
2. The page's entries name weights on the hub, never a file of this machine.
3. A removed model leaves the catalogue at once; its server is drained and stopped. Its weights stay
   in the hub's cache.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from server.core.errors import Contradiction, InvalidCommand, UnknownModel
from server.hub.asking import HubPlace, hub_place
from server.hub.errors import DoesNotFit
from server.hub.looking import Candidate, HubLook, free_id, look_at_hub
from server.hub.naming import FilePath, HubModel, ServerAddress, read_name
from server.models.catalogue.added_servers import AddedServers, ServerLook
from server.models.catalogue.additions import in_file
from server.models.catalogue.source import CatalogSource
from server.settings.added import add_entry, added_entries, remove_entry
from server.settings.models import ModelSettings
from server.settings.tables import Settings
from server.settings.values import Size, human_size

_MEGABYTE: Final = 1 << 20
_NO_FILES: Final = (
    "a file of this machine is named in settings.ini, or by `run.py model add` on its command line"
)
_PLAIN: Final = ModelSettings()
# A line for people, and a system prompt.
_Line = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Text = Annotated[str, msgspec.Meta(max_length=100_000)]
_Slots = Annotated[int, msgspec.Meta(ge=1, le=64)]
_Tokens = Annotated[int, msgspec.Meta(ge=64, le=100_000_000)]
_Name = Annotated[
    str,
    msgspec.Meta(
        max_length=500,
        description="`hf:OWNER/REPO[/FILE.gguf][@REVISION]`, a repository's address at the hub, or "
        "the address of a model server.",
    ),
]
_Key = Annotated[
    str,
    msgspec.Meta(max_length=4096, description="The key that a server asks for; itself, no name."),
]


class Look(msgspec.Struct, frozen=True):
    """What a name stands for: a model on the hub or a server; the other field is null."""

    hub: HubLook | None = None
    server: ServerLook | None = None


class AddedModel(msgspec.Struct, frozen=True):
    """A model that was added, as it is written in the page's file."""

    id: str
    name: str
    weights: str


class LookRequest(msgspec.Struct, frozen=True):
    """The name to look up, the context in tokens and the number of answers at once."""

    name: _Name
    slots: _Slots = _PLAIN.slots
    context_tokens: _Tokens = _PLAIN.context_tokens
    api_key: _Key = ""


class AddRequest(msgspec.Struct, frozen=True):
    """The model to add; `file` is a file of its repository, by default the one of the look-up.

    `title` and `description` are shown to people, `id` names the model in requests; each has a
    default. `force` adds a model that does not fit this machine.
    """

    name: _Name
    file: _Line = ""
    id: _Line = ""
    title: _Line = ""
    description: _Line = ""
    slots: _Slots = _PLAIN.slots
    context_tokens: _Tokens = _PLAIN.context_tokens
    system: _Text = ""
    parameters: dict[str, Any] = {}
    api_key: _Key = ""
    force: bool = False


class AddedModels:
    """Add models to the page's file, and remove them."""

    def __init__(self, source: CatalogSource, servers: AddedServers) -> None:
        self._source = source
        self._servers = servers
        # Shared with `AddedServers`, so that the file is changed by one task at a time.
        self._additions = servers.additions

    async def look(self, wanted: LookRequest) -> Look:
        """Return what a name stands for, and whether it fits this machine; downloads nothing.

        Raises `InvalidCommand` for an invalid name, `HubError` if the hub does not have the model,
        and for a server what `AddedServers.look` raises.
        """
        place = await hub_place()
        named = _named(wanted.name, place)
        if not isinstance(named, HubModel):
            return Look(server=await self._servers.look(named.url, wanted.api_key))
        return Look(hub=await self._look_at_hub(named, place, wanted))

    async def add(self, wanted: AddRequest) -> tuple[str, str]:
        """Add a model or a server by name; return the model's id, or "" and the server's name.

        Raises what `look` raises, `DoesNotFit`, `Contradiction` if it exists already or conflicts
        with the settings, and `StorageFailed` if it cannot be written. Cancelling ends the look-up;
        a change that has begun goes on.
        """
        place = await hub_place()
        named = _named(wanted.name, place)
        if not isinstance(named, HubModel):
            return "", await self._servers.add(named.url, wanted.api_key)
        look = await self._look_at_hub(named, place, wanted)
        chosen = look.candidate(wanted.file)
        check_fit(named, chosen, is_forced=wanted.force)

        async def add(file: Path) -> str:
            model_id = id_for(named, chosen, wanted.id, self._taken(), self._source.settings)
            await self._write(file, model_id, entry_for(named, chosen, wanted))
            return model_id

        return await self._additions.make(add), ""

    async def add_file(self, model_id: str, entry: Mapping[str, Any]) -> None:
        """Add a model whose weights are a file of this machine; raises what `add` raises."""

        async def add(file: Path) -> None:
            if model_id.casefold() in {one.casefold() for one in self._taken()}:
                raise Contradiction(f"there is a model {model_id!r} already", hint="choose an id")
            await self._write(file, model_id, entry, may_name_file=True)

        await self._additions.make(add)

    async def _write(
        self, file: Path, model_id: str, entry: Mapping[str, Any], *, may_name_file: bool = False
    ) -> None:
        add = partial(add_entry, file, "model", model_id, may_name_file=may_name_file)
        await in_file(add, entry)

        def check() -> list[str]:
            known = self._source.settings.models.get(model_id)
            is_ours = known is not None and known.weights == entry["weights"]
            return [] if is_ours else [f"settings.ini has another [model {model_id}]"]

        await self._additions.put_in_force(partial(remove_entry, file, "model", model_id), check)

    async def remove(self, model_id: str) -> None:
        """Remove a model that was added.

        Raises `UnknownModel` if it was not added here, `Contradiction` if the settings refer to it,
        and `StorageFailed`. After cancelling, the change goes on.
        """

        async def remove(file: Path) -> None:
            added = await in_file(added_entries, file, "model")
            if model_id not in added:
                raise UnknownModel(
                    f"no model {model_id[:80]!r} was added",
                    hint="what settings.ini says is changed there",
                )
            await in_file(remove_entry, file, "model", model_id)
            back = partial(add_entry, file, "model", model_id, may_name_file=True)
            await self._additions.put_in_force(partial(back, added[model_id]))

        await self._additions.make(remove)

    async def added(self) -> list[AddedModel]:
        """Return the models in the page's file; raises `StorageFailed`."""
        added = await self._additions.read(partial(added_entries, kind="model"))
        return [
            AddedModel(model_id, keys.get("name", "") or model_id, keys.get("weights", ""))
            for model_id, keys in added.items()
        ]

    async def _look_at_hub(
        self, model: HubModel, place: HubPlace, wanted: LookRequest | AddRequest
    ) -> HubLook:
        return await look_at_hub(
            model,
            slots=wanted.slots,
            context_tokens=wanted.context_tokens,
            budget_bytes=self._source.settings.engines.memory_budget,
            taken_ids=self._taken(),
            place=place,
        )

    def _taken(self) -> set[str]:
        return {*self._source.settings.models, *(spec.id for spec in self._source.catalog())}


def check_fit(model: HubModel, chosen: Candidate, *, is_forced: bool) -> None:
    """Raise `DoesNotFit` if a candidate does not fit, unless `is_forced`."""
    if not chosen.fits and not is_forced:
        raise DoesNotFit(
            f"{chosen.file} of {model.repo} does not fit: it {chosen.problem}",
            hint="choose a smaller quantization, fewer `slots` or a smaller `context_tokens`",
            details=msgspec.to_builtins(chosen),
        )


def id_for(
    model: HubModel, chosen: Candidate, wanted: str, taken: set[str], settings: Settings
) -> str:
    """Return the id to add a model under.

    Raises `Contradiction` if the wanted id is taken, or if no id is wanted and the settings have a
    model with these weights already.
    """
    if wanted:
        if "/" in wanted:
            raise InvalidCommand("`id`: the id of a model that is added has no `/` in it")
        if wanted.casefold() in {one.casefold() for one in taken}:
            raise Contradiction(f"there is a model {wanted[:80]!r} already", hint="choose an id")
        return wanted
    weights = model.weights(chosen.file)
    for model_id, known in settings.models.items():
        if known.weights == weights:
            raise Contradiction(
                f"these weights are those of the model {model_id!r} already",
                hint="give an `id` to have them a second time",
            )
    return free_id(model.repo, chosen.quantization, taken)


def entry_for(model: HubModel, chosen: Candidate, wanted: AddRequest) -> Mapping[str, Any]:
    """Return the entry of a model: all keys that differ from their defaults."""
    title = model.repo.partition("/")[2].removesuffix("-GGUF")
    kind = f" ({chosen.quantization})" if chosen.quantization else ""
    about = f"{model.repo} on the hub, {human_size(chosen.size_bytes)}."
    entry: dict[str, Any] = {
        "name": wanted.title or title + kind,
        "description": wanted.description or about,
        "weights": model.weights(chosen.file),
        "memory": Size(-(-chosen.memory_bytes // _MEGABYTE) * _MEGABYTE),
    }
    for key in ("slots", "context_tokens", "system", "parameters"):
        if getattr(wanted, key) != getattr(_PLAIN, key):
            entry[key] = getattr(wanted, key)
    return entry


def _named(name: str, place: HubPlace) -> HubModel | ServerAddress:
    named = read_name(name, endpoint=place.endpoint)
    if isinstance(named, FilePath):
        raise InvalidCommand("a file cannot be named here", hint=_NO_FILES)
    return named
