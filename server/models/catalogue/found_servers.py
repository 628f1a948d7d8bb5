"""Servers that were found on this machine and are not in use, and the views of their models.

Rules:

1. A server keeps its name for as long as it is known. The name is that of its kind, followed by
   its port if another server, found or in the settings, has the name already.
2. Its models are listed after all others, as they will look once the server is in use. Until
   then they cannot be asked.
3. Subscribers are notified only of changes.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from server.core.errors import UnknownModel
from server.core.protocol import Model
from server.dialects.base import EngineInfo, ServedModel
from server.models.catalogue.catalog import served_spec, server_spec, taken
from server.models.lifecycle.state import Status
from server.models.views import ServerFacts, UseCounts, ViewParts, model_view
from server.settings.addresses import Address
from server.settings.upstreams import UpstreamSettings

# Nobody chooses from a longer list; a server in use has all of its models.
_MOST_MODELS: Final = 2000


@dataclass(frozen=True)
class FoundServer:
    """A server that answers at an address: its description, and the models that it lists.

    Its name is made from `kind`.
    """

    address: Address
    kind: str
    info: EngineInfo
    served: Sequence[ServedModel]


class FoundServers:
    """Hold the servers that were found, under their names."""

    def __init__(self) -> None:
        self._servers: dict[str, FoundServer] = {}
        self._models: dict[str, dict[str, Model]] = {}
        self._reserved: frozenset[str] = frozenset()
        self._subscribers: list[Callable[[], None]] = []

    def subscribe(self, subscriber: Callable[[], None]) -> None:
        """Call `subscriber` after every change."""
        self._subscribers.append(subscriber)

    def get(self, name: str) -> FoundServer | None:
        """Return the server of that name, None if there is none."""
        return self._servers.get(name)

    def name_at(self, address: Address) -> str | None:
        """Return the name of the server at an address, None if there is none."""
        return next((n for n, server in self._servers.items() if server.address == address), None)

    def models(self) -> list[Model]:
        """Return the models of all servers, those of one server together."""
        return [m for name in sorted(self._models) for m in self._models[name].values()]

    def model(self, model_id: str) -> Model | None:
        """Return one model, None if no server that was found has it."""
        return next((m[model_id] for m in self._models.values() if model_id in m), None)

    def check(self, model_id: str) -> None:
        """Raise `UnknownModel` with a hint if the model is one of a found server."""
        model = self.model(model_id)
        if model is not None and model.server is not None:
            raise UnknownModel(
                f"{model_id[:80]} was found on this machine and is not in use yet",
                hint=f"an operator uses the server {model.server.name} first",
            )

    def reserve(self, names: Iterable[str]) -> None:
        """Reserve names for servers in the settings; a found server with one of them is renamed.

        Names are case-insensitive, as in the settings.
        """
        self._reserved = frozenset(name.casefold() for name in names)
        for name in [name for name in self._servers if name.casefold() in self._reserved]:
            server = self._servers.pop(name)
            del self._models[name]
            self._put(self._name_for(server), server)
            self._tell()

    def take(self, server: FoundServer) -> None:
        """Add or replace a server."""
        name = self.name_at(server.address)
        if name is not None and self._servers[name] == server:
            return
        if name is not None and self._servers[name].kind != server.kind:
            del self._servers[name], self._models[name]
            name = None
        self._put(name or self._name_for(server), server)
        self._tell()

    def drop(self, address: Address) -> None:
        """Forget the server at an address, if there is one."""
        name = self.name_at(address)
        if name is not None:
            del self._servers[name], self._models[name]
            self._tell()

    # --- inside -----------------------------------------------------------------------------

    def _put(self, name: str, server: FoundServer) -> None:
        self._servers[name] = server
        self._models[name] = {model.id: model for model in _shown(name, server)}

    def _name_for(self, server: FoundServer) -> str:
        others = self._reserved | {name.casefold() for name in self._servers}
        with_port = f"{server.kind}-{urlsplit(server.address.url).port}"
        more = (f"{with_port}-{number}" for number in itertools.count(2))
        names = itertools.chain([server.kind, with_port], more)
        return next(name for name in names if name.casefold() not in others)

    def _tell(self) -> None:
        for subscriber in self._subscribers:
            subscriber()


def _shown(name: str, server: FoundServer) -> list[Model]:
    said = UpstreamSettings(url=str(server.address), models=("*",))
    whole = server_spec(name, said)
    left_out = sum(model.kind != "text" for model in server.served)
    facts = ServerFacts(seen=time.time(), left_out=left_out)
    views = (
        model_view(
            ViewParts(served_spec(whole, served), Status(), server.info, UseCounts(0, 0), facts)
        )
        for served in taken(said, server.served)[:_MOST_MODELS]
    )
    return [_as_found(view) for view in views]


def _as_found(model: Model) -> Model:
    server = model.server
    return model if server is None else replace(model, server=replace(server, found=True))
