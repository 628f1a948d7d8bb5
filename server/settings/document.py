"""Write the settings down for people: the head of `settings.ini`, and `docs/SETTINGS.md`.

Both are made from the tables, so that they cannot say anything else than what is true; a
test compares them. `python -m server.settings` writes them anew.
"""

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server.settings.loading import environment_name
from server.settings.models import ModelSettings
from server.settings.tables import SECTIONS
from server.settings.values import describe_type, format_value

ROOT = Path(__file__).resolve().parent.parent.parent
MODELS_MARK = "# --- The models "

_INI_HEAD = """\
# Sidestream's settings. Every key stands here with its default; delete what you do not change.
# The environment overrides this file: SIDESTREAM_SERVER__PORT=9000 sets `port` of [server].
# A value may go on in the next line if that is indented.
"""

_DOC_HEAD = """\
# Settings

Sidestream reads `settings.ini` (or the file named with `--settings`), then the environment, which
overrides it. Anything unknown, doubled, of the wrong type or impossible is refused at start, with
its place and what was expected there. Durations are in seconds.

This page is made from the table the program checks with: `python -m server.settings` writes it.
"""


def render_ini_head() -> str:
    """Return everything of `settings.ini` that stands before the models."""
    parts = [_INI_HEAD]
    for section, table in SECTIONS.items():
        lines = [_comment(_summary(table)), f"[{section}]"]
        for declared in dataclasses.fields(table):
            lines.append(_comment(_help(declared)))
            lines.append(f"{declared.name} = {format_value(declared.metadata['default'])}".strip())
        parts.append("\n".join(lines) + "\n")
    template = [
        "A model is a section [model ID]; adding one is all it takes to see it in the page. "
        "These are its keys:"
    ]
    lines = [_comment(template[0]), "#", "# [model ID]"]
    for declared in dataclasses.fields(ModelSettings):
        lines.append(_comment(_help(declared), "#   # "))
        lines.append(f"#   {declared.name} = {format_value(declared.metadata['default'])}".rstrip())
    parts.append(MODELS_MARK + "-" * (100 - len(MODELS_MARK)) + "\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def render_document() -> str:
    """Return `docs/SETTINGS.md`."""
    return "\n".join([_DOC_HEAD, *_sections()])


def write(root: Path = ROOT) -> None:
    """Write both files anew; the models in `settings.ini` stay as they are."""
    ini = root / "settings.ini"
    text = ini.read_text(encoding="utf-8")
    models = re.search(r"^\[model ", text, re.MULTILINE)
    kept = text[models.start() :] if models else ""
    ini.write_text(f"{render_ini_head()}\n{kept}", encoding="utf-8")
    (root / "docs" / "SETTINGS.md").write_text(render_document(), encoding="utf-8")


def _sections() -> Iterator[str]:
    for section, table in [*SECTIONS.items(), ("model ID", ModelSettings)]:
        yield f"## `[{section}]`\n\n{_summary(table)}\n"
        yield "| key | type | default | what it does |\n|---|---|---|---|"
        for declared in dataclasses.fields(table):
            rules = declared.metadata
            default = format_value(rules["default"])
            yield (
                f"| `{declared.name}` | {describe_type(rules['default'])} | "
                f"{f'`{default}`' if default else ''} | {_help(declared)} |"
            )
        example = "model my-model" if section == "model ID" else section
        first = dataclasses.fields(table)[0].name
        yield f"\nIn the environment: `{environment_name(example, first)}` and so on.\n"


def _help(declared: dataclasses.Field[Any]) -> str:
    rules = declared.metadata
    return (
        f"Only for `{rules['only_for']}`. {rules['help']}" if rules["only_for"] else rules["help"]
    )


def _summary(table: type) -> str:
    return inspect.cleandoc(table.__doc__ or "")


def _comment(text: str, prefix: str = "# ") -> str:
    return textwrap.fill(
        text, width=100, initial_indent=prefix, subsequent_indent=prefix, break_on_hyphens=False
    )
