"""Which model is meant if the settings name none: the server's only one."""

from collections.abc import Iterable, Sequence
from typing import Final

from server.core.errors import EngineError
from server.dialects.base import ServedModel

# Enough to see what is there; a router lists thousands, and nobody keeps a name short.
_MAX_NAMES: Final = 12
_MAX_CHARACTERS: Final = 80


def only_model(models: Sequence[ServedModel], *, engine: str) -> str:
    """Return the name of the only model that writes text.

    Raises `EngineError` where there is none, and where there are several, with their names.
    """
    names = [model.name for model in models if model.kind == "text"]
    if len(names) == 1:
        return names[0]
    hint = "set `model_id` in the model's section"
    if not names:
        raise EngineError(f"{engine} lists no model that writes text", hint=hint)
    raise EngineError(f"{engine} has several models: {listed(names)}", hint=hint)


def listed(names: Iterable[str]) -> str:
    """Write names one after the other, the first of them where they are many."""
    several = list(names)
    more = len(several) - _MAX_NAMES
    shown = ", ".join(_shown(name) for name in several[:_MAX_NAMES])
    return shown + (f" and {more} more" if more > 0 else "")


def _shown(name: str) -> str:
    line = "".join(char if char.isprintable() else "\ufffd" for char in name[:_MAX_CHARACTERS])
    return line if len(name) <= _MAX_CHARACTERS else f"{line}…"
