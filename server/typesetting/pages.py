"""HTML files that stand alone: everything is in them, no script runs and nothing is loaded."""

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from server.typesetting.documents import render_markdown

_TEMPLATES: Final = Path(__file__).resolve().parents[2] / "templates"


def render_page(template: str, styles: tuple[str, ...], **words: Any) -> bytes:
    """Return a page of `templates/`, with style sheets of that folder and a policy for them.

    Beside `words` the template has `policy`, `style`, and `render` for Markdown.
    """
    return b"".join(page_pieces(template, styles, **words))


def page_pieces(template: str, styles: tuple[str, ...], **words: Any) -> Iterator[bytes]:
    """Yield the page that `render_page` returns as it is made, in small pieces.

    Loops of the template take what they go over one by one, so that it need not be in memory.
    """
    style = _style(styles)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    pieces = (
        _environment()
        .get_template(template)
        .generate(
            # The styles of single elements are those of tables' cells and of formulas.
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; "
            "style-src-attr 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'",
            # Our own files; in a style element nothing is unescaped.
            style=Markup(style),  # noqa: S704
            # Markup in an answer is text, and what is written here is escaped.
            render=lambda text: Markup(render_markdown(text)),  # noqa: S704
            **words,
        )
    )
    # Halves of surrogate pairs, which a model may write, are no characters.
    return (piece.encode("utf-8", "replace") for piece in pieces)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _style(names: tuple[str, ...]) -> str:
    return "\n".join((_TEMPLATES / name).read_text(encoding="utf-8").strip() for name in names)
