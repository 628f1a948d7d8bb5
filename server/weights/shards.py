"""Models in several files, as llama.cpp's gguf-split names them: `NAME-00001-of-00003.gguf`."""

import re
from dataclasses import dataclass
from typing import Final

# Five digits, and nobody splits a model into more.
_MOST: Final = 1000
_SHARD: Final = re.compile(
    r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})(?P<end>\.gguf)", re.IGNORECASE
)


@dataclass(frozen=True)
class Shard:
    """One of the files that a model is in: which of how many, and what all are called."""

    stem: str
    number: int
    count: int
    end: str

    def names(self) -> list[str]:
        """Return the names of all of them, in their order."""
        return [
            f"{self.stem}-{number:05}-of-{self.count:05}{self.end}"
            for number in range(1, self.count + 1)
        ]


def shard_of(name: str) -> Shard | None:
    """Return which shard a file's name says it is, None if it is a model of its own."""
    match = _SHARD.fullmatch(name)
    if match is None or not 0 < int(match["number"]) <= int(match["count"]) <= _MOST:
        return None
    return Shard(match["stem"], int(match["number"]), int(match["count"]), match["end"])


def parts_of(name: str) -> list[str]:
    """Return the files that a model is in which one of them names, in their order."""
    shard = shard_of(name)
    return [name] if shard is None else shard.names()
