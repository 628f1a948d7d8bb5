"""Servers and models that an operator adds in the page, written to a file of their own.

Rules:

1. A user of the page has no access to this machine, so an entry names no file, no environment
   variable, no command and no image. Only the command line, which runs on this machine, may name
   a file, and only as a model's weights.
2. A change writes a new file, readable by its owner only, and renames it over the old one: a
   reader finds either the old entries or the new ones. Writers wait for each other.
3. Other entries stay as they are. A file that cannot be read is never overwritten.
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from server.core.files import alone_in, write_whole
from server.settings.checks import model_problems, upstream_problems, with_defaults
from server.settings.files import Sections, added_file, parse_sections, read_added
from server.settings.models import ModelSettings
from server.settings.names import RULES, is_name
from server.settings.references import look_up
from server.settings.secrets import is_reference
from server.settings.tables import NAMED_SECTIONS, ContainerSections
from server.settings.upstreams import UpstreamSettings
from server.settings.values import SettingsError, format_value, parse_value, unknown_key

_HEAD: Final = """\
# Servers and models that were added in Sidestream's page or by `run.py model add`, which write
# this file. A section of the same name in settings.ini goes before the one here.
"""
# The keys that name a file of this machine.
_REFUSED_KEYS: Final = frozenset({"ca_file"})
ADDED_KEYS: Final = frozenset(
    declared.name for declared in dataclasses.fields(UpstreamSettings)
) - frozenset(_REFUSED_KEYS)
"""The keys that a server's entry may have."""
ADDED_MODEL_KEYS: Final = frozenset(
    {
        *("name", "description", "weights", "weights_sha256", "slots", "context_tokens"),
        *("threads", "memory", "max_concurrent", "idle_timeout", "system", "parameters"),
    }
)
"""The keys that a model's entry may have: those of the embedded engine, and of requests to it."""
_OF_THE_HUB: Final = re.compile(
    r"hf:[A-Z0-9][\w.-]*/[A-Z0-9][\w.-]*(/(?!\.{1,2}/)[^\s@/\\]+)+(?<=\.gguf)"
    r"(@(?!.*\.\.)[A-Z0-9][\w./-]*)?",
    re.IGNORECASE | re.ASCII,
)
_FILE: Final = re.compile(r"/.+\.gguf", re.IGNORECASE)


class EntryRefused(SettingsError):
    """An entry is not written because it has a forbidden or an invalid value."""


class EntryExists(EntryRefused):
    """There is an entry of that name already."""


def added_problems(
    kind: str, written: Mapping[str, str], *, may_name_file: bool = True
) -> Iterator[tuple[str, str]]:
    """Yield the keys that an entry of the page's file may not have, and why.

    `may_name_file` is whether a model's weights may be a file of this machine. That is allowed in
    entries that exist, which the command line may have written, but not in those the page writes.
    """
    if kind == "model":
        yield from _refused_of_model(written, may_name_file=may_name_file)
        return
    if kind != "upstream":
        yield kind, "only [upstream NAME] and [model ID] can be added in the page"
        return
    for key, text in written.items():
        if key in _REFUSED_KEYS:
            yield key, "cannot be set in the page; put the server into settings.ini"
        if key == "api_key" and is_reference(text.strip()):
            yield key, "env: and file: are for settings.ini only"
        if key == "headers" and any(map(is_reference, _header_values(text))):
            yield key, "env: and file: are for settings.ini only"


def add_entry(
    path: Path, kind: str, name: str, values: Mapping[str, Any], *, may_name_file: bool = False
) -> None:
    """Write a server or a model into the page's file beside the settings file at `path`.

    `kind` is `upstream` or `model`. `values` have the types of the settings, or are texts as in the
    file. A model's weights are on the hub or, with `may_name_file`, a file of this machine by its
    absolute path. A server of the same name is replaced. Raises `EntryExists` for a model of the
    same name, `EntryRefused` for an invalid entry, and `SettingsError` if the file cannot be
    written.
    """
    written = {key: _as_text(value).strip() for key, value in values.items()}
    found = _entry_problems(kind, name, written, may_name_file=may_name_file)
    problems = [f"[{kind} {name}] {key}: {said}" for key, said in found]
    if not is_name(kind, name):
        problems.insert(0, f"[{kind} …] has {RULES[kind]}, found {name[:80]!r}")
    if problems:
        raise EntryRefused(problems)
    section = f"{kind} {name}"
    if parse_sections(_render({section: written}), path) != {section: written}:
        # For example, a line of a prompt would be read as a comment.
        raise EntryRefused([f"[{section}] has a text that cannot be written into a file"])

    def add(entries: Sections) -> None:
        if _drop(entries, section) and kind == "model":
            raise EntryExists([f"[{section}] is there already"])
        entries[section] = written

    _change(path, add)


def remove_entry(path: Path, kind: str, name: str) -> bool:
    """Remove an entry from the page's file; return whether it existed. Raises `SettingsError`."""
    removed = False

    def remove(entries: Sections) -> None:
        nonlocal removed
        removed = _drop(entries, f"{kind} {name}")

    if added_file(path).exists():
        _change(path, remove)
    return removed


def added_entries(path: Path, kind: str) -> dict[str, dict[str, str]]:
    """Return the entries of one kind in the page's file as they are written, by name.

    Raises `SettingsError` for a file that cannot be read.
    """
    parts = [(section.partition(" "), keys) for section, keys in read_added(path).items()]
    return {name.strip(): keys for (found, _, name), keys in parts if found == kind}


# --- inside ---------------------------------------------------------------------------------


def _refused_of_model(
    written: Mapping[str, str], *, may_name_file: bool
) -> Iterator[tuple[str, str]]:
    for key in written:
        if key not in ADDED_MODEL_KEYS:
            yield key, "cannot be set in the page; put the model into settings.ini"
    weights = written.get("weights", "").strip()
    if not _OF_THE_HUB.fullmatch(weights) and not (may_name_file and _FILE.fullmatch(weights)):
        yield "weights", f"expected hf:OWNER/REPO/FILE.gguf[@REVISION], found {weights[:200]!r}"


def _entry_problems(
    kind: str, name: str, written: Mapping[str, str], *, may_name_file: bool
) -> Iterator[tuple[str, str]]:
    declared = {one.name: one for one in dataclasses.fields(NAMED_SECTIONS[kind])}
    allowed = ADDED_MODEL_KEYS if kind == "model" else ADDED_KEYS
    found = list(added_problems(kind, written, may_name_file=may_name_file))
    values: dict[str, Any] = {}
    for key, text in written.items():
        if key not in declared:
            found.append((key, unknown_key(key, sorted(allowed))))
            continue
        try:
            values[key] = parse_value(declared[key], text)
        except ValueError as error:
            found.append((key, str(error)))
    if not found:
        found += look_up(values, folder=Path(), environment={}, overridden={})
    if not found and kind == "upstream":
        found += upstream_problems(with_defaults(UpstreamSettings(**values)))
    elif not found:
        model = ModelSettings(**values)
        found += model_problems(name, model, {name: model}, ContainerSections())
    yield from found


def _change(path: Path, edit: Any) -> None:
    file = added_file(path)
    try:
        with alone_in(file.parent):
            entries = read_added(path)
            edit(entries)
            write_whole(file, _render(entries).encode())
    except OSError as error:
        raise SettingsError([f"{file}: cannot be written: {error.strerror}"]) from None


def _render(entries: Sections) -> str:
    parts = [_HEAD]
    for section, keys in entries.items():
        # An indented line continues the value before it.
        lines = [f"{key} = {value}".replace("\n", "\n  ").rstrip() for key, value in keys.items()]
        parts.append("\n".join([f"[{section}]", *lines, ""]))
    return "\n".join(parts)


def _drop(entries: Sections, section: str) -> bool:
    sections = [one for one in entries if one.casefold() == section.casefold()]
    for one in sections:
        del entries[one]
    return bool(sections)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else format_value(value)


def _header_values(text: str) -> list[str]:
    try:
        headers = json.loads(text)
    except ValueError:
        return []  # Reported where the value is parsed.
    return (
        [value for value in headers.values() if isinstance(value, str)]
        if (isinstance(headers, dict))
        else []
    )
