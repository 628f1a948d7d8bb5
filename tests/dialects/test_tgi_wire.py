"""TGI's stream where it is not as it should be: an end cut short, an error that is no event."""

import json

import pytest

from server.core.errors import EngineError, EngineLost, SidestreamError
from server.core.protocol import TokenInfo
from server.dialects.base import Finish, Meter
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
def test_a_body_in_place_of_an_event_is_in_the_error(error: bytes) -> None:
    text, end = hear(TOKEN, error)
    assert text == "Hi"
    assert isinstance(end, EngineError)
    assert end.message == "the model server reports: boom"


# --- as real TGI sent it -----------------------------------------------------------------------


def event(text: str, generated: str | None = None, reason: str = "length") -> bytes:
    details = {"finish_reason": reason, "generated_tokens": 7, "seed": None, "input_length": 37}
    item = {
        "index": 1,
        "token": {"id": 118, "text": text, "logprob": -2.3, "special": False},
        "generated_text": generated,
        "details": None if generated is None else details,
    }
    return b"data:" + json.dumps(item).encode() + b"\n\n"


def test_streamed_text_is_not_replaced_by_that_of_the_last_event() -> None:
    """That text is empty where the answer ends in the middle of a character."""
    parts = ["", "", "👨", "", "", "👩"]
    assert hear(*map(event, parts), event("", "")) == ("👨👩", Finish("length", 37, 7))


def test_a_continuation_that_does_not_fit_is_an_end_of_its_own_length() -> None:
    """Asked for more than fits, TGI ends after 1,024 tokens: the count is its own, not ours."""
    last = event("b", "ab").replace(b'"generated_tokens": 7', b'"generated_tokens": 1024')
    assert hear(event("a"), last) == ("ab", Finish("length", 37, 1024))


def failed(words: str) -> bytes:
    error = {"error": f"Request failed during generation: {words}", "error_type": "generation"}
    return b"data:" + json.dumps(error).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("words", "is_lost"),
    [
        ("Server error: transport error", True),
        ("Server error: error trying to connect: Connection refused (os error 111)", True),
        # Of two prompts in one batch, which leaves the server as it is.
        ("Server error: The `past_key_values` should be either a `Cache` object or `None`.", False),
        ("Server error: CUDA out of memory", False),
    ],
)
def test_a_killed_shard_is_a_lost_server_and_other_failures_are_not(
    words: str, is_lost: bool
) -> None:
    """Killed in mid-answer, and asked again before the launcher has noticed."""
    for before, text in (((TOKEN,), "Hi"), ((), "")):
        heard, end = hear(*before, failed(words))
        assert heard == text
        assert isinstance(end, EngineError)
        assert isinstance(end, EngineLost) == is_lost
        assert words in end.message


def test_a_failure_without_words_ends_in_no_colon() -> None:
    """As for a grammar that is no regular expression."""
    _, end = hear(failed("Server error: "))
    assert isinstance(end, EngineError)
    said = "the model server reports: Request failed during generation: Server error"
    assert end.message == said
