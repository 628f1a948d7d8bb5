"""Servers that operators add and remove while the gateway runs."""

import asyncio
import itertools
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from server.core.errors import (
    Contradiction,
    EngineError,
    EngineTimeout,
    InvalidCommand,
    UnknownServer,
)
from server.dialects.base import ANY_MODEL, Endpoint, ServedModel
from server.dialects.connector import Connector
from server.dialects.http.timeouts import Timeouts
from server.models.catalogue.additions import Additions, in_file
from server.models.catalogue.discovery import place_of, places_in_use
from server.models.catalogue.found_servers import FoundServers
from server.models.catalogue.source import CatalogSource
from server.settings.added import add_entry, added_entries, remove_entry
from server.settings.addresses import Address, resolve_address
from server.settings.secrets import is_reference

_ANSWER_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 20.0
_MOST_NAMED: Final = 20


class ServerLook(msgspec.Struct, frozen=True):
    """The server at an address: its name in the settings, and the number of its models."""

    name: str
    address: str
    kind: str
    model_count: int
    models: list[str]
    """The first of its models, by the server's own names."""


class AddedServers:
    """Add servers to the page's file, and remove them."""

    def __init__(self, found: FoundServers, source: CatalogSource) -> None:
        self.additions = Additions()
        self._found = found
        self._source = source
        self._connector = Connector(Timeouts(connect=_ANSWER_SECONDS, read=_ANSWER_SECONDS))

    async def use(self, name: str) -> None:
        """Add a server that was found on this machine.

        Does nothing if the server is in use already. Raises `UnknownServer`, `Contradiction` if the
        settings conflict with it, and `StorageFailed` if it cannot be written. After cancelling,
        the change goes on.
        """
        await self.additions.make(partial(self._use, name))

    async def remove(self, name: str) -> None:
        """Remove a server that was added in the page; raises what `use` raises."""
        await self.additions.make(partial(self._remove, name))

    async def look(self, url: str, api_key: str = "") -> ServerLook:
        """Recognise the server at an address; changes nothing.

        Raises `InvalidCommand` for an invalid address, `Contradiction` if the server is in use
        already, and `EngineError` if no model server answers.
        """
        address = self._unused(url)
        kind, served = await self._ask(address, api_key)
        return self._looked(address, kind, served)

    async def add(self, url: str, api_key: str = "") -> str:
        """Add the server at an address, and return its name; raises what `look` and `use` raise."""
        address = self._unused(url)
        kind, served = await self._ask(address, api_key)

        async def add(file: Path) -> str:
            self._unused(url)
            name = self._looked(address, kind, served).name
            key = {"api_key": api_key} if api_key else {}

            def check() -> list[str]:
                known = self._source.settings.upstreams.get(name)
                is_ours = known is not None and known.url == str(address)
                return [] if is_ours else [f"settings.ini has another [upstream {name}]"]

            await self._write(file, name, str(address), served, key, check)
            return name

        return await self.additions.make(add)

    # --- inside -----------------------------------------------------------------------------

    async def _use(self, name: str, file: Path) -> None:
        server = self._found.get(name)
        if server is None and self._source.is_used(name):
            return
        if server is None:
            raise UnknownServer(f"no server {name[:80]!r} was found on this machine")

        def check() -> list[str]:
            is_still_found = self._found.name_at(server.address) is not None
            return [f"settings.ini has another [upstream {name}]"] if is_still_found else []

        await self._write(file, name, str(server.address), server.served, {}, check)

    async def _write(
        self,
        file: Path,
        name: str,
        url: str,
        served: Sequence[ServedModel],
        more: dict[str, str],
        check: Callable[[], Sequence[str]] = list,
    ) -> None:
        added = await in_file(added_entries, file, "upstream")
        if name.casefold() in map(str.casefold, added):
            raise Contradiction(f"a server named {name} was added already")
        await in_file(add_entry, file, "upstream", name, {"url": url, "models": "*", **more})
        # So that its models are known before its list is read again.
        self._source.learn(name, url, list(served))
        await self.additions.put_in_force(partial(remove_entry, file, "upstream", name), check)

    async def _remove(self, name: str, file: Path) -> None:
        added = await in_file(added_entries, file, "upstream")
        known = {one.casefold(): one for one in added}
        if name.casefold() not in known:
            raise UnknownServer(
                f"no server {name[:80]!r} was added in the page",
                hint="what settings.ini says is changed there",
            )
        name = known[name.casefold()]
        await in_file(remove_entry, file, "upstream", name)
        back = partial(add_entry, file, "upstream", name, added[name])
        await self.additions.put_in_force(back)

    def _unused(self, url: str) -> Address:
        try:
            address = resolve_address(url)
        except ValueError as error:
            raise InvalidCommand(str(error)) from None
        if place_of(address.url) in places_in_use(self._source.settings):
            raise Contradiction(f"the server at {address.url} is in use already")
        return address

    async def _ask(self, address: Address, api_key: str) -> tuple[str, list[ServedModel]]:
        if is_reference(api_key):
            raise InvalidCommand("`api_key`: env: and file: are for settings.ini only")
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                return await self._recognise(address, api_key)
        except TimeoutError:
            raise EngineTimeout(f"the server at {address.url} does not answer in time") from None

    async def _recognise(self, address: Address, api_key: str) -> tuple[str, list[ServedModel]]:
        endpoint = Endpoint(
            address.url, address.api, dialect="auto", model=ANY_MODEL, api_key=api_key
        )
        who = await self._connector.recognise(endpoint)
        if who.is_sidestream:
            raise EngineError(
                f"a gateway like this one answers at {address.url}",
                hint="add the servers that it speaks to; or name it in settings.ini",
            )
        upstream = self._connector.speaking(endpoint, who)
        try:
            return who.flavour, list(await upstream.models())
        finally:
            await upstream.close()

    def _looked(self, address: Address, kind: str, served: list[ServedModel]) -> ServerLook:
        named = [model.name for model in served if model.kind == "text"]
        return ServerLook(
            self._free_name(address, kind),
            address.url,
            kind,
            len(named),
            named[:_MOST_NAMED],
        )

    def _free_name(self, address: Address, kind: str) -> str:
        """Return a free name, made from the host or, on this machine, from the server's kind."""
        found = self._found.name_at(address)
        host, port = place_of(address.url)
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-._")[:40] or kind or "server"
        plain = plain if plain[0].isalnum() else f"server-{port}"
        taken = {one.casefold() for one in self._source.settings.upstreams}
        more = (f"{plain}-{port}-{number}" for number in itertools.count(2))
        names = itertools.chain(filter(None, [found]), [plain, f"{plain}-{port}"], more)
        return next(name for name in names if name.casefold() not in taken)
