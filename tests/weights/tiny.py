"""Make a small GGUF file that is whole but holds no model, and a wheel around it."""

import base64
import hashlib
import io
import struct
import zipfile
from typing import Any

TINY_METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.context_length": 128,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["<end>", "a", "\u0120b"],
    "tokenizer.ggml.token_type": [3, 1, 1],
    "tokenizer.ggml.eos_token_id": 0,
}


def gguf_bytes(metadata: dict[str, Any] | None = None, *, tensor_bytes: int = 64) -> bytes:
    """Return a GGUF file with that metadata and one tensor of 32-bit floats."""
    pairs = TINY_METADATA if metadata is None else metadata
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs))
    head += b"".join(_string(key) + _value(value) for key, value in pairs.items())
    head += _string("token_embd.weight") + struct.pack("<IQIQ", 1, tensor_bytes // 4, 0, 0)
    return head + b"\0" * (-len(head) % 32) + b"\0" * tensor_bytes


def wheel_bytes(name: str, version: str, files: dict[str, bytes]) -> bytes:
    """Return an installable wheel with those files in its package."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    entries = {f"{module}/{path}": content for path, content in files.items()}
    entries[f"{info}/METADATA"] = metadata_text(name, version).encode()
    entries[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{path},{_record(data)},{len(data)}\n" for path, data in entries.items())
    entries[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, data in entries.items():
            archive.writestr(path, data)
    return buffer.getvalue()


def metadata_text(name: str, version: str) -> str:
    """Return a wheel's METADATA."""
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: not-wanted\n"


def _record(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}"


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))
    return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
