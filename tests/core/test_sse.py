"""The SSE parser: whatever way the bytes are cut, the same events come out, or the same error."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.sse import EventTooLarge, ServerSentEvent, SSEParser, StreamError, lone_data

# Each input with the events it holds. What a model writes may contain U+2028, U+0085 and a lone
# CR, all of which other parsers take for the end of a line.
EXAMPLES: dict[str, tuple[bytes, list[ServerSentEvent]]] = {
    "one event": (b'data: {"a":1}\n\n', [ServerSentEvent('{"a":1}')]),
    "TGI before 2.1: no space": (b'data:{"a":1}\n\n', [ServerSentEvent('{"a":1}')]),
    "only the first space goes": (b"data:  x \n\n", [ServerSentEvent(" x ")]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [ServerSentEvent("a"), ServerSentEvent("b")]),
    "CRLF and LF mixed": (
        b"data: a\r\n\ndata: b\n\r\n",
        [ServerSentEvent("a"), ServerSentEvent("b")],
    ),
    "several data lines": (b"data: a\ndata:\ndata: b\n\n", [ServerSentEvent("a\n\nb")]),
    "keep-alive comments": (
        b":\n\n: ping\n\ndata: a\n: inside\ndata: b\n\n:\n\n",
        [ServerSentEvent("a\nb")],
    ),
    "a name": (
        b"event: error\ndata: x\n\ndata: y\n\n",
        [ServerSentEvent("x", "error"), ServerSentEvent("y")],
    ),
    "a name without data is no event": (b"event: a\n\ndata: x\n\n", [ServerSentEvent("x")]),
    "id, retry and the unknown": (
        b"id: 7\nretry: 5\nfoo: bar\ndata: x\n\n",
        [ServerSentEvent("x")],
    ),
    "a line without a colon is a field": (
        b"data\n\ndata\ndata\n\n",
        [ServerSentEvent(""), ServerSentEvent("\n")],
    ),
    "colons in the value": (b"data: a:b: c\n\n", [ServerSentEvent("a:b: c")]),
    "U+2028, U+0085 and a form feed": (
        "data: a\u2028b\u0085c\x0cd\n\n".encode(),
        [ServerSentEvent("a\u2028b\u0085c\x0cd")],
    ),
    "a lone CR inside": (b"data: a\rb\n\n", [ServerSentEvent("a\rb")]),
    "only one CR goes": (b"data: a\r\r\n\r\n", [ServerSentEvent("a\r")]),
    "two, three and four bytes": ("data: é東🙂\n\n".encode(), [ServerSentEvent("é東🙂")]),
    "nothing": (b"", []),
    "empty lines": (b"\n\n\r\n\n", []),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [ServerSentEvent("a")]),
    "a byte order mark later on is none": (
        b"data: a\n\n\xef\xbb\xbfdata: b\n\n",
        [ServerSentEvent("a")],
    ),
    "an error as a field": (
        b"error: x\n\ndata: y\n\nError:z\n\n",
        [ServerSentEvent("x", "error"), ServerSentEvent("y"), ServerSentEvent("z", "error")],
    ),
    "lines that are no fields": (b"<p>\ndata: a\n\n{}\n\n", [ServerSentEvent("a")]),
    "the end is missing": (b"data: a\n\ndata: b\n", [ServerSentEvent("a")]),
}


def parse(*chunks: bytes) -> list[ServerSentEvent]:
    """Feed the chunks one after the other and return all that came out."""
    parser = SSEParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.fixture(params=EXAMPLES.values(), ids=list(EXAMPLES))
def example(request: pytest.FixtureRequest) -> tuple[bytes, list[ServerSentEvent]]:
    """Go through the examples."""
    found: tuple[bytes, list[ServerSentEvent]] = request.param
    return found


def test_whole(example: tuple[bytes, list[ServerSentEvent]]) -> None:
    data, events = example
    assert parse(data) == events


def test_byte_by_byte(example: tuple[bytes, list[ServerSentEvent]]) -> None:
    data, events = example
    assert parse(*(data[i : i + 1] for i in range(len(data)))) == events


def test_cut_at_every_place(example: tuple[bytes, list[ServerSentEvent]]) -> None:
    data, events = example
    for cut in range(len(data) + 1):
        assert parse(data[:cut], data[cut:]) == events, f"cut after {data[:cut]!r}"


def test_an_event_comes_out_with_its_last_byte_and_not_before() -> None:
    parser = SSEParser()
    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\n") == [ServerSentEvent("a")]


# --- any events, any encoding, any chunks -------------------------------------------------------

_LINE = st.text(
    st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20
).filter(
    # The one CR before a line's end belongs to the line's end.
    lambda line: not line.endswith("\r")
)
_NAME = _LINE.filter(lambda line: not line.startswith(" "))
_EVENT = st.tuples(st.lists(_LINE, min_size=1, max_size=4), st.one_of(st.just(""), _NAME))
_NOISE = st.sampled_from(["", ": a comment", ":", "id: 1", "retry: 10", "unknown: x", "lonely"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[ServerSentEvent]]:
    """Draw events and one of the many ways to write them down."""
    events = draw(st.lists(_EVENT, max_size=5))

    def lines() -> Iterator[str]:
        for data, name in events:
            noise = draw(_NOISE)
            if noise:
                yield noise
            if name:
                yield "event:" + draw(st.sampled_from(["", " "])) + name
            for line in data:
                # Without the space, a line that begins with one would lose it.
                yield (
                    "data: " + line
                    if line.startswith(" ") or draw(st.booleans())
                    else "data:" + line
                )
            yield ""
            yield from draw(st.lists(st.sampled_from(["", ":"]), max_size=2))

    encoded = "".join(line + draw(st.sampled_from(["\n", "\r\n"])) for line in lines())
    return encoded.encode(), [ServerSentEvent("\n".join(data), name) for data, name in events]


@given(streams(), st.data())
def test_any_events_survive_any_encoding_and_any_chunking(
    stream: tuple[bytes, list[ServerSentEvent]], data: st.DataObject
) -> None:
    encoded, events = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)), max_size=12)))
    edges = [0, *cuts, len(encoded)]
    chunks = [encoded[a:b] for a, b in itertools.pairwise(edges)]
    assert parse(*chunks) == events


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_mean_the_same_however_they_are_cut(data: bytes, cut: int) -> None:
    def outcome(*chunks: bytes) -> object:
        try:
            return parse(*chunks)
        except StreamError:
            return StreamError

    assert outcome(data[:cut], data[cut:]) == outcome(data)


# --- what is not accepted -----------------------------------------------------------------------


def feed_in_pieces(data: bytes, size: int, limit: int) -> None:
    parser = SSEParser(max_event_bytes=limit)
    for start in range(0, len(data), size):
        parser.feed(data[start : start + size])


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"data: " + b"x" * 101 + b"\n\n", id="one long line"),
        pytest.param(b"data: " + b"x" * 200, id="a line that never ends"),
        pytest.param(b"data: 12345678\n" * 12 + b"\n", id="many lines"),
        pytest.param(b"event: " + b"x" * 200, id="a name that never ends"),
        pytest.param(b": " + b"x" * 200, id="a comment that never ends"),
    ],
)
def test_an_event_over_the_limit_is_an_error_and_not_a_growing_buffer(
    data: bytes, size: int
) -> None:
    with pytest.raises(EventTooLarge, match="100 bytes"):
        feed_in_pieces(data, size, limit=100)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_limit_is_for_one_event_and_not_for_the_whole_stream(size: int) -> None:
    feed_in_pieces(
        b"data: " + b"x" * 90 + b"\n\n" + (b"data: 12345678\n\n:\n\n" * 50), size, limit=100
    )


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x99"])
def test_an_event_that_is_not_utf8_is_an_error(bad: bytes) -> None:
    with pytest.raises(StreamError, match="not UTF-8"):
        parse(b"data: a" + bad + b"\n\n")


def test_invalid_utf8_in_comments_is_ignored() -> None:
    assert parse(b": \xff\n\ndata: a\n\n") == [ServerSentEvent("a")]


@pytest.mark.parametrize(
    "bad", [b"data: \xff\n\n", b"data: " + b"x" * 101 + b"\n\n", b"x" * 101], ids=repr
)
def test_an_error_does_not_take_the_events_before_it_along(bad: bytes) -> None:
    """Regression: tokens that arrived in one read with what was unreadable were lost."""
    with pytest.raises(StreamError) as caught:
        SSEParser(max_event_bytes=100).feed(b"data: a\n\ndata: b\n\n" + bad)
    assert caught.value.events == [ServerSentEvent("a"), ServerSentEvent("b")]


@given(st.text("da: {}\n\r\u2028é", max_size=12).map(str.encode))
def test_lone_data_agrees_with_the_parser(end: bytes) -> None:
    for chunk in (b"data: " + end, b"data: " + end + b"\n\n", end):
        data = lone_data(chunk)
        if data is not None:
            assert SSEParser().feed(chunk) == [ServerSentEvent(data.decode())]


def test_a_token_is_a_lone_event() -> None:
    assert lone_data(b'data: {"a":1}\n\n') == b'{"a":1}'


def test_a_parser_knows_when_it_is_between_events() -> None:
    parser = SSEParser()
    for chunk, is_between in ((b"da", False), (b"ta: x\n", False), (b"\n", True), (b":\n", True)):
        parser.feed(chunk)
        assert parser.is_between_events is is_between


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("end", "event"),
    [
        (b"", None),
        (b"data: b", ServerSentEvent("b")),
        (b"data: b\n", ServerSentEvent("b")),
        (b"data: b\r\n", ServerSentEvent("b")),
        (b"data: b\r", ServerSentEvent("b")),
        (b"event: e\ndata: b\ndata: c", ServerSentEvent("b\nc", "e")),
        (b"event: e", None),
        (b"dat", None),
        (b": b", None),
    ],
    ids=repr,
)
def test_close_returns_an_event_that_lacks_its_empty_line(
    end: bytes, event: ServerSentEvent | None, size: int
) -> None:
    for start in (b"", b"data: a\n\n", b"\xef\xbb\xbf"):
        parser = SSEParser()
        whole = start + end
        for place in range(0, len(whole), size):
            parser.feed(whole[place : place + size])
        assert parser.close() == event


def test_the_end_of_a_stream_that_is_not_utf8_is_an_error() -> None:
    parser = SSEParser()
    parser.feed(b"data: \xff")
    with pytest.raises(StreamError, match="not UTF-8"):
        parser.close()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_lines_that_are_no_fields_are_kept_and_not_without_end(size: int) -> None:
    parser = SSEParser()
    whole = b'data: a\n\nid: 1\nfoo: bar\n:\n{"error":"x"}\n\n<p class="a: b">\nplain words'
    for place in range(0, len(whole), size):
        parser.feed(whole[place : place + size])
    assert parser.close() is None
    assert parser.stray == b'{"error":"x"}\n<p class="a: b">\nplain words\n'
    for _ in range(1000):
        parser.feed(b"<p>" + b"x" * 1000 + b"</p>\n")
    assert len(parser.stray) < 70_000
