"""Strip comments, indentation and needless spaces from JavaScript and CSS.

Nothing is renamed and nothing is reordered, so what is left is the same program, token by
token; tests compare the trees. The rules for JavaScript:

- A line break stays wherever a statement could end there; it goes only after `{`, `(`, `,`
  and `;`, which end none.
- A space goes only beside punctuation that joins with nothing to form another token. `+`, `-`,
  `/` and `.` are none of these.
- A slash begins a regular expression where it follows a sign that no value ends with, or a
  word such as `return`. That is not so of every program (`if (a) /b/.test(c)`), but of ours.
- A template literal is one token up to its closing backtick; in its `${}` it may hold others, but
  these none again.
"""

import re
from typing import Final

_INNER_TEMPLATE: Final = r"`(?:[^`\\]|\\.)*`"
_TEMPLATE: Final = (
    r"`(?:[^`\\$]|\\.|\$(?!\{)|\$\{(?:[^`{}]|\{[^{}]*\}|" + _INNER_TEMPLATE + r")*\})*`"
)
_TOKEN: Final = re.compile(
    rf"""
      (?P<comment>//[^\n]*|/\*.*?\*/)
    | (?P<space>\s+)
    | '(?:[^'\\\n]|\\.)*' | "(?:[^"\\\n]|\\.)*" | {_TEMPLATE}
    | (?P<slash>/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*)
    | [\w$\#]+
    | .
    """,
    re.DOTALL | re.VERBOSE,
)
_BEFORE_EXPRESSION: Final = frozenset("(,=:[!&|?{};+-*%<>~^")
_WORDS_BEFORE_EXPRESSION: Final = frozenset({"return", "typeof", "case", "of", "in", "await"})
_ENDS_NO_STATEMENT: Final = frozenset("{(,;")
_ALONE: Final = frozenset("{}()[],;:=<>?&|!")


def strip_javascript(source: str) -> str:
    """Return the same program without comments and needless spaces."""
    kept: list[str] = []
    gap = ""
    last = ";"
    at = 0
    while found := _TOKEN.match(source, at):
        at = found.end()
        text = found.group()
        if found.lastgroup in {"comment", "space"}:
            gap = "\n" if "\n" in text else gap or " "
            continue
        if found.lastgroup == "slash" and not _is_before_expression(last):
            text = "/"  # a division
            at = found.start() + 1
        if gap == "\n" and last[-1] not in _ENDS_NO_STATEMENT:
            kept.append("\n")
        elif gap == " " and last[-1] not in _ALONE and text[0] not in _ALONE:
            kept.append(" ")
        gap = ""
        kept.append(text)
        last = text
    return "".join(kept).strip()


def _is_before_expression(token: str) -> bool:
    return token[-1] in _BEFORE_EXPRESSION or token in _WORDS_BEFORE_EXPRESSION


_CSS_TOKEN: Final = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*') | /\*.*?\*/ | \s*\n\s*""", re.DOTALL | re.VERBOSE
)
_CSS_BREAK: Final = re.compile(r"(?<=[{};,])\n")


def strip_css(source: str) -> str:
    """Return the same rules without comments and indentation."""
    kept = _CSS_TOKEN.sub(lambda found: found[1] or ("\n" if "\n" in found[0] else " "), source)
    return _CSS_BREAK.sub("", kept).strip()
