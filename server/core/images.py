"""Read what a picture is from its bytes: the form, the size, and whether its end is there.

Nothing is decoded, so a small file that would be a huge picture costs nothing here: the caller
bounds width and height, which stand in the header.

Rules:

1. The form follows from the first bytes, never from a name or a content type.
2. Any bytes give an `Image`, None or `BrokenImage`; the number of steps is bounded by `MAX_STEPS`.
3. The size is the largest that any part says: of a GIF also the first frame's, of a WebP the
   canvas' and each frame's.
4. A picture is read to its end, an animated GIF to the end of its first frame, which is all that
   models are shown.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_STEPS: Final = 200_000
"""Chunks, segments or blocks of one file: a GIF frame of 50 MB has fewer."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
# Frame headers; the numbers left out are tables and an extension that nobody uses.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True)
class Image:
    """What a picture's header says; width and height in pixels."""

    media_type: str
    width: int
    height: int


class BrokenImage(ValueError):
    """The bytes begin as a picture, but are none; the message says what is wrong."""


def read_image(data: bytes) -> Image | None:
    """Return what the header says, None for what does not begin as a picture of a known form.

    Raises `BrokenImage`.
    """
    found = next((kind for kind in _KINDS if kind.begins(data)), None)
    if found is None:
        return None
    try:
        width, height = found.read(data)
    except (struct.error, IndexError):
        raise BrokenImage(f"the {found.name} picture breaks off") from None
    except BrokenImage as broken:
        raise BrokenImage(f"the {found.name} picture {broken}") from None
    if not width or not height:
        raise BrokenImage(f"the {found.name} picture has no size")
    return Image(f"image/{found.name.lower()}", width, height)


def _png(data: bytes) -> tuple[int, int]:
    at, has_data = len(_PNG), False
    length, kind = struct.unpack_from(">I4s", data, at)
    if kind != b"IHDR" or length != 13:
        raise BrokenImage("does not begin with its header")
    width, height = struct.unpack_from(">II", data, at + 8)
    (check,) = struct.unpack_from(">I", data, at + 21)
    if zlib.crc32(data[at + 4 : at + 21]) != check:
        raise BrokenImage("has a damaged header")
    for _ in range(MAX_STEPS):
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if at > len(data):
            raise BrokenImage("breaks off")
        has_data |= kind == b"IDAT"
        if kind == b"IEND":
            break
    else:
        raise BrokenImage("has too many parts")
    if not has_data:
        raise BrokenImage("has no pixels")
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    at, size = 2, (0, 0)
    for _ in range(MAX_STEPS):
        if data[at] != 0xFF:
            raise BrokenImage("is damaged")
        marker = data[at + 1]
        if marker == 0xFF:  # Bytes that fill up.
            at += 1
            continue
        if marker in _JPEG_ALONE:
            at += 2
            continue
        if marker == 0xD9:
            raise BrokenImage("has no pixels")
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = max(size[0], width), max(size[1], height)
        if length < 2:
            raise BrokenImage("is damaged")
        at += 2 + length
        if marker == 0xDA:
            break
    else:
        raise BrokenImage("has too many parts")
    if data.find(b"\xff\xd9", at) < 0:
        raise BrokenImage("breaks off")
    return size


def _gif(data: bytes) -> tuple[int, int]:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _colours(flags)
    steps = 0
    while True:
        block = data[at]
        if block == 0x2C:
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, at + 1)
            width, height = max(width, left + wide), max(height, top + high)
            at += 10 + _colours(flags) + 1
        elif block == 0x21:
            at += 2
        else:
            raise BrokenImage("has no frame" if block == 0x3B else "is damaged")
        while length := data[at]:
            at += 1 + length
            steps += 1
            if steps > MAX_STEPS:
                raise BrokenImage("has too many parts")
        at += 1
        if block == 0x2C:
            return width, height
        steps += 1
        if steps > MAX_STEPS:
            raise BrokenImage("has too many parts")


def _colours(flags: int) -> int:
    """Return the length of the table of colours that flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _webp(data: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 4)
    end = 8 + length
    if end > len(data):
        raise BrokenImage("breaks off")
    sizes = _webp_sizes(data, 12, end)
    if not any(has_pixels for _, _, has_pixels in sizes):
        raise BrokenImage("has no pixels")
    return max(width for width, _, _ in sizes), max(height for _, height, _ in sizes)


def _webp_sizes(data: bytes, at: int, end: int) -> list[tuple[int, int, bool]]:
    """Return the size that each part between two places says, and whether it has pixels."""
    sizes: list[tuple[int, int, bool]] = []
    for _ in range(MAX_STEPS):
        if at + 8 > end:
            return sizes
        kind, length = struct.unpack_from("<4sI", data, at)
        body = at + 8
        at = body + length + length % 2
        if body + length > end:
            raise BrokenImage("breaks off")
        if kind == b"VP8 ":
            if data[body + 3 : body + 6] != b"\x9d\x01\x2a":
                raise BrokenImage("is damaged")
            width, height = struct.unpack_from("<HH", data, body + 6)
            sizes.append((width & 0x3FFF, height & 0x3FFF, True))
        elif kind == b"VP8L":
            sign, bits = struct.unpack_from("<BI", data, body)
            if sign != 0x2F:
                raise BrokenImage("is damaged")
            sizes.append(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, True))
        elif kind in {b"VP8X", b"ANMF"}:
            # Both have two numbers of 24 bits, less one, behind other things.
            place = body + (4 if kind == b"VP8X" else 6)
            low, middle, high = struct.unpack_from("<HHH", data, place)
            width = low | (middle & 0xFF) << 16
            height = middle >> 8 | high << 8
            sizes.append((width + 1, height + 1, False))
            if kind == b"ANMF":
                # Its pixels are parts within it.
                at = body + 16
    raise BrokenImage("has too many parts")


@dataclass(frozen=True)
class _Kind:
    name: str
    begins: Callable[[bytes], bool]
    read: Callable[[bytes], tuple[int, int]]


_KINDS: Final = (
    _Kind("PNG", lambda data: data.startswith(_PNG), _png),
    _Kind("JPEG", lambda data: data.startswith(_JPEG), _jpeg),
    _Kind("GIF", lambda data: data.startswith((b"GIF87a", b"GIF89a")), _gif),
    _Kind("WebP", lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", _webp),
)
