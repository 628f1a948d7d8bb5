r"""Templates: a text in which `{{name}}` stands for a variable, and `\{{` for two braces.

What a variable holds is put in as it is: braces in it mean nothing.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

_VARIABLE: Final = re.compile(r"(\\)?\{\{([^{}\n]*[^{}\s][^{}\n]*)\}\}|\\(?=\{\{)")


def variables_of(template: str) -> list[str]:
    """Return the names of a template's variables, each once, in order."""
    names = (found[2] for found in _VARIABLE.finditer(template) if found[2] and not found[1])
    return list(dict.fromkeys(name.strip() for name in names))


def fill(template: str, variables: Mapping[str, str], quote: Callable[[str], str] = str) -> str:
    """Return a template with its variables put in, each quoted; raises `KeyError` without one."""

    def replace(found: re.Match[str]) -> str:
        if found[2] is None or found[1]:
            return found[0][1:]
        return quote(variables[found[2].strip()])

    return _VARIABLE.sub(replace, template)


def escape(text: str) -> str:
    """Return the template that gives this text."""
    return re.sub(r"(?=\{\{)", r"\\", text)
