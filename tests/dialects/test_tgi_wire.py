"""TGI's stream where it is not as it should be: an end cut short, an error that is no event."""

import pytest

from server.core.errors import EngineError, EngineLost, SidestreamError
from server.core.protocol import TokenInfo
from server.dialects.base import Finish
from server.dialects.meter import Meter
from server.dialects.tgi.wire import AnswerReader

TOKEN = b'data: {"token":{"id":1,"text":"Hi","logprob":-0.5,"special":false}}\n\n'
END = (
    b'data: {"token":{"id":2,"text":"!","logprob":-0.5,"special":false},"generated_text":"Hi!",'
    b'"details":{"finish_reason":"length","generated_tokens":2,"input_length":3}}'
)


def hear(*reads: bytes) -> tuple[str, Finish | SidestreamError]:
    """Return the text that came, and the end."""
    tokens: list[TokenInfo] = []
    reader = AnswerReader(tokens.extend, Meter())
    for read in reads:
        if reader.feed(read):
            break
    end: Finish | SidestreamError
    try:
        end = reader.finish()
    except SidestreamError as error:
        end = error
    return "".join(token.text for token in tokens), end


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"], ids=repr)
def test_an_end_without_its_empty_line_is_one(end: bytes) -> None:
    whole = TOKEN + END + end
    for reads in ((whole,), (TOKEN, END + end), tuple(bytes([byte]) for byte in whole)):
        assert hear(*reads) == ("Hi!", Finish("length", 3, 2))


def test_an_end_that_is_cut_is_none() -> None:
    for cut in range(len(END)):
        text, end = hear(TOKEN, END[:cut])
        assert text == "Hi"
        assert isinstance(end, EngineLost)


def test_a_last_token_without_its_empty_line_is_not_lost() -> None:
    text, end = hear(TOKEN, TOKEN.rstrip())
    assert text == "HiHi"
    assert isinstance(end, EngineLost)


@pytest.mark.parametrize(
    "error",
    [
        b'data: {"error":"boom","error_type":"generation"}',
        b'{"error":"boom"}',
        b'{"error":"boom","error_type":"x"}\n',
        b"<html>\n<head><title>boom</title></head>\n<body>\n</body></html>\n",
        b"boom",
    ],
)
def test_what_came_in_place_of_an_event_is_told(error: bytes) -> None:
    text, end = hear(TOKEN, error)
    assert text == "Hi"
    assert isinstance(end, EngineError)
    assert end.message == "the model server reports: boom"
