"""Find code fences in Markdown."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

# White space is matched in one way only, as a line of nothing else would take quadratic time.
_OPENING: Final = re.compile(r"(\s*(?:(?:[-*+]|\d+[.)])\s*)?)(`{3,}|~{3,})[ \t]*([^\s`]*)[^`]*$")


class Fence(NamedTuple):
    """Hold the language that a fence names, in lower case, and the code in it."""

    language: str
    code: str


def fences_in(text: str) -> Iterator[Fence]:
    """Give the code fences of a text; one that is not closed goes to the end.

    In lists, whose items indent them, the indentation of the opening line is taken away.
    """
    lines = iter(text.splitlines())
    for line in lines:
        opening = _OPENING.match(line)
        if opening is None:
            continue
        indent, mark = len(opening[1]), opening[2]
        code: list[str] = []
        for inner in lines:
            bare = inner.strip()
            if len(bare) >= len(mark) and not bare.strip(mark[0]):
                break
            code.append(inner[min(indent, len(inner) - len(inner.lstrip())) :])
        yield Fence(opening[3].lower(), "\n".join(code))
