"""Small pictures: of real encoders, and made here to be wrong in one way."""

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Final

_RECORDED: Final = Path(__file__).parents[1] / "recordings/pictures.json"

REAL: Final = {
    name: base64.b64decode(text) for name, text in json.loads(_RECORDED.read_text()).items()
}
"""Pictures of 23 by 17 pixels, as Chromium writes them."""


def png(width: int = 2, height: int = 2, *, pixels: bytes | None = None) -> bytes:
    """Return a PNG whose header says so; its pixels are grey, and too few if it is large."""
    rows = b"\0" * min((width + 1) * height, 4096) if pixels is None else pixels
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in parts)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return one part of a PNG."""
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


def gif(
    width: int = 2, height: int = 2, *, frames: int = 1, frame: tuple[int, int] = (2, 2)
) -> bytes:
    """Return a GIF with two colours; each frame has a comment before it."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    comment = b"\x21\xfe\x02hi\0"
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x03\x44\x02\x05\0"
    return head + (comment + picture) * frames + b"\x3b"


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP of these parts."""
    body = b"WEBP" + b"".join(
        struct.pack("<4sI", kind, len(data)) + data + b"\0" * (len(data) % 2)
        for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8(width: int, height: int) -> tuple[bytes, bytes]:
    """Return the part of a WebP that is a lossy picture."""
    return b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + b"\0" * 8


def vp8l(width: int, height: int) -> tuple[bytes, bytes]:
    """Return the part of a WebP that is a lossless picture."""
    return b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 4


def vp8x(width: int, height: int) -> tuple[bytes, bytes]:
    """Return the part of a WebP that says the size of all that follows."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", b"\0\0\0\0" + size


def anmf(width: int, height: int, picture: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return the part of a WebP that is a frame."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    kind, data = picture
    inner = struct.pack("<4sI", kind, len(data)) + data
    return b"ANMF", b"\0" * 6 + size + b"\0" * 4 + inner


BOMB: Final = png(40_000, 40_000)
"""A few hundred bytes that say they are 1.6 thousand million pixels."""
SVG: Final = b"""<?xml version="1.0"?><!-- a picture -->
<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"""


def shown(value: object) -> str:
    """Return a short name of a test's value, which may be megabytes."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
