"""Read what a GGUF file says about itself, before llama.cpp gets it.

Strategy: the file is mapped and walked once, front to back: header, key-values, tensor
directory. Arrays, the vocabulary among them, are stepped over. The tensors are not read.

Rules:

1. Nothing in the file is trusted. Every read checks that the bytes are there, so that a
   cut or garbled file ends in `NotGGUF` and neither in a hang nor in a large allocation.
2. A tensor that begins behind the end of the file means the file is cut short. A file
   that is cut inside its last tensor is left to llama.cpp, which knows the sizes.

The format is described in ggml's `docs/gguf.md`.
"""

import contextlib
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.weights.errors import NotGGUF

_MAGIC = b"GGUF"
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_MOST_DIMENSIONS = 4
_ALIGNMENT = 32  # unless the file says otherwise
_NO_CONTEXT = 1 << 40  # a file may say anything


@dataclass(frozen=True)
class ModelFile:
    """What the engine needs to know of a GGUF file."""

    path: Path
    metadata: dict[str, Any]

    @property
    def trained_context_tokens(self) -> int | None:
        """Return how many tokens the model was trained to hold."""
        return trained_context(self.metadata)


def trained_context(metadata: Mapping[str, Any] | None) -> int | None:
    """Return how many tokens a model was trained to hold, None where its file does not say it."""
    known = metadata or {}
    length = known.get(f"{known.get('general.architecture')}.context_length")
    return length if isinstance(length, int) and 0 < length < _NO_CONTEXT else None


def read_model_file(path: Path) -> ModelFile:
    """Read a GGUF file's metadata.

    Raises `NotGGUF` with a cause for people, or OSError when the file cannot be opened.
    """
    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            raise NotGGUF(f"{path} is not a GGUF file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return ModelFile(path, _Reader(data).read())
            except (struct.error, IndexError, OverflowError, UnicodeDecodeError):
                raise NotGGUF(f"{path} is damaged or cut short ({len(data)} bytes)") from None


def read_beginning(data: bytes) -> dict[str, Any]:
    """Return the metadata that stands whole in the beginning of a GGUF file.

    Arrays of numbers are among it, those of texts are not. Raises `NotGGUF`.
    """
    if data[: len(_MAGIC)] != _MAGIC:
        raise NotGGUF("this is not a GGUF file")
    metadata: dict[str, Any] = {}
    with contextlib.suppress(struct.error, IndexError, OverflowError, UnicodeDecodeError):
        _Reader(data).read_pairs(metadata, wanted=True)
    return metadata


class _Reader:
    def __init__(self, data: mmap.mmap | bytes) -> None:
        self._data = data
        self._at = len(_MAGIC)

    def read_pairs(self, metadata: dict[str, Any], *, wanted: bool) -> int:
        """Put into `metadata` what there is, arrays of numbers if `wanted`, until the data ends.

        Return the number of tensors.
        """
        tensors, pairs = self._counts()
        for _ in range(pairs):
            key = self._bytes().decode()
            metadata[key] = self._value(self._scalar("I"), wanted=wanted)
        return tensors

    def read(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {}
        tensors = self.read_pairs(metadata, wanted=False)
        last_offset = 0
        for _ in range(tensors):
            self._bytes()
            dimensions = self._scalar("I")
            if dimensions > _MOST_DIMENSIONS:
                raise IndexError(dimensions)
            self._skip(8 * dimensions + 4)
            last_offset = max(last_offset, self._scalar("Q"))
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0:
            raise IndexError(alignment)
        start_of_tensors = self._at + -self._at % alignment
        if tensors and start_of_tensors + last_offset >= len(self._data):
            raise IndexError(last_offset)
        return metadata

    def _counts(self) -> tuple[int, int]:
        version = self._scalar("I")
        if version not in (2, 3):
            raise NotGGUF(f"GGUF version {version} is not supported")
        return self._scalar("Q"), self._scalar("Q")

    def _value(self, kind: int, *, wanted: bool) -> Any:
        if kind == _STRING:
            return self._bytes().decode(errors="replace")
        if kind == _ARRAY:
            return self._array(self._scalar("I"), self._scalar("Q"), wanted=wanted)
        if kind not in _SCALARS:
            raise IndexError(kind)
        return self._scalar(_SCALARS[kind])

    def _array(self, kind: int, count: int, *, wanted: bool) -> Any:
        if kind in _SCALARS:
            size = struct.calcsize("<" + _SCALARS[kind])
            start = self._at
            self._skip(size * count)
            return (
                struct.unpack_from(f"<{count}{_SCALARS[kind]}", self._data, start)
                if wanted
                else None
            )
        if kind == _STRING:
            self._step_over(count)
            return None
        raise IndexError(kind)

    def _step_over(self, texts: int) -> None:
        """Step over a vocabulary: a hundred thousand texts and more, at each start."""
        length_at, data, at = struct.Struct("<Q").unpack_from, self._data, self._at
        for _ in range(texts):
            at += 8 + length_at(data, at)[0]
        self._skip(at - self._at)

    def _scalar(self, form: str) -> Any:
        (value,) = struct.unpack_from("<" + form, self._data, self._at)
        self._at += struct.calcsize("<" + form)
        return value

    def _bytes(self) -> bytes:
        start = self._at + 8
        self._skip(8 + self._length())
        return self._data[start : self._at]

    def _length(self) -> int:
        (length,) = struct.unpack_from("<Q", self._data, self._at)
        return int(length)

    def _skip(self, size_bytes: int) -> None:
        if self._at + size_bytes > len(self._data):
            raise IndexError(size_bytes)
        self._at += size_bytes
