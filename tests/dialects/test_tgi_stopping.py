"""An answer of TGI's ends at a stop text, which stays in it, wherever tokens end."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import EngineError
from server.core.protocol import TokenInfo
from server.dialects.base import Finish, Meter
from server.dialects.tgi.cutting import CutAnswerReader
from server.dialects.tgi.transcripts import ROLE_STOPS

WHOLE = Finish("stop", 5, 9)


def event(text: str, *, ends: str = "", special: bool = False) -> bytes:
    token = {"id": 1, "text": text, "logprob": -1.0, "special": special}
    body: dict[str, Any] = {"token": token}
    if ends:
        details = {"finish_reason": ends, "generated_tokens": 9, "input_length": 5}
        body |= {"generated_text": "", "details": details}
    return f"data: {json.dumps(body)}\n\n".encode()


def read(
    *chunks: bytes, stop: tuple[str, ...], together: bool = False, roles: tuple[str, ...] = ()
) -> tuple[str, Finish | None, bool]:
    """Return what was shown, how it ended, and whether the connection was left before the end."""
    shown: list[TokenInfo] = []
    reader = CutAnswerReader(shown.extend, Meter(), roles=roles, asked=stop)
    was_all = any(reader.feed(chunk) for chunk in ([b"".join(chunks)] if together else chunks))
    try:
        finish = reader.finish()
    except EngineError:
        finish = None
    return "".join(token.text for token in shown if not token.special), finish, was_all


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("stop", ["Human: ", "\nHuman: ", "n: L"])
def test_a_stop_text_that_ends_inside_a_token_ends_the_answer(stop: str, together: bool) -> None:
    chunks = [event(text) for text in (" Lamp", "\n", "Human", ":", " Light", "er")]
    shown, finish, was_left = read(*chunks, stop=(stop,), together=together)
    assert shown == " Lamp\nHuman: Light".partition(stop)[0] + stop
    assert was_left
    assert finish is not None
    assert finish.reason == "stop"


@pytest.mark.parametrize("together", [False, True])
def test_the_servers_own_stop_counts(together: bool) -> None:
    end = event("stop\n", ends="stop_sequence")
    # A line feed behind the text is no reason for TGI to go on, and is none to cut.
    assert read(event("a "), end, stop=("stop",), together=together) == ("a stop\n", WHOLE, True)
    length = Finish("length", 5, 9)
    end = event("stop", ends="length")
    assert read(event("a "), end, stop=("stop",), together=together) == ("a stop", length, True)


def test_text_after_the_stop_in_the_same_read_is_not_shown() -> None:
    chunks = [event("ab"), event("cd"), event("", ends="eos_token", special=True)]
    assert read(*chunks, stop=("b",), together=True) == ("ab", WHOLE, True)
    assert read(*chunks[:2], b'data: {"error":"x"}\n\n', stop=("a",), together=True)[0] == "a"


def test_special_tokens_are_no_part_of_it() -> None:
    chunks = [event("<b>", special=True), event("a"), event("b", ends="eos_token")]
    assert read(*chunks, stop=("<b>", "b>")) == ("ab", WHOLE, True)


@pytest.mark.parametrize("together", [False, True])
def test_a_stop_text_is_found_in_text_held_back_for_a_role(together: bool) -> None:
    chunks = [event("Yes.\nUs"), event("e"), event("ful", ends="length")]
    shown, finish, _ = read(*chunks, stop=("\n",), roles=ROLE_STOPS, together=together)
    assert (shown, finish) == ("Yes.\n", WHOLE)
    chunks = [event("Yes.\nUser"), event(": x"), event("y", ends="length")]
    shown, finish, _ = read(*chunks, stop=("y",), roles=ROLE_STOPS, together=together)
    assert shown == "Yes."
    assert finish is not None
    assert finish.reason == "stop"


@given(
    st.lists(st.text("ab\n", max_size=4), min_size=1, max_size=8),
    st.lists(st.text("ab\n", min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_text_up_to_the_first_complete_stop_text_is_shown(
    texts: list[str], stop: list[str]
) -> None:
    whole = "".join(texts)
    ends = [whole.find(text) + len(text) for text in stop if text in whole]
    chunks = [event(text) for text in texts]
    shown, finish, was_left = read(*chunks, stop=tuple(stop))
    if not ends:
        assert (shown, finish, was_left) == (whole, None, False)
        return
    end, bounds, at = min(ends), [], 0
    for text in texts:
        at += len(text)
        bounds.append(at)
    # Unless a line feed is all that follows in its token.
    is_before_line_feed = end + 1 in bounds and whole[end] == "\n" and end not in bounds
    assert shown == whole[: end + is_before_line_feed]
    assert was_left
