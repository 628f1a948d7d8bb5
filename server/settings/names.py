"""What models and servers may be called in the settings.

A model's id is part of addresses, of environment variables, and of a container's name. It may be
the model's name on a hub, such as `meta-llama/Llama-3.1-8B`.
"""

import re
from typing import Final

MAX_MODEL_ID: Final = 128
"""Characters of a model's id: twice the longest names on the hub fit."""
MAX_UPSTREAM_NAME: Final = 64

_MODEL_ID: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:/@+-]*[A-Za-z0-9._-])?")
_UPSTREAM_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EMPTY_PARTS: Final = frozenset({"", ".", ".."})

_MODEL_RULE: Final = (
    f"the ID of letters, digits, `.`, `_` and `-`, at most {MAX_MODEL_ID} characters; inside also "
    "`/`, `:`, `@` and `+`, with no part between slashes empty, `.` or `..`"
)
_UPSTREAM_RULE: Final = (
    f"the NAME of letters, digits, `.`, `_` and `-`, at most {MAX_UPSTREAM_NAME} characters"
)
RULES: Final = {"model": _MODEL_RULE, "upstream": _UPSTREAM_RULE}


def is_name(kind: str, name: str) -> bool:
    """Tell whether a section of that kind, `model` or `upstream`, may have this name."""
    return is_model_id(name) if kind == "model" else is_upstream_name(name)


def is_model_id(name: str) -> bool:
    """Tell whether a model may have this id."""
    return (
        len(name) <= MAX_MODEL_ID
        and _MODEL_ID.fullmatch(name) is not None
        and _EMPTY_PARTS.isdisjoint(name.split("/"))
    )


def is_upstream_name(name: str) -> bool:
    """Tell whether a server with many models may have this name."""
    return len(name) <= MAX_UPSTREAM_NAME and _UPSTREAM_NAME.fullmatch(name) is not None
