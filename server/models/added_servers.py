"""Servers that operators take into use, and give up again, while the gateway runs.

An entry is written into the page's own file and the settings are read again: what is in use now is
what a restart would have. Either both succeed, or all is as it was. One change is made at a time,
and whoever leaves while it is made leaves it to itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from pathlib import Path
from typing import Final

from server.core.errors import Contradiction, InvalidCommand, StorageFailed, UnknownServer
from server.models.catalog_source import CatalogSource
from server.models.found import Found
from server.settings import SettingsError, add_upstream, added_upstreams, remove_upstream

Reload = Callable[[], Sequence[str]]
"""Read the settings again and go by them; returns why that could not be done."""

_MEND: Final = "mend that, then try again"


class AddedServers:
    """Write servers into the page's file, and take them out of it."""

    def __init__(self, found: Found, source: CatalogSource) -> None:
        self._found = found
        self._source = source
        self._file: Path | None = None
        self._reload: Reload = list
        self._alone = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()

    def attach(self, settings_file: Path, reload: Reload) -> None:
        """Write beside that settings file from now on, and have it read by `reload`."""
        self._file, self._reload = settings_file, reload

    async def use(self, name: str) -> None:
        """Use a server that was found on this machine, now and after a restart.

        Raises `UnknownServer`, `Contradiction` where the settings stand against it, and
        `StorageFailed` where it cannot be written down. Cancelling leaves it under way.
        """
        await self._do(self._use(name))

    async def remove(self, name: str) -> None:
        """Use a server no more that was taken into use in the page; raises what `use` does."""
        await self._do(self._remove(name))

    async def close(self) -> None:
        """Let what is under way come to its end."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _do(self, work: Awaitable[None]) -> None:
        async def alone() -> None:
            async with self._alone:
                await work

        # What begins with it, such as a look at the server, is not done for who asked.
        task = asyncio.create_task(alone(), name="change of servers", context=Context())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.shield(task)

    async def _use(self, name: str) -> None:
        server = self._found.get(name)
        if server is None:
            raise UnknownServer(f"no server {name[:80]!r} was found on this machine")
        file = self._settings_file()
        url = str(server.address)
        if name.casefold() in (one.casefold() for one in await _read(file)):
            raise Contradiction(f"a server named {name} was added already")
        await _write(add_upstream, file, name, {"url": url, "models": "*"})
        # So that its models are there before its list is read again.
        self._source.learn(name, url, list(server.served))
        problems = list(self._reload())
        if not problems and self._found.name_at(server.address) is not None:
            problems = [f"settings.ini has another [upstream {name}]"]
        if problems:
            await _write(remove_upstream, file, name)
            raise _refusal(problems)

    async def _remove(self, name: str) -> None:
        file = self._settings_file()
        added = await _read(file)
        known = {one.casefold(): one for one in added}
        if name.casefold() not in known:
            raise UnknownServer(
                f"no server {name[:80]!r} was added in the page",
                hint="what settings.ini says is changed there",
            )
        name = known[name.casefold()]
        await _write(remove_upstream, file, name)
        problems = self._reload()
        if problems:
            await _write(add_upstream, file, name, added[name])
            raise _refusal(problems)

    def _settings_file(self) -> Path:
        if self._file is None:
            raise Contradiction("this gateway has no settings file to write beside")
        return self._file


def _refusal(problems: Sequence[str]) -> InvalidCommand:
    return Contradiction(f"the settings cannot be used: {'; '.join(problems)}", hint=_MEND)


async def _read(file: Path) -> dict[str, dict[str, str]]:
    """Return the servers in the page's file; raises `StorageFailed`."""
    try:
        return await asyncio.to_thread(added_upstreams, file)
    except SettingsError as error:
        raise StorageFailed("; ".join(error.problems), hint=_MEND) from None


async def _write(change: Callable[..., object], *arguments: object) -> None:
    try:
        await asyncio.to_thread(change, *arguments)
    except SettingsError as error:
        raise StorageFailed("; ".join(error.problems), hint=_MEND) from None
