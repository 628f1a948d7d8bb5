"""How a flavour says which parameters a server takes, and what it calls them."""

from collections.abc import Mapping
from typing import Final

COMMON: Final = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
)
"""What nearly everybody takes who speaks OpenAI's form."""


def names(*same: str, **other: str | tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Return a server's names for the protocol's: `same` are the protocol's own."""
    renamed = {name: (to,) if isinstance(to, str) else to for name, to in other.items()}
    return {name: (name,) for name in same} | renamed
