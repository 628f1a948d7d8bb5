"""The names that models, servers, Docker engines and checks may have in the settings.

A model's id is part of addresses, of environment variables, and of a container's name. It may be
the model's name on a hub, such as `meta-llama/Llama-3.1-8B`.
"""

import re
from typing import Final

# A model's id may be twice as long as the longest name on the hub.
_MOST_CHARACTERS: Final = {"model": 128, "upstream": 64, "docker": 64, "check": 64}
_PATTERNS: Final = {
    "model": re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:/@+-]*[A-Za-z0-9._-])?"),
    "upstream": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    "check": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    # As `engine_host` this stands for all.
    "docker": re.compile(r"(?!(?i:any)$)[A-Za-z0-9][A-Za-z0-9._-]*"),
}
_EMPTY_PARTS: Final = frozenset({"", ".", ".."})

_RULE: Final = "the {} of letters, digits, `.`, `_` and `-`, at most {} characters"
RULES: Final = {
    "model": _RULE.format("ID", _MOST_CHARACTERS["model"])
    + "; inside also `/`, `:`, `@` and `+`, with no part between slashes empty, `.` or `..`",
    "upstream": _RULE.format("NAME", _MOST_CHARACTERS["upstream"]),
    "docker": _RULE.format("NAME", _MOST_CHARACTERS["docker"]) + "; not `any`",
    "check": _RULE.format("NAME", _MOST_CHARACTERS["check"]),
}


def is_name(kind: str, name: str) -> bool:
    """Tell whether a section of that kind (such as `model`) may have this name."""
    return (
        len(name) <= _MOST_CHARACTERS[kind]
        and _PATTERNS[kind].fullmatch(name) is not None
        and _EMPTY_PARTS.isdisjoint(name.split("/"))
    )
