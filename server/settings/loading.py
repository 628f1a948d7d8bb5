"""Read `settings.ini` and the page's file, then the environment, into the tables.

Rules:

1. Nothing is guessed: an unknown section or key, a wrong type, an invalid value or a duplicate is
   refused at start, with file, section, key and what was expected.
2. `SIDESTREAM_SECTION__KEY` in the environment overrides the file; a model's section is
   `SIDESTREAM_MODEL_<ID>__KEY`, the id in capitals with `_` for every other character; a server's
   is `SIDESTREAM_UPSTREAM_<NAME>__KEY`, a Docker engine's `SIDESTREAM_DOCKER_<NAME>__KEY`, a
   check's `SIDESTREAM_CHECK_<NAME>__KEY`.
3. A model is a section `[model ID]`, a server with many models a section `[upstream NAME]`, one of
   several Docker engines a section `[docker NAME]`, a program that checks answers a section
   `[check NAME]`; adding one is all it takes.
4. A section in `settings.ini` goes before one of the same name in the page's file, which may have
   fewer keys.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from server.settings.access import access_problems
from server.settings.added import added_problems
from server.settings.checks import (
    misplaced_keys,
    model_problems,
    upstream_problems,
    with_defaults,
)
from server.settings.command_checks import command_check_problems
from server.settings.containers import swarm_problems
from server.settings.docker_engines import docker_engine_problems
from server.settings.files import ADDED_FILE, Sections, added_file, read_added, read_sections
from server.settings.names import RULES, is_name
from server.settings.references import look_up
from server.settings.secrets import WRITTEN
from server.settings.tables import NAMED_SECTIONS, SECTIONS, ContainerSections, Settings
from server.settings.values import SettingsError, parse_value, unknown_key

ENVIRONMENT_PREFIX = "SIDESTREAM_"


def load(path: Path, environment: Mapping[str, str], *, looks_up: bool = True) -> Settings:
    """Read `path`, the file beside it that the page writes, and the environment.

    Without `looks_up`, values such as `env:NAME` are not resolved: another program that reads the
    settings may have another environment and other rights than the gateway. Raises `SettingsError`
    with every problem, each with its place.
    """
    return _Loading(path, environment, looks_up=looks_up).settings()


def environment_name(section: str, key: str) -> str:
    """Return the environment variable that overrides a key."""
    return f"{ENVIRONMENT_PREFIX}{re.sub(r'[^A-Za-z0-9]', '_', section)}__{key}".upper()


def kind_and_name(section: str) -> tuple[str, str] | None:
    """Return kind and name of a section such as `[model ID]`; None for one without a name."""
    kind, blank, name = section.partition(" ")
    return (kind, name.strip()) if blank and kind in NAMED_SECTIONS else None


class _Loading:
    """One reading of the files and the environment, and the problems found so far."""

    def __init__(self, path: Path, environment: Mapping[str, str], *, looks_up: bool) -> None:
        self._path = path
        self._looks_up = looks_up
        self._environment = environment
        self._problems: list[str] = []
        self._written = read_sections(path)
        self._added = self._without_known(read_added(path))
        known = [*SECTIONS, *filter(kind_and_name, (*self._written, *self._added))]
        self._overrides = _overrides(known, environment, self._problems)

    def settings(self) -> Settings:
        """Return the settings; raises `SettingsError`."""
        sections = {
            section: table(**self._values(section, table, self._written.get(section, {})))
            for section, table in SECTIONS.items()
        }
        named: dict[str, dict[str, Any]] = {kind: {} for kind in NAMED_SECTIONS}
        for section in self._written:
            if section not in SECTIONS:
                self._take(section, named)
        for section in self._added:
            self._take(section, named, is_added=True)
        upstreams = {name: with_defaults(one) for name, one in named["upstream"].items()}
        containers = ContainerSections(sections["docker"], sections["swarm"], named["docker"])
        self._tell("swarm", swarm_problems(containers.swarm))
        for name, key, problem in docker_engine_problems(named["docker"], sections["engines"]):
            self._tell(f"docker {name}", [(key, problem)])
        for name, key, problem in command_check_problems(named["check"]):
            self._tell(f"check {name}", [(key, problem)])
        for model_id, model in named["model"].items():
            found = model_problems(model_id, model, named["model"], containers, named["upstream"])
            self._tell(f"model {model_id}", found)
        for name, upstream in upstreams.items():
            self._tell(f"upstream {name}", upstream_problems(upstream))
        self._tell("access", access_problems(sections["access"]))
        if self._problems:
            raise SettingsError(self._problems)
        return Settings(
            **sections,
            models=named["model"],
            upstreams=upstreams,
            docker_engines=named["docker"],
            command_checks=named["check"],
        )

    def _without_known(self, added: Sections) -> Sections:
        """Return the sections of the page's file that `settings.ini` does not have."""
        known = {_folded(section) for section in self._written}
        return {section: keys for section, keys in added.items() if _folded(section) not in known}

    def _take(
        self, section: str, named: dict[str, dict[str, Any]], *, is_added: bool = False
    ) -> None:
        """Read one section that has a name."""
        kind, name = kind_and_name(section) or ("", "")
        place = self._place(section)
        if not kind or not is_name(kind, name):
            expected = _section(kind) if kind else _known_sections()
            self._problems.append(f"{place}: unknown section; expected {expected}")
            return
        written = (self._added if is_added else self._written)[section]
        if is_added and (refused := list(added_problems(kind, written))):
            self._tell(section, refused)
            return
        values = self._values(section, NAMED_SECTIONS[kind], written)
        if kind == "model":
            if values.get("base"):
                values.setdefault("parameters", {})
            self._tell(section, misplaced_keys(values))
        if name.casefold() in (other.casefold() for other in named[kind]):
            self._problems.append(f"{place}: the {_KINDS[kind]} is there twice")
        else:
            named[kind][name] = NAMED_SECTIONS[kind](**values)

    def _values(self, section: str, table: type, written: Mapping[str, str]) -> dict[str, Any]:
        """Parse the keys of a section; the environment overrides the file."""
        overrides = self._overrides.get(section, {})
        known = {option.name: option for option in dataclasses.fields(table)}
        values: dict[str, Any] = {}
        for key, text in {**written, **overrides}.items():
            if key not in known:
                self._tell(section, [(key, unknown_key(key, known))])
                continue
            try:
                values[key] = parse_value(known[key], text)
            except ValueError as error:
                source = " (from the environment)" if key in overrides else ""
                self._tell(section, [(f"{key}{source}", str(error))])
        if section not in SECTIONS:
            folder = self._path.parent
            found = look_up(
                values,
                folder=folder,
                environment=self._environment if self._looks_up else None,
                overridden=overrides,
                origin=ADDED_FILE if section in self._added else WRITTEN,
            )
            self._tell(section, found)
        return values

    def _tell(self, section: str, problems: Iterator[tuple[str, str]] | list[Any]) -> None:
        place = self._place(section)
        self._problems += [f"{place} {key}: {problem}" for key, problem in problems]

    def _place(self, section: str) -> str:
        file = added_file(self._path) if section in self._added else self._path
        return f"{file}: [{section}]"


_KINDS = {"check": "check", "docker": "Docker engine", "model": "model", "upstream": "server"}


def _folded(section: str) -> tuple[str, str]:
    kind, name = kind_and_name(section) or ("", section)
    return kind, name.casefold()


def _known_sections() -> str:
    named = "; or ".join(_section(kind) for kind in NAMED_SECTIONS)
    return f"{', '.join(f'[{name}]' for name in SECTIONS)}, {named}"


def _section(kind: str) -> str:
    return f"[{kind} {'ID' if kind == 'model' else 'NAME'}], {RULES[kind]}"


def _overrides(
    sections: list[str], environment: Mapping[str, str], problems: list[str]
) -> dict[str, dict[str, str]]:
    """Group the environment's variables by section; one that matches no key is a problem."""
    places: dict[str, list[tuple[str, str]]] = {}
    for section in sections:
        kind, _ = kind_and_name(section) or ("", "")
        table = NAMED_SECTIONS[kind] if kind else SECTIONS[section]
        for option in dataclasses.fields(table):
            name = environment_name(section, option.name)
            places.setdefault(name, []).append((section, option.name))
    overrides: dict[str, dict[str, str]] = {}
    misspelt = {name.replace("__", "_"): name for name in places}
    for name, value in environment.items():
        if name in misspelt:
            problems.append(f"environment variable {name}: expected {misspelt[name]}")
        # Others use the prefix too, such as Kubernetes for the addresses of a service.
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        if name not in places:
            problems.append(f"environment variable {name}: overrides no key of any section")
            continue
        if len(places[name]) > 1:
            meant = " and ".join(f"[{section}]" for section, _ in places[name])
            problems.append(f"environment variable {name}: may mean {meant}; rename one")
            continue
        section, key = places[name][0]
        overrides.setdefault(section, {})[key] = value
    return overrides
