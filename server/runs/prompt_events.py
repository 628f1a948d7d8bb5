"""What is told of the answers to one prompt of a run while they are written.

A snapshot begins an answer, or begins it anew: it takes the place of all that was told of this
answer before. Deltas go on with it, until the whole answer takes its place.
"""

from typing import Literal

import msgspec

from server.runs.shapes import RunAnswer, RunState

AskedState = Literal["waiting", "queued", "starting", "running", "ended"]
"""How far an answer is that is not complete; of one that has `ended` the checks are under way."""


class AnswerSnapshot(msgspec.Struct, frozen=True, tag_field="type", tag="snapshot"):
    """What is written so far of an answer, in place of all that was told of it before.

    One that is still to be asked, for the first time or again, is `waiting`, without text.
    """

    target: int
    repeat: int
    state: AskedState
    text: str = ""
    reasoning: str = ""


class AnswerState(msgspec.Struct, frozen=True, tag_field="type", tag="state"):
    """How far an answer is now."""

    target: int
    repeat: int
    state: AskedState


class AnswerDelta(msgspec.Struct, frozen=True, tag_field="type", tag="delta"):
    """More text of an answer, or of the thinking before it."""

    target: int
    repeat: int
    text: str
    kind: Literal["answer", "reasoning"] = "answer"


class AnswerComplete(msgspec.Struct, frozen=True, tag_field="type", tag="answer"):
    """A complete answer with its checks, in place of all that was told of it before."""

    answer: RunAnswer


class PromptEnd(msgspec.Struct, frozen=True, tag_field="type", tag="end"):
    """Nothing more is told: how far the run is, and whether this prompt's answers are all complete.

    Where they are not, and the run is `running`, the server is about to stop.
    """

    state: RunState
    is_complete: bool


PromptEvent = AnswerSnapshot | AnswerState | AnswerDelta | AnswerComplete | PromptEnd
