r"""Render Markdown answers as HTML that stands alone, by markdown-it, close to what the page shows.

As on the page: markup in an answer is text, a picture becomes a link (showing it would contact
another server), only addresses of the web and of mail are links, and formulas in `$…$`, `$$…$$`,
`\(…\)` and `\[…\]` are typeset.
"""

import re
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from server.typesetting.formulas import Formula, typeset

# How far a formula's end may be from its beginning; `REACH` of static/js/markdown/emphasis.js.
_REACH: Final = 1000
_CLOSERS: Final = {
    r"\(": re.compile(r"\\\)"),
    r"\[": re.compile(r"\\\]"),
    "$$": re.compile(r"\$\$"),
    "$": re.compile(r"(?<![\s\\$])\$(?![$\da-zA-Z])"),
}
# What stands between two prices, or two names of a shell's variables; static/js/markdown/inline.js.
_NO_FORMULA: Final = re.compile(
    r"(?:\d[\d.,]*[a-zA-Z]?[ \n/-][a-zA-Z]{2}|[A-Z_]{2,}\b)[^\\^={}]*", re.ASCII
)
_LINKS: Final = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[^\s<]{1,2000}")
_TASK: Final = re.compile(r"\[([ xX])\] ")


def render_markdown(text: str) -> str:
    """Return an answer as HTML in which all text is escaped.

    Blocks until its formulas are typeset.
    """
    tokens = _READER.parse(text)
    _typeset_formulas(tokens)
    return str(_READER.renderer.render(tokens, _READER.options, {}))


def _formula_at(source: str, at: int, most: int) -> tuple[Formula, int] | None:
    """Return the formula that begins there, and where it ends."""
    sign = source[at : at + 2] if source[at : at + 2] in _CLOSERS else source[at : at + 1]
    if sign not in _CLOSERS:
        return None
    start = at + len(sign)
    is_single = sign == "$"
    if is_single and (
        source[start : start + 1].isspace() or re.match(r"[\da-zA-Z]", source[at - 1 : at] or " ")
    ):
        return None
    end = _CLOSERS[sign].search(source, start, min(most, at + _REACH + 1))
    if end is None:
        return None
    tex = source[start : end.start()]
    if is_single and _NO_FORMULA.fullmatch(tex):
        return None
    return Formula(tex, block=sign in ("$$", r"\[")), end.end()


def _push(state: StateInline | StateBlock, formula: Formula, source: str) -> Token:
    token = state.push("formula", "math", 0)
    token.content = source
    token.meta["formula"] = formula
    return token


def _inline_formula(state: StateInline, silent: bool) -> bool:
    found = _formula_at(state.src, state.pos, state.posMax)
    if found is None:
        return False
    formula, end = found
    if not silent:
        _push(state, formula, state.src[state.pos : end])
    state.pos = end
    return True


def _bare_address(state: StateInline, silent: bool) -> bool:
    """Make a link of an address that stands in the text; the rule begins at its colon."""
    if silent or state.linkLevel or not state.src.startswith("://", state.pos):
        return False
    scheme = re.search(r"(?<![^\W_])https?$", state.pending)
    rest = _ADDRESS.match(state.src, state.pos, state.posMax)
    if scheme is None or rest is None:
        return False
    # Signs at the end belong to the sentence, and a parenthesis to where it was opened.
    address = (scheme[0] + rest[0]).rstrip("?!.,:;*_~'\"")
    while address.endswith(")") and address.count(")") > address.count("("):
        address = address[:-1].rstrip("?!.,:;*_~'\"")
    if len(address) <= len(scheme[0]) + len("://"):
        return False
    state.pending = state.pending[: scheme.start()]
    state.push("link_open", "a", 1).attrs = {"href": state.md.normalizeLink(address)}
    state.push("text", "", 0).content = address
    state.push("link_close", "a", -1)
    state.pos += len(address) - len(scheme[0])
    return True


def _block_formula(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Take a formula of several lines, which may have empty ones."""
    begin = state.bMarks[start] + state.tShift[start]
    if state.is_code_block(start) or state.src[begin : begin + 2] not in ("$$", r"\["):
        return False
    found = _formula_at(state.src, begin, state.eMarks[end - 1])
    if found is None:
        return False
    formula, at = found
    last = next(line for line in range(start, end) if state.eMarks[line] >= at)
    if state.src[at : state.eMarks[last]].strip():
        return False
    if not silent:
        state.line = last + 1
        _push(state, formula, state.src[begin:at]).block = True
    return True


def _mark_tasks(state: StateCore) -> None:
    """Draw the boxes of task lists."""
    for before, token in zip(state.tokens[1:], state.tokens[2:], strict=False):
        if before.type != "paragraph_open" or token.type != "inline" or not token.children:
            continue
        first = token.children[0]
        if first.type == "text" and (found := _TASK.match(first.content)) and token.level > 1:
            box = "☐" if found[1] == " " else "☑"
            first.content = f"{box} {first.content[found.end() :]}"


def _typeset_formulas(tokens: Sequence[Token]) -> None:
    """Put MathML into all tokens of formulas, at once."""
    everything = [one for token in tokens for one in (token, *(token.children or ()))]
    formulas = [token for token in everything if token.type == "formula"]
    if formulas:
        typesets = typeset(token.meta["formula"] for token in formulas).result()
        for token, found in zip(formulas, typesets, strict=True):
            token.meta["mathml"] = found.mathml


def _write_formula(
    renderer: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any
) -> str:
    token = tokens[at]
    written = token.meta["mathml"] or escape(token.content)
    return f"<p>{written}</p>\n" if token.block else written


def _write_picture(
    renderer: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any
) -> str:
    token = tokens[at]
    words = escape(renderer.renderInlineAsText(token.children or (), options, env) or "picture")
    return f'<a href="{escape(str(token.attrs["src"]))}">{words}</a>'


def _write_code(
    renderer: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any
) -> str:
    written: str = getattr(renderer, tokens[at].type)(tokens, at, options, env)
    return written.replace("<pre>", '<pre tabindex="0">', 1)  # so that keys scroll it


def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False})
    reader.enable(["table", "strikethrough"])
    reader.validateLink = lambda url: _LINKS.match(url) is not None  # type: ignore[method-assign]
    reader.inline.ruler.before("escape", "formula", _inline_formula)
    reader.inline.ruler.before("formula", "address", _bare_address)
    reader.block.ruler.before(
        "fence", "formula", _block_formula, {"alt": ["paragraph", "blockquote", "list"]}
    )
    reader.core.ruler.after("inline", "tasks", _mark_tasks)
    reader.add_render_rule("formula", _write_formula)
    reader.add_render_rule("image", _write_picture)
    for kind in ("fence", "code_block"):
        reader.add_render_rule(kind, _write_code)
    return reader


_READER: Final = _reader()
