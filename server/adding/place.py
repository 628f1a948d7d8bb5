"""The settings that models are added to, and the gateway that runs with them, if there is one."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.models.catalogue.added_models import AddedModels
from server.models.catalogue.added_servers import AddedServers
from server.models.catalogue.found_servers import FoundServers
from server.models.catalogue.listing import ServerLists
from server.models.catalogue.source import CatalogSource
from server.reload.asking import TIMEOUT_SECONDS, ask_to_reload, running_gateway
from server.settings.loading import load
from server.settings.tables import Settings
from server.settings.values import SettingsError


@dataclass(frozen=True)
class Place:
    """What adds models and servers to one settings file's neighbour."""

    settings: Settings
    models: AddedModels
    servers: AddedServers


def open_place(file: Path) -> Place:
    """Return what adds beside a settings file; raises `SettingsError`."""

    def read() -> Settings:
        return load(file, os.environ, looks_up=False)

    settings = read()
    source = CatalogSource(settings, ServerLists())

    def reload() -> Sequence[str]:
        try:
            source.apply(read())
        except SettingsError as error:
            return error.problems
        return _tell(source.settings)

    servers = AddedServers(FoundServers(), source)
    servers.additions.set_file(file, reload)
    return Place(settings, AddedModels(source, servers), servers)


def _tell(settings: Settings) -> Sequence[str]:
    """Have a running gateway read its settings again; return why it could not use them."""
    pid = running_gateway(settings)
    if pid is None:
        print("No gateway runs with these settings; the next start has it.", file=sys.stderr)
        return []
    reloaded = ask_to_reload(pid, settings)
    if reloaded is None:
        print(
            f"The gateway (process {pid}) said nothing within {TIMEOUT_SECONDS:g} s; see its log.",
            file=sys.stderr,
        )
        return []
    if reloaded.needs_restart:
        print(f"This takes a restart: {', '.join(reloaded.needs_restart)}", file=sys.stderr)
    return reloaded.problems
