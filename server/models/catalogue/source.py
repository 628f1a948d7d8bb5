"""Rebuild the catalogue when the settings are reloaded or a server's list changes.

The fleet only receives catalogues. This module has their sources: the settings, and the lists of
the servers in `[upstream]` sections.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from server.core.errors import SidestreamError
from server.core.protocol import ModelError
from server.dialects.base import ServedModel
from server.models.catalogue.catalog import Catalog, build_catalog, server_id
from server.models.catalogue.listing import ListReader, ServerLists
from server.models.fleet import Fleet
from server.models.lifecycle.state import model_error
from server.models.views import ServerFacts
from server.settings.tables import Settings
from server.settings.upstreams import UpstreamSettings


@dataclass(frozen=True)
class _Reading:
    url: str
    reader: ListReader


class CatalogSource:
    """Hold settings and lists, and give the fleet the catalogues built from them."""

    def __init__(self, settings: Settings, lists: ServerLists) -> None:
        self.settings = settings
        """The settings in force."""
        self._lists = lists
        self._problems: dict[str, ModelError] = {}
        self._readings: dict[str, _Reading] = {}
        self._fleet: Fleet | None = None

    def catalog(self) -> Catalog:
        """Return the catalogue of the current settings and lists."""
        return build_catalog(self.settings, self._lists.models(_urls(self.settings.upstreams)))

    def set_fleet(self, fleet: Fleet) -> None:
        """Read the lists of the servers in `fleet`, and give it a catalogue after every change."""
        self._fleet = fleet
        self._follow()

    def apply(self, settings: Settings) -> None:
        """Replace the settings."""
        self.settings = settings
        self._change()
        self._follow()

    def is_used(self, name: str) -> bool:
        """Tell whether the settings have an `[upstream]` of that name."""
        return name in self.settings.upstreams

    def learn(self, name: str, url: str, models: list[ServedModel]) -> None:
        """Store the list of a server that is about to be added to the settings."""
        self._lists.take(name, url, models)
        self._lists.store()

    def look_soon(self, name: str) -> None:
        """Read a server's list soon, because it may have changed."""
        if name in self._readings:
            self._readings[name].reader.look_soon()

    def facts(self, name: str) -> ServerFacts:
        """Return the facts about a server that its status lacks."""
        upstream = self.settings.upstreams.get(name)
        known = None if upstream is None else self._lists.get(name, upstream.url)
        if known is None:
            return ServerFacts(problem=self._problems.get(name))
        return ServerFacts(known.seen, self._problems.get(name), known.left_out)

    async def close(self) -> None:
        """Stop reading lists, and store those that were read."""
        for reading in self._readings.values():
            await reading.reader.close()
        self._readings.clear()
        self._lists.store(is_last=True)

    # --- inside -----------------------------------------------------------------------------

    def _follow(self) -> None:
        """Start and stop readers, so that each server in the settings has one."""
        urls = _urls(self.settings.upstreams)
        for name, reading in list(self._readings.items()):
            if urls.get(name) != reading.url:
                del self._readings[name]
                reading.reader.stop()
                self._problems.pop(name, None)
        if self._fleet is None:
            return
        for name, url in urls.items():
            if name not in self._readings:
                reader = ListReader(
                    name,
                    partial(self._fleet.wait_until_ready, server_id(name)),
                    partial(self._take, name, url),
                    partial(self._tell_problem, name),
                    interval_seconds=self.settings.discovery.interval,
                )
                self._readings[name] = _Reading(url, reader)

    def _take(self, name: str, url: str, models: list[ServedModel]) -> None:
        known = self.facts(name)
        is_new = self._lists.take(name, url, models)
        self._problems.pop(name, None)
        self._lists.store()
        if is_new:
            self._change()
        if not self.facts(name).is_as(known):
            self._tell_of(name)

    def _tell_problem(self, name: str, error: SidestreamError) -> None:
        problem = model_error(error)
        if self._problems.get(name) != problem:
            self._problems[name] = problem
            self._tell_of(name)

    def _tell_of(self, name: str) -> None:
        if self._fleet is not None:
            self._fleet.tell_of(server_id(name))

    def _change(self) -> None:
        if self._fleet is not None:
            self._fleet.change(self.catalog())


def _urls(upstreams: Mapping[str, UpstreamSettings]) -> dict[str, str]:
    return {name: upstream.url for name, upstream in upstreams.items()}
