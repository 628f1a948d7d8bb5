"""Read what a GGUF file says about itself, before llama.cpp gets it.

Strategy: the file is mapped and walked once, front to back: header, key-values, tensor
directory. Arrays that nobody asks for are stepped over. The tensors are not read.

Rules:

1. Nothing in the file is trusted. Every read checks that the bytes are there, so that a
   cut or garbled file ends in `NotGGUF` and neither in a hang nor in a large allocation.
2. A tensor that begins behind the end of the file means the file is cut short. A file
   that is cut inside its last tensor is left to llama.cpp, which knows the sizes.

The format is described in ggml's `docs/gguf.md`.
"""

import mmap
import re
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

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
_CONTROL_TOKEN = 3  # LLAMA_TOKEN_TYPE_CONTROL
_BYTE_TOKEN = re.compile(rb"<0x([0-9A-Fa-f]{2})>")
_WANTED_ARRAYS = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type")


class NotGGUF(ValueError):
    """The file is not a GGUF file, or is cut short."""


@dataclass(frozen=True)
class ModelFile:
    """What the engine needs to know of a GGUF file."""

    path: Path
    metadata: dict[str, Any]

    @property
    def chat_template(self) -> str | None:
        """Return the chat template the file brings, or None: llama.cpp would invent one."""
        template = self.metadata.get("tokenizer.chat_template")
        return template if isinstance(template, str) and template.strip() else None

    @property
    def trained_context_tokens(self) -> int | None:
        """Return how many tokens the model was trained to hold."""
        architecture = self.metadata.get("general.architecture")
        length = self.metadata.get(f"{architecture}.context_length")
        return length if isinstance(length, int) and length > 0 else None

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Return the ids of tokens that steer and are not text, such as end of sequence."""
        types = self.metadata.get("tokenizer.ggml.token_type") or ()
        return frozenset(index for index, kind in enumerate(types) if kind == _CONTROL_TOKEN)

    @property
    def eos_id(self) -> int:
        """Return the id of the token that ends a sequence (0 where the file names none)."""
        eos_id = self.metadata.get("tokenizer.ggml.eos_token_id")
        return eos_id if isinstance(eos_id, int) else 0

    @cached_property
    def bytes_by_id(self) -> dict[int, bytes]:
        """Return the vocabulary: each ordinary token's id, and the bytes it stands for."""
        tokens = self.metadata.get("tokenizer.ggml.tokens") or ()
        bytewise = self.metadata.get("tokenizer.ggml.model") == "gpt2"
        decode = _decode_bytewise if bytewise else _decode_sentencepiece
        return {
            index: decode(token)
            for index, token in enumerate(tokens)
            if index not in self.special_ids
        }

    @cached_property
    def ids_by_bytes(self) -> dict[bytes, int]:
        """Return the vocabulary the other way round."""
        return {token: index for index, token in self.bytes_by_id.items()}


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
            except (struct.error, IndexError, UnicodeDecodeError):
                raise NotGGUF(f"{path} is damaged or cut short ({len(data)} bytes)") from None


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = len(_MAGIC)

    def read(self) -> dict[str, Any]:
        version = self._scalar("I")
        if version not in (2, 3):
            raise NotGGUF(f"GGUF version {version} is not supported")
        tensors, pairs = self._scalar("Q"), self._scalar("Q")
        metadata: dict[str, Any] = {}
        for _ in range(pairs):
            key = self._bytes().decode()
            metadata[key] = self._value(self._scalar("I"), wanted=key in _WANTED_ARRAYS)
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
            strings = []
            for _ in range(count):
                string = self._bytes()
                if wanted:
                    strings.append(string)
            return strings
        raise IndexError(kind)

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


def _bytewise_alphabet() -> dict[str, int]:
    """Return GPT-2's alphabet: each byte as a printable character."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in alphabet.values())
    alphabet.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return alphabet


_ALPHABET = _bytewise_alphabet()


def _decode_bytewise(token: bytes) -> bytes:
    text = token.decode(errors="replace")
    if all(character in _ALPHABET for character in text):
        return bytes(_ALPHABET[character] for character in text)
    return token


def _decode_sentencepiece(token: bytes) -> bytes:
    if byte := _BYTE_TOKEN.fullmatch(token):
        return bytes.fromhex(byte[1].decode())
    return token.replace("▁".encode(), b" ")
