"""What is taken as an attachment, and in which words the rest is refused."""

import hashlib
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.attachments import AttachmentLimits, examine, text_of_file, tidy_name
from server.core.errors import InvalidAttachment
from tests.support.pictures import BOMB, REAL, SVG, png, shown

LIMITS = AttachmentLimits(
    bytes=1_000_000,
    pixels=1_000_000,
    text_bytes=10_000,
    prompt_bytes=1_000_000,
    owner_bytes=1_000_000,
    owner_files=10,
    unused_seconds=60.0,
)


def test_a_picture_is_what_its_bytes_are() -> None:
    found = examine(REAL["jpeg"], "../etc/holiday.exe", LIMITS)
    assert found.id == hashlib.sha256(REAL["jpeg"]).hexdigest()
    assert (found.media_type, found.kind, found.name) == ("image/jpeg", "image", "holiday.exe")
    assert (found.width, found.height, found.bytes) == (23, 17, len(REAL["jpeg"]))


@pytest.mark.parametrize(
    "data",
    [b"hello", "\ufeffBlåbær\r\n".encode(), b"a < b && <svg", b"#!/bin/sh\n", b"GIF", b"\x1b[0m"],
)
def test_text_is_text(data: bytes) -> None:
    found = examine(data, "notes.png", LIMITS)
    assert (found.media_type, found.kind, found.name) == ("text/plain", "text", "notes.png")
    assert found.width is None
    assert text_of_file(data) == data.decode().removeprefix("\ufeff")


@pytest.mark.parametrize(
    ("data", "code", "status", "words"),
    [
        (b"", "invalid_attachment", 422, "is empty"),
        (b"\xef\xbb\xbf  \n", "invalid_attachment", 422, "is empty"),
        (BOMB, "too_large", 413, "40,000 x 40,000 pixels"),
        (png(1_001, 1_000), "too_large", 413, "1,000,000 in all are taken"),
        (REAL["png"][:-9], "invalid_attachment", 422, "the PNG picture breaks off"),
        (REAL["png"][:8] + b"not a picture at all", "invalid_attachment", 422, "PNG picture"),
        (SVG, "unsupported_attachment", 415, "an SVG picture"),
        (b"<!DOCTYPE svg PUBLIC '-'><svg/>", "unsupported_attachment", 415, "an SVG picture"),
        (
            b'<!DOCTYPE foo [<!ENTITY x "y">]>\n<svg onload="x">',
            "unsupported_attachment",
            415,
            "an SVG picture",
        ),
        (b"<!doctype foo><script>", "unsupported_attachment", 415, "HTML"),
        (b"\n<!-- <x> --><SVG\tonload='x'>", "unsupported_attachment", 415, "an SVG picture"),
        (b"<!doctype html><p>", "unsupported_attachment", 415, "an HTML document"),
        (b"\xef\xbb\xbf <html>", "unsupported_attachment", 415, "an HTML document"),
        (b"<script>alert(1)</script>", "unsupported_attachment", 415, "an HTML document"),
        (b"%PDF-1.7\n", "unsupported_attachment", 415, "a PDF"),
        (b"\0\0\0\x20ftypheic", "unsupported_attachment", 415, "a HEIC picture"),
        (b"\0\0\0\x20ftypavif", "unsupported_attachment", 415, "an AVIF picture"),
        (b"II*\0abcd", "unsupported_attachment", 415, "a TIFF picture"),
        (b"PK\x03\x04abcd", "unsupported_attachment", 415, "an archive"),
        (b"\xff\xfeh\0i\0", "unsupported_attachment", 415, "UTF-16"),
        (b"hi\xff", "unsupported_attachment", 415, "byte 2"),
        (b"hi\0", "unsupported_attachment", 415, "neither a picture nor text"),
        (b"x" * 10_001, "too_large", 413, "of text 10,000 are taken"),
        (b"x" * 1_000_001, "too_large", 413, "1,000,000 are taken"),
    ],
    ids=shown,
)
def test_the_rest_is_refused(data: bytes, code: str, status: int, words: str) -> None:
    with pytest.raises(InvalidAttachment) as raised:
        examine(data, "", LIMITS)
    assert (raised.value.code, raised.value.status) == (code, status)
    assert words in raised.value.message


def test_comments_without_end_take_no_time() -> None:
    many = b"<!---->" * 1_400 + b"x"
    assert examine(many, "", LIMITS).kind == "text"
    assert examine(b"<!--" * 2_000, "", replace(LIMITS, text_bytes=100_000)).kind == "text"


@pytest.mark.parametrize(
    ("name", "tidy"),
    [
        ("a/b\\c.txt", "c.txt"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("line\r\nSet-Cookie: x", "lineSet-Cookie: x"),
        ("  x  ", "x"),
        ("n" * 300, "n" * 200),
        ("/", ""),
    ],
)
def test_names_are_tidied(name: str, tidy: str) -> None:
    assert tidy_name(name) == tidy


@given(st.binary(max_size=400), st.text(max_size=300))
def test_any_file_of_any_name(data: bytes, name: str) -> None:
    with suppress(InvalidAttachment):
        found = examine(data, name, LIMITS)
        assert (found.bytes, bool(found.name)) == (len(data), True)
