"""Read or write a large prompt set in a process of its own, beside the gateway's loop."""

import codecs
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from server.core.errors import InvalidPromptSet
from server.evaluation.files.building import Common, PromptLimits
from server.evaluation.files.decoding import ENCODINGS
from server.runs.set_reading import (
    ExportForm,
    FileForm,
    GivenForm,
    exported,
    in_pieces,
    look_at,
    read_given,
    whole_of,
)
from server.runs.shapes import SetSummary
from server.runs.single_use import answer, step_back
from server.workers.fences import close_doors, limit_time, read_frame

# Of processor time: the largest set takes a tenth of it.
_SECONDS: Final = 60.0


class Take(msgspec.Struct, frozen=True, tag="take"):
    """Read what is given: first comes what it is, then what is stored of it."""

    form: GivenForm
    common: Common
    limits: PromptLimits


class Look(msgspec.Struct, frozen=True, tag="look"):
    """Read a file, and tell what it has in it."""

    form: FileForm
    common: Common
    limits: PromptLimits


class Show(msgspec.Struct, frozen=True, tag="show"):
    """Give out what is stored: as JSON with a summary, or as a file.

    As JSON it has `count` of its prompts, all if that is None.
    """

    form: Literal["json"] | ExportForm
    summary: SetSummary
    version: str
    count: int | None = None


SetRequest = Take | Look | Show


def main() -> None:
    """Answer one request: a frame that says what to do, and one with what it is done to."""
    step_back()
    for encoding in ENCODINGS:
        codecs.lookup(encoding)  # which imports it
    close_doors()
    limit_time(_SECONDS)
    asked, data = read_frame(), read_frame()
    if asked is None or data is None:
        return
    request: SetRequest = msgspec.json.decode(asked, type=SetRequest)
    answer(lambda: pieces(request, data))


def pieces(request: SetRequest, data: bytes) -> Iterator[bytes]:
    """Yield the answer to a request; raises `InvalidPromptSet` or `InvalidCommand`."""
    if isinstance(request, Show):
        if request.form == "json":
            whole = whole_of(data.decode(), request.summary, request.version, request.count)
            yield from in_pieces(msgspec.json.encode(whole))
        else:
            yield from in_pieces(exported(data.decode(), request.form, request.summary.name))
        return
    try:
        if isinstance(request, Look):
            yield msgspec.json.encode(look_at(data, request.form, request.common, request.limits))
            return
        read, body = read_given(data, request.form, request.common, request.limits)
    except MemoryError:
        raise InvalidPromptSet("reading the prompts takes too much memory") from None
    yield msgspec.json.encode(read)
    yield from in_pieces(body)
