"""Reload the settings while the gateway runs, and apply the changes that need no restart.

Rules:

1. Invalid settings change nothing; each problem is reported.
2. Models, remote servers, discovery and programs that check answers are changed at once; a server
   that is no longer wanted finishes its answers first. A model keeps its kind of runner while it
   has a server.
3. A setting that needs a restart keeps its old value, and every report names it until then.
4. The process that asks for a reload can read the report from a named pipe beside the lock file.
"""

import dataclasses
import errno
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from server.logs import configure
from server.models.catalogue.discovery import Discovery
from server.models.catalogue.source import CatalogSource
from server.models.fleet import Fleet
from server.settings.command_checks import CommandCheckSettings
from server.settings.docker_engines import engine_host_problems
from server.settings.models import ModelSettings
from server.settings.tables import SECTIONS, Settings
from server.settings.values import SettingsError, format_value

logger = logging.getLogger(__name__)

# Keys of [server] that are read for every log line.
_LIVE: Final = frozenset({"log_level", "log_format"})


@dataclass(frozen=True)
class Reloaded:
    """The report of a reload: the changes, the settings that need a restart, or the problems."""

    changed: list[str] = field(default_factory=list)
    needs_restart: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Reloader:
    """Hold the settings in force, and apply changes of them."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        fleet: Fleet,
        source: CatalogSource,
        discovery: Discovery,
        apply_checks: Callable[[Mapping[str, CommandCheckSettings]], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._read = read
        self._fleet = fleet
        self._source = source
        self._discovery = discovery
        self._apply_checks = apply_checks

    def reload(self) -> Reloaded:
        """Read the settings again and apply them; return and log the report."""
        try:
            wanted = self._read()
        except SettingsError as error:
            for problem in error.problems:
                logger.error("the settings stay as they were: %s", problem)
            return Reloaded(problems=error.problems)
        known = self._settings
        reloaded = Reloaded()
        live: dict[str, Any] = {}
        for section in SECTIONS:
            for key in _differences(getattr(known, section), getattr(wanted, section)):
                if section == "server" and key in _LIVE:
                    live[key] = getattr(wanted.server, key)
                    reloaded.changed.append(f"{key} = {live[key]}")
                elif section == "discovery":
                    value = format_value(getattr(wanted.discovery, key))
                    reloaded.changed.append(f"[discovery] {key} = {value}".rstrip())
                else:
                    reloaded.needs_restart.append(f"[{section}] {key}")
        reloaded.needs_restart.extend(self._changed_engines(wanted))
        models = self._models(wanted.models, reloaded)
        server = dataclasses.replace(known.server, **live)
        self._settings = dataclasses.replace(
            known,
            server=server,
            discovery=wanted.discovery,
            models=models,
            upstreams=wanted.upstreams,
            command_checks=wanted.command_checks,
        )
        if live:
            configure(server.log_level, server.log_format)
        changes = [
            *_changes(known.models, models, "model"),
            *_changes(known.upstreams, wanted.upstreams, "upstream"),
        ]
        reloaded.changed.extend(changes)
        reloaded.changed.extend(_changes(known.command_checks, wanted.command_checks, "check"))
        self._apply_checks(wanted.command_checks)
        # First, so that a server that is now in use is no longer among the found ones.
        self._discovery.apply(self._settings)
        if changes:
            self._source.apply(self._settings)
        logger.info("settings read again: %s", ", ".join(reloaded.changed) or "nothing is new")
        if reloaded.needs_restart:
            logger.warning("this takes a restart: %s", ", ".join(reloaded.needs_restart))
        return reloaded

    def _changed_engines(self, settings: Settings) -> Iterator[str]:
        """Yield each section of a Docker engine that is not as it was, with what stays there."""
        known, wanted = self._settings.docker_engines, settings.docker_engines
        yield from (f"[docker {name}]" for name in wanted if name not in known)
        for name, engine in known.items():
            if name in wanted:
                differing = _differences(engine, wanted[name])
                yield from (f"[docker {name}] {key}" for key in differing)
                continue
            # A model that goes as well is stopped, if its engine is there.
            is_away = not self._fleet.places().get(name, False)
            models = [
                crew.spec.id
                for crew in self._fleet.servers()
                if (is_away or crew.spec.id in settings.models)
                and name in {one.place for one in crew.statuses if one.status.state != "stopped"}
            ]
            runs = f" (then nobody watches {', '.join(models)} there: stop first)" if models else ""
            yield f"[docker {name}]{runs}"

    def _models(
        self, wanted: Mapping[str, ModelSettings], reloaded: Reloaded
    ) -> dict[str, ModelSettings]:
        """Return the wanted models; one that has a server keeps its runner.

        One that names a Docker engine of a new section stays as it was until the restart.
        """
        models = dict(wanted)
        for model_id, one in wanted.items():
            if any(engine_host_problems(one.engine_host, self._settings.docker_engines)):
                reloaded.needs_restart.append(f"[model {model_id}] engine_host")
                models = _kept(models, model_id, self._settings.models.get(model_id))
        for server in self._fleet.servers():
            model = models.get(server.spec.id)
            if model and not model.base and model.runner != server.spec.runner:
                models[server.spec.id] = server.spec.settings
                reloaded.needs_restart.append(f"[model {server.spec.id}] runner")
        return models


def _kept(
    models: dict[str, ModelSettings], model_id: str, known: ModelSettings | None
) -> dict[str, ModelSettings]:
    """Return the models with one as it was known; without it and its presets if it was not."""
    if known is not None:
        return models | {model_id: known}
    return {name: one for name, one in models.items() if model_id not in (name, one.base)}


def report_pipe(state_dir: Path, instance: str) -> Path:
    """Return the path of the named pipe for the report of a reload."""
    return state_dir.expanduser() / f"{instance}.reload"


def report(reloaded: Reloaded, pipe: Path) -> None:
    """Write the report to the pipe if it has a reader."""
    try:
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "wb", buffering=0) as output:
            output.write(msgspec.json.encode(reloaded))
    except OSError as error:
        # There is no pipe or no reader, or the reader is gone.
        if error.errno not in {errno.ENOENT, errno.ENXIO, errno.EPIPE}:
            logger.warning("%s: %s", pipe, error.strerror)


def _differences(known: Any, wanted: Any) -> Iterator[str]:
    for declared in dataclasses.fields(known):
        if getattr(known, declared.name) != getattr(wanted, declared.name):
            yield declared.name


def _changes(known: Mapping[str, Any], wanted: Mapping[str, Any], kind: str) -> Iterator[str]:
    """Yield a line for each changed section of one kind; a model is named by its id alone."""
    word = "" if kind == "model" else f"{kind} "
    yield from (f"added {word}{name}" for name in wanted if name not in known)
    yield from (f"removed {word}{name}" for name in known if name not in wanted)
    for name, section in wanted.items():
        if name in known and known[name] != section:
            yield f"changed {word}{name} ({', '.join(_differences(known[name], section))})"
    common = [name for name in known if name in wanted]
    if common != [name for name in wanted if name in known]:
        yield f"another order of the {kind}s"
