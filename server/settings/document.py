"""Write the documentation of the settings: the head of `settings.ini`, and `docs/SETTINGS.md`.

Both are generated from the tables by `python -m server.settings`; a test checks that they are
up to date.
"""

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from server.settings.loading import environment_name
from server.settings.models import ModelSettings
from server.settings.names import RULES
from server.settings.tables import NAMED_SECTIONS, SECTIONS
from server.settings.values import describe_type, format_value, in_words

ROOT = Path(__file__).resolve().parent.parent.parent
MODELS_MARK = "# --- The models "

_INI_HEAD = """\
# Sidestream's settings. Every key stands here with its default; delete what you do not change.
# The environment overrides this file: SIDESTREAM_SERVER__PORT=9000 sets `port` of [server].
# A value may go on in the next line if that is indented.
"""


class _Named(NamedTuple):
    """How a section that may occur several times is written, and its purpose."""

    name: str
    example: str
    about: str


_NAMED = {
    "check": _Named(
        "NAME",
        "check my-check",
        f"A program that checks answers is a section [check NAME], {RULES['check']}.",
    ),
    "docker": _Named(
        "NAME",
        "docker gpu1",
        f"Each is a section [docker NAME], {RULES['docker']}.",
    ),
    "model": _Named(
        "ID",
        "model my-model",
        f"A model is a section [model ID], {RULES['model']}; adding one is all it takes to see it "
        "in the page.",
    ),
    "upstream": _Named(
        "NAME",
        "upstream my-server",
        f"A running server with many models is a section [upstream NAME], {RULES['upstream']}.",
    ),
}

_DOC_HEAD = """\
# Settings

Sidestream reads `settings.ini` (or the file named with `--settings`), then the environment, which
overrides it. A key that is unknown, duplicate or has an invalid value is refused at start, with its
place and what was expected there. Durations are in seconds.

The page and `run.py model add` write the servers and models that they add to `servers.ini` beside
that file; if both files have a section of the same name, the one in `settings.ini` counts. A model
in `servers.ini` has only keys of the embedded engine. Its weights are on the hub or, if it was
added on the command line, in a file.

This page is generated from the table that the program checks settings with, by
`python -m server.settings`.
"""


def render_ini_head() -> str:
    """Return the part of `settings.ini` above the models."""
    parts = [_INI_HEAD]
    for section, table in SECTIONS.items():
        lines = [_comment(_summary(table)), f"[{section}]"]
        for declared in dataclasses.fields(table):
            lines.append(_comment(_help(declared, table)))
            lines.append(f"{declared.name} = {format_value(declared.metadata['default'])}".strip())
        parts.append("\n".join(lines) + "\n")
    parts.append(MODELS_MARK + "-" * (100 - len(MODELS_MARK)) + "\n")
    for kind, table in NAMED_SECTIONS.items():
        lines = [_comment(f"{_NAMED[kind].about} These are its keys:"), "#"]
        lines.append(f"# [{kind} {_NAMED[kind].name}]")
        for declared in dataclasses.fields(table):
            lines.append(_comment(_help(declared, table), "#   # "))
            default = format_value(declared.metadata["default"])
            lines.append(f"#   {declared.name} = {default}".rstrip())
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def render_document() -> str:
    """Return `docs/SETTINGS.md`."""
    return "\n".join([_DOC_HEAD, *_sections()])


def write(root: Path = ROOT) -> None:
    """Rewrite both files; keep the models in `settings.ini`."""
    ini = root / "settings.ini"
    text = ini.read_text(encoding="utf-8")
    models = re.search(rf"^\[({'|'.join(NAMED_SECTIONS)}) ", text, re.MULTILINE)
    kept = text[models.start() :] if models else ""
    ini.write_text(f"{render_ini_head()}\n{kept}", encoding="utf-8")
    (root / "docs" / "SETTINGS.md").write_text(render_document(), encoding="utf-8")


def _sections() -> Iterator[str]:
    for section, table in SECTIONS.items():
        yield from _section(section, section, table)
    for kind, table in NAMED_SECTIONS.items():
        named = _NAMED[kind]
        yield from _section(f"{kind} {named.name}", named.example, table, named.about)


def _section(title: str, example: str, table: type, about: str = "") -> Iterator[str]:
    yield f"## `[{title}]`\n\n{' '.join(filter(None, [_summary(table), about]))}\n"
    yield "| key | type | default | what it does |\n|---|---|---|---|"
    for declared in dataclasses.fields(table):
        rules = declared.metadata
        default = format_value(rules["default"])
        yield (
            f"| `{declared.name}` | {describe_type(rules['default'])} | "
            f"{f'`{default}`' if default else ''} | {_help(declared, table)} |"
        )
    first = dataclasses.fields(table)[0].name
    yield f"\nIn the environment: `{environment_name(example, first)}` and so on.\n"


def _help(declared: dataclasses.Field[Any], table: type) -> str:
    rules = declared.metadata
    # Only models have a runner; the keys of other sections always apply.
    runners = in_words(tuple(f"`{runner}`" for runner in rules["only_for"]))
    is_limited = bool(runners) and table is ModelSettings
    return f"Only for {runners}. {rules['help']}" if is_limited else rules["help"]


def _summary(table: type) -> str:
    return inspect.cleandoc(table.__doc__ or "")


def _comment(text: str, prefix: str = "# ") -> str:
    return textwrap.fill(
        text, width=100, initial_indent=prefix, subsequent_indent=prefix, break_on_hyphens=False
    )
