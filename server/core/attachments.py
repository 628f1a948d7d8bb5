"""Attachments: what one is, and the check of its bytes before it is taken.

Rules:

1. Content decides what a file is; the name is only shown, and the sender's content type not read.
2. A picture is PNG, JPEG, GIF or WebP, complete, and of bounded size; nothing is decoded.
3. Everything else is a text file, if it is UTF-8 without NUL. Documents that a browser would run,
   SVG and HTML, are refused: served by this gateway they would be its own.
"""

import codecs
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from server.core.errors import AttachmentTooLarge, InvalidAttachment, UnsupportedAttachment
from server.core.images import BrokenImage, read_image
from server.core.protocol import MAX_NAME_CHARS, Digest

TEXT: Final = "text/plain"

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

_FORMS: Final = "PNG, JPEG, GIF, WebP and text files are taken"
# Binary files that people try, by their first bytes; for words only.
_OTHERS: Final = (
    (re.compile(rb"%PDF-"), "a PDF", "give its text, or its pages as pictures"),
    (re.compile(rb"....ftyp(heic|heix|mif1|msf1)", re.DOTALL), "a HEIC picture", ""),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "an AVIF picture", ""),
    (re.compile(rb"....ftyp", re.DOTALL), "a video", "give single frames as pictures"),
    (re.compile(rb"BM.{12}[\x0c\x28\x6c\x7c]\0\0\0", re.DOTALL), "a BMP picture", ""),
    (re.compile(rb"II\*\0|MM\0\*"), "a TIFF picture", ""),
    (re.compile(rb"PK\x03\x04"), "an archive or an office document", "give its text"),
)
_CONVERT: Final = "save it as PNG or JPEG"
# What may stand before a document's own element, each with its end.
_ASIDES: Final = (("<?", "?>"), ("<!--", "-->"))
_SVG: Final = re.compile(r"<!doctype\s+svg|<svg[\s>/]", re.IGNORECASE)
_HTML: Final = re.compile(r"<!doctype\s+html|<(?:html|head|body|script)[\s>]", re.IGNORECASE)
_SPACE: Final = re.compile(r"\s*")
# Of any other kind of document: what its own element is, is told by the element.
_DOCTYPE: Final = re.compile(
    r"<!doctype\s(?!\s*(?:svg|html)\b)[^>\[]*(?:\[[^]]*\]\s*)?>", re.IGNORECASE
)


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture or a text file; `id` is the SHA-256 of its bytes, width and height are pixels."""

    id: Digest
    media_type: Annotated[str, msgspec.Meta(max_length=100)]
    kind: Literal["image", "text"]
    bytes: Count
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
    width: Count | None = None
    height: Count | None = None


@dataclass(frozen=True)
class AttachmentLimits:
    """How large an attachment may be, and how many one owner and one prompt may have."""

    bytes: int
    pixels: int
    text_bytes: int
    prompt_bytes: int
    owner_bytes: int
    owner_files: int
    unused_seconds: float


def examine(data: bytes, name: str, limits: AttachmentLimits) -> Attachment:
    """Return what the bytes are; raises `InvalidAttachment` or one of its kinds.

    It takes a while for large ones: call it in a thread.
    """
    if not data:
        raise InvalidAttachment("the file is empty")
    if len(data) > limits.bytes:
        raise AttachmentTooLarge(
            f"the file has {len(data):,} bytes; {limits.bytes:,} are taken",
            hint="raise `max_file_size` in [attachments]",
        )
    digest = hashlib.sha256(data).hexdigest()
    try:
        image = read_image(data)
    except BrokenImage as broken:
        raise InvalidAttachment(str(broken)) from None
    if image is None:
        _check_text(data, limits)
        return Attachment(digest, TEXT, "text", len(data), tidy_name(name) or "file.txt")
    if image.width * image.height > limits.pixels:
        raise AttachmentTooLarge(
            f"the picture has {image.width:,} x {image.height:,} pixels; "
            f"{limits.pixels:,} in all are taken",
            hint="make it smaller, or raise `max_pixels` in [attachments]",
        )
    ending = image.media_type.removeprefix("image/")
    return Attachment(
        digest,
        image.media_type,
        "image",
        len(data),
        tidy_name(name) or f"picture.{ending}",
        image.width,
        image.height,
    )


def text_of_file(data: bytes) -> str:
    """Return the text of a file that was examined, without its byte order mark."""
    return data.removeprefix(codecs.BOM_UTF8).decode()


def tidy_name(name: str) -> str:
    """Return the last part of a path without characters that are not shown, and not too long."""
    name = re.split(r"[/\\]", name)[-1]
    # Among them the marks that turn the direction of writing: `gpj.exe` would be `exe.jpg`.
    shown = (letter for letter in name if unicodedata.category(letter)[0] != "C")
    return "".join(shown).strip()[:MAX_NAME_CHARS]


def _check_text(data: bytes, limits: AttachmentLimits) -> None:
    for pattern, what, hint in _OTHERS:
        if pattern.match(data):
            raise UnsupportedAttachment(f"{what} is not taken: {_FORMS}", hint=hint or _CONVERT)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnsupportedAttachment(
            "the file is text in UTF-16; text files have to be UTF-8", hint="save it as UTF-8"
        )
    if len(data) > limits.text_bytes:
        raise AttachmentTooLarge(
            f"the file is no picture, and has {len(data):,} bytes; "
            f"of text {limits.text_bytes:,} are taken",
            hint="raise `max_text_size` in [attachments]",
        )
    try:
        text = text_of_file(data)
    except UnicodeDecodeError as error:
        raise UnsupportedAttachment(
            f"the file is neither a picture nor text in UTF-8 (byte {error.start}): {_FORMS}"
        ) from None
    if "\0" in text:
        raise UnsupportedAttachment(f"the file is neither a picture nor text: {_FORMS}")
    if not text.strip():
        raise InvalidAttachment("the file is empty")
    start = _start_of(text)
    if _SVG.match(text, start):
        raise UnsupportedAttachment(f"an SVG picture is not taken: {_FORMS}", hint=_CONVERT)
    if _HTML.match(text, start):
        raise UnsupportedAttachment(
            f"an HTML document is not taken: {_FORMS}", hint="put its text into the prompt"
        )


def _start_of(text: str) -> int:
    """Return where a document's own element would begin, behind declarations and comments."""
    at = 0
    while True:
        if blank := _SPACE.match(text, at):
            at = blank.end()
        if doctype := _DOCTYPE.match(text, at):
            at = doctype.end()
            continue
        closing = next((end for begin, end in _ASIDES if text.startswith(begin, at)), None)
        if closing is None:
            return at
        end = text.find(closing, at)
        if end < 0:
            return at
        at = end + len(closing)
