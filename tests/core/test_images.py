"""Headers of pictures: real ones, ones that lie, and any bytes at all."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.core.images import MAX_STEPS, BrokenImage, Image, read_image
from tests.support.pictures import (
    BOMB,
    REAL,
    anmf,
    gif,
    png,
    png_chunk,
    shown,
    vp8,
    vp8l,
    vp8x,
    webp,
)

BEGINNINGS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF89a",
    b"RIFF\xff\0\0\0WEBP",
)
WHOLE = (*REAL.values(), png(), gif(), gif(frames=2), webp(vp8(9, 7)), webp(vp8l(9, 7)))


@pytest.mark.parametrize("name", REAL)
def test_pictures_of_a_real_encoder(name: str) -> None:
    form = name.partition("_")[0]
    assert read_image(REAL[name]) == Image(f"image/{form}", 23, 17)


@pytest.mark.parametrize(
    ("data", "width", "height"),
    [
        (png(3, 5), 3, 5),
        (BOMB, 40_000, 40_000),
        (gif(3, 5), 3, 5),
        # The first frame is larger than the canvas, which decoders make larger then.
        (gif(3, 5, frame=(60_000, 50_000)), 60_000, 50_000),
        (gif(3, 5, frames=3), 3, 5),
        (webp(vp8(9, 7)), 9, 7),
        (webp(vp8l(16_384, 7)), 16_384, 7),
        (webp(vp8x(70_000, 7), vp8(9, 7)), 70_000, 7),
        (webp(vp8x(9, 7), vp8(9, 8_000)), 9, 8_000),
        (webp(vp8x(9, 7), (b"ALPH", b"123"), vp8(9, 7)), 9, 7),
        (webp(vp8x(9, 7), anmf(20_000, 300, vp8l(9, 7))), 20_000, 300),
        # A thumbnail in an earlier segment, and bytes that fill up before a marker.
        (
            b"\xff\xd8\xff\xe1\0\x06\xff\xd9\xff\xd8"
            b"\xff\xff\xc2\0\x0b\x08\0\x07\0\x09\x01\1\1\0"
            b"\xff\xda\0\x08\1\1\0\0\0\0\x11\x22\xff\xd9",
            9,
            7,
        ),
    ],
    ids=shown,
)
def test_the_largest_size_that_is_said(data: bytes, width: int, height: int) -> None:
    found = read_image(data)
    assert found is not None
    assert (found.width, found.height) == (width, height)


@pytest.mark.parametrize("data", WHOLE, ids=shown)
def test_cut_anywhere_it_is_no_picture(data: bytes) -> None:
    # Of a GIF what follows the first frame may be missing.
    least = len(gif()) - 1 if data.startswith(b"GIF") else len(data)
    for length in range(max(map(len, BEGINNINGS)), least):
        with pytest.raises(BrokenImage):
            read_image(data[:length])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(0, 5), "has no size"),
        (png()[:-30], "breaks off"),
        (png().replace(b"IHDR", b"IHDr"), "does not begin with its header"),
        (png().replace(struct.pack(">II", 2, 2), struct.pack(">II", 3, 2)), "damaged header"),
        (png()[:33] + png_chunk(b"IEND", b""), "has no pixels"),
        (png()[:33] + png_chunk(b"tEXt", b"") * (MAX_STEPS + 1), "too many parts"),
        (png()[:33] + b"\xff\xff\xff\xffIDAT", "breaks off"),
        (b"\xff\xd8\xff\xd9", "has no pixels"),
        (b"\xff\xd8\xff\xe0\0\x01", "is damaged"),
        (b"\xff\xd8\xff\xe0\0\x02hello", "is damaged"),
        (b"\xff\xd8" + b"\xff\x01" * (MAX_STEPS + 1), "too many parts"),
        (gif()[:19] + b"\x3b", "has no frame"),
        (gif()[:19] + b"hello", "is damaged"),
        (gif()[:19] + b"\x21\xfe" + b"\x01a" * (MAX_STEPS + 2), "too many parts"),
        (gif()[:19] + b"\x21\xfe\0" * (MAX_STEPS + 2), "too many parts"),
        (webp(vp8x(9, 7)), "has no pixels"),
        (webp(), "has no pixels"),
        (webp((b"VP8 ", b"0123456789")), "is damaged"),
        (webp((b"VP8L", b"0123456789")), "is damaged"),
        (webp(*[(b"none", b"")] * (MAX_STEPS + 1)), "too many parts"),
        (webp(vp8(9, 7))[:-4], "breaks off"),
        (webp(vp8(0, 7)), "has no size"),
    ],
    ids=shown,
)
def test_broken_images_are_refused_with_the_reason(data: bytes, words: str) -> None:
    with pytest.raises(BrokenImage, match=words):
        read_image(data)


@pytest.mark.parametrize(
    "data", [b"", b"GIF", b"hello", b"RIFF\0\0\0\0WAVE", b"<svg>", b"%PDF-1.7"]
)
def test_bytes_that_do_not_begin_like_an_image_are_none(data: bytes) -> None:
    assert read_image(data) is None


def held(read: Callable[[bytes], Image | None], data: bytes) -> None:
    """Read what may be anything: an image with a size, None, or one kind of error."""
    try:
        found = read(data)
    except BrokenImage:
        return
    assert found is None or (found.width > 0 and found.height > 0)


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=300))
@example(b"GIF89a", b"\0" * 7 + b"\x2c")
def test_any_bytes_behind_a_beginning(beginning: bytes, rest: bytes) -> None:
    held(read_image, beginning + rest)


@given(st.sampled_from(WHOLE), st.data())
def test_a_picture_with_some_bytes_changed(picture: bytes, data: st.DataObject) -> None:
    changed = bytearray(picture)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    held(read_image, bytes(changed))
