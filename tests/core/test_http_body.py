"""Bodies of HTTP answers: whatever way the bytes are cut, the same body comes out."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.core.http_body import (
    MAX_LINE_BYTES,
    ChunkedBody,
    FramingError,
    OpenBody,
    SizedBody,
    body_for,
    lone_chunk,
)

# Each input with the body it holds.
EXAMPLES: dict[str, tuple[bytes, bytes]] = {
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "several chunks": (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
    "capital and leading zeros": (b"00A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "a chunk that looks like framing": (b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
    "extensions": (b"2;name=value\r\nab\r\n0;last\r\n\r\n", b"ab"),
    "trailers": (b"2\r\nab\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n", b"ab"),
    "nothing": (b"0\r\n\r\n", b""),
    "what follows is not the body's": (b"1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", b"a"),
}
BROKEN: dict[str, bytes] = {
    "no number": b"hello\r\nhello\r\n",
    "a negative number": b"-1\r\na\r\n",
    "no length at all": b"\r\na\r\n",
    "longer than its length": b"2\r\nabc\r\n0\r\n\r\n",
    "a length without end": b"1" * (MAX_LINE_BYTES + 2),
}
whole = pytest.mark.parametrize(("data", "body"), EXAMPLES.values(), ids=list(EXAMPLES))
broken = pytest.mark.parametrize("data", BROKEN.values(), ids=list(BROKEN))


def read(parts: Iterator[bytes]) -> bytes:
    """Feed the parts one after the other; the body must be complete then."""
    body = ChunkedBody()
    text = b"".join([body.feed(part) for part in parts])
    assert body.is_complete
    return text


def one_by_one(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


@whole
def test_whole(data: bytes, body: bytes) -> None:
    assert read(iter([data])) == body


@whole
def test_byte_by_byte(data: bytes, body: bytes) -> None:
    assert read(one_by_one(data)) == body


@whole
def test_cut_at_every_pair_of_places(data: bytes, body: bytes) -> None:
    for first, second in itertools.combinations(range(len(data) + 1), 2):
        assert read(iter([data[:first], data[first:second], data[second:]])) == body


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_any_chunks_cut_anyhow(chunks: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    places = [0, *cuts, len(stream)]
    assert read(stream[a:b] for a, b in itertools.pairwise(places)) == b"".join(chunks)


def test_a_chunk_is_given_out_before_it_is_whole() -> None:
    body = ChunkedBody()
    assert body.feed(b"a\r\nhello") == b"hello"
    assert body.feed(b"world\r\n") == b"world"
    assert not body.is_complete


@broken
def test_broken_framing_is_an_error(data: bytes) -> None:
    with pytest.raises(FramingError):
        ChunkedBody().feed(data)


@broken
def test_broken_framing_is_an_error_byte_by_byte(data: bytes) -> None:
    with pytest.raises(FramingError):
        read(one_by_one(data))


def test_a_body_of_known_length_ends_there() -> None:
    body = SizedBody(5)
    assert (body.feed(b"hel"), body.is_complete) == (b"hel", False)
    assert (body.feed(b"lo, and more"), body.is_complete) == (b"lo", True)
    assert SizedBody(0).is_complete


def test_a_body_without_length_goes_on() -> None:
    body = OpenBody()
    assert body.feed(b"hello") == b"hello"
    assert not body.is_complete
    assert body.ends_with_connection


def test_the_head_says_how_the_body_is_read() -> None:
    assert isinstance(body_for({"transfer-encoding": "Chunked"}), ChunkedBody)
    both = {"transfer-encoding": "chunked", "content-length": "3"}
    assert isinstance(body_for(both), ChunkedBody)
    assert isinstance(body_for({"content-length": "3"}), SizedBody)
    assert isinstance(body_for({}), OpenBody)


@pytest.mark.parametrize("length", ["", "-1", "1.5", "1_0", "three", "²"])
def test_a_length_that_is_none_is_an_error(length: str) -> None:
    with pytest.raises(FramingError):
        body_for({"content-length": length})


@given(st.text("05a;x+_ \r\n", max_size=14).map(str.encode))
@example(b"5\r\nabcde\r\n")
@example(b"5\r\nabcdefg")
@example(b"3\r\nabc\r\n3\r\nabc\r\n")
@example(b"0\r\n\r\n")
def test_lone_chunk_agrees_with_the_parser(data: bytes) -> None:
    content = lone_chunk(data)
    if content is not None:
        body = ChunkedBody()
        assert body.feed(data) == content
        assert body.is_between_chunks


def test_a_lone_chunk_is_recognised() -> None:
    assert lone_chunk(b"5\r\nabcde\r\n") == b"abcde"
    assert lone_chunk(b"5\r\nabcde\r\n5") is None
    assert lone_chunk(b"0\r\n\r\n") is None


@pytest.mark.parametrize("size", ["0_3", "0x3", "+3", "-3", "3_0", " 3", "\u0663", ""])
def test_a_size_is_hexadecimal_digits_only(size: str) -> None:
    """What Python's `int` takes beside digits is no framing of HTTP: proxies read it otherwise."""
    data = f"{size}\r\nabc\r\n".encode()
    assert lone_chunk(data) is None
    if not size.startswith(" "):  # blanks around a size are taken away
        with pytest.raises(FramingError):
            ChunkedBody().feed(data)


def test_a_size_may_be_written_in_either_case() -> None:
    for size in (b"0A", b"a", b"00a"):
        assert lone_chunk(size + b"\r\n0123456789\r\n") == b"0123456789"


def test_a_body_knows_when_it_is_between_chunks() -> None:
    body = ChunkedBody()
    parts = (
        (b"5\r\nab", False),
        (b"cde", False),
        (b"\r\n", True),
        (b"1", False),
        (b"\r\nx\r\n", True),
    )
    for part, is_between in (*parts, (b"0\r\n", False)):
        body.feed(part)
        assert body.is_between_chunks is is_between


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (SizedBody(2), b"ab"),
        (SizedBody(0), b""),
        (ChunkedBody(), b"2\r\nab\r\n0\r\n\r\n"),
    ],
    ids=["a length", "no length", "chunks"],
)
def test_bytes_after_a_body_set_has_surplus(body: SizedBody | ChunkedBody, data: bytes) -> None:
    body.feed(data)
    assert (body.is_complete, body.has_surplus) == (True, False)
    assert body.feed(b"more" * MAX_LINE_BYTES) == b""
    assert (body.is_complete, body.has_surplus) == (True, True)


def test_bytes_behind_the_end_of_a_body_in_one_feed_set_has_surplus() -> None:
    sized, chunked = SizedBody(2), ChunkedBody()
    assert sized.feed(b"abc") == b"ab"
    assert chunked.feed(b"2\r\nab\r\n0\r\n\r\nc") == b"ab"
    assert sized.has_surplus
    assert chunked.has_surplus


@pytest.mark.parametrize("headers", [{"content-length": "3, 4"}, {"transfer-encoding": "gzip"}])
def test_a_framing_that_says_two_things_is_none(headers: dict[str, str]) -> None:
    with pytest.raises(FramingError):
        body_for(headers)


def test_a_length_may_stand_twice() -> None:
    assert body_for({"content-length": "3, 3"}).feed(b"abcd") == b"abc"
