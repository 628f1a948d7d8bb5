"""Render chat templates in a process of its own: a template is a program, often a stranger's.

It imports the standard library and Jinja2 only, and answers frames until its input ends.

Fences, from the inside to the outside:

1. Jinja2's immutable sandbox: no attribute that leads to Python's insides, nothing is changed, no
   loader, `range` is bounded.
2. The system's limits and a timer of `RENDER_SECONDS` for each rendering
   (`server/workers/fences.py`).

Variables, filters and whitespace are those of transformers' `apply_chat_template`.
"""

import datetime as dt
import functools
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import jinja2.debug  # What Jinja2 imports itself only when it is too late to open a file.
import jinja2.ext
import jinja2.sandbox

from server.workers.fences import serve

RENDER_SECONDS: Final = 5.0
"""Real templates take milliseconds for a context of a million tokens."""
MAX_PROMPT_CHARACTERS: Final = 32 * 1024 * 1024
"""A context of a million tokens has a fifth of it."""

# transformers' own tag, which marks what a model is trained on and prints nothing.
_GENERATION_TAG: Final = re.compile(r"\{%([-+]?)\s*(?:end)?generation\s*([-+]?)%\}")
# Rendered before any other: what Python and Jinja2 import on first use is there afterwards.
_FIRST_TEMPLATES: Final = (
    "{{ messages | tojson(indent=2) }}{{ strftime_now('%d %b %Y') }}{{ '\\u00e9' | upper | trim }}",
    "{{ raise_exception('no') }}",
    "{% include 'none' %}",
    "{{ messages.none.none }}",
    "{% if",
)


class Refusal(Exception):
    """The template does not take these messages, and says why."""


def render(template: str, variables: Mapping[str, Any]) -> dict[str, str]:
    """Return `{"prompt": text}`, `{"refused": words}` or `{"broken": words}`."""
    try:
        compiled = _compile(template)
        pieces: list[str] = []
        room = MAX_PROMPT_CHARACTERS
        for piece in compiled.generate(variables):
            room -= len(piece)
            if room < 0:
                return {"broken": f"it writes more than {MAX_PROMPT_CHARACTERS:,} characters"}
            pieces.append(piece)
        return {"prompt": "".join(pieces)}
    except Refusal as refusal:
        return {"refused": str(refusal)}
    except MemoryError:
        return {"broken": "it takes too much memory"}
    except RecursionError:
        return {"broken": "it calls itself without end"}
    except jinja2.TemplateSyntaxError as error:
        return {"broken": f"line {error.lineno}: {error.message}"}
    except Exception as error:  # noqa: BLE001 - a program of somebody else's may raise anything
        return {"broken": f"{type(error).__name__}: {error}"}


@functools.lru_cache(maxsize=1)
def _compile(template: str) -> jinja2.Template:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols], autoescape=False
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment.from_string(_GENERATION_TAG.sub(r"{#\1 \2#}", template))


def _raise_exception(message: object) -> NoReturn:
    raise Refusal(str(message))


def _strftime_now(form: str) -> str:
    return dt.datetime.now().astimezone().strftime(form)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON as it is: Jinja2's own filter escapes it for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def main() -> None:
    """Answer frames until the input ends."""
    for template in _FIRST_TEMPLATES:
        render(template, {"messages": [{"role": "user"}]})
    serve(lambda request: render(request["template"], request["variables"]), seconds=RENDER_SECONDS)
