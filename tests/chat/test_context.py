"""Answers in a context that is too small: what is told before, and at the end."""

from collections.abc import Sequence
from typing import Any

from server.core.protocol import Generate, Message, Notice, State, Target
from tests.chat.conftest import ChatBackend, OpenBackend, ask
from tests.fakes.tgi import Fake
from tests.support.fake_fleet import FakeRunner

# In the fake's tokens a conversation has 22, and 16 more for each turn that is over.
SMALL = {"max_total_tokens": 100}


def chat(turns: int) -> list[Message]:
    """Return a conversation of so many turns that are over, behind a system prompt."""
    messages = [Message("system", "Brief")]
    for number in range(turns):
        messages += [Message("user", f"Why{number}"), Message("assistant", f"So{number}")]
    return [*messages, Message("user", "And")]


def talk(messages: Sequence[Message], **fields: Any) -> Generate:
    return Generate(1, [Target("a")], messages=list(messages), **fields)


def fake(o: ChatBackend) -> Fake:
    server = o.stage.runner.server("a").fake
    assert server is not None
    return server


def codes(notices: Sequence[Notice]) -> list[str]:
    return [notice.code for notice in notices]


async def test_a_prompt_that_is_too_long_fails_before_anything_is_computed(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(FakeRunner(**SMALL))
    session, reader = o.session()
    session.generate(talk(chat(6)))
    session.generate(ask("a", prompt="word " * 94))
    for generation_id, tokens in (("g1", 118), ("g2", 95)):
        end = await reader.end(generation_id)
        assert end.error is not None
        assert end.error.code == "prompt_too_long"
        assert end.error.details is not None
        assert end.error.details["prompt_tokens"] == tokens
        assert end.error.details["max_total_tokens"] == 100
        # An answer that is to be shorter than a handful needs no more room.
        room = 16 if generation_id == "g1" else 8
        assert end.error.details["over_by"] == tokens + room - 100
        assert (end.usage.prompt_tokens, end.usage.context_tokens) == (tokens, 100)
        assert "running" not in reader.states(generation_id)
    assert fake(o).state.requests == []


async def test_the_oldest_turns_are_left_out_if_that_is_asked_for(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(FakeRunner(**SMALL))
    session, reader = o.session()
    session.generate(talk(chat(6), trim="oldest_turns"))
    end = await reader.end("g1")
    # Three quarters of the context have room for three of six turns.
    assert [notice.details for notice in end.notices if notice.code == "turns_left_out"] == [
        {"turns": 3}
    ]
    inputs = fake(o).state.requests[0]["inputs"]
    assert "<|system|>\nBrief" in inputs
    assert "Why2" not in inputs
    assert inputs.index("Why3") < inputs.index("So3") < inputs.index("Why4") < inputs.index("And")
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (70, 30)
    assert codes(end.notices) == ["turns_left_out", "context_full"]


async def test_a_context_that_was_filled_is_an_end_of_its_own(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(**SMALL))
    session, reader = o.session()
    session.generate(talk(chat(0)))
    session.generate(talk(chat(0), parameters={"max_new_tokens": 5}))
    ends = [await reader.end("g1"), await reader.end("g2")]
    assert [end.finish_reason for end in ends] == ["length", "length"]
    assert [codes(end.notices) for end in ends] == [["context_full"], []]
    assert ends[0].notices[0].details == {"context_tokens": 100}
    assert [end.usage.context_tokens for end in ends] == [100, 100]


async def test_a_cached_answer_says_so_again(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(**SMALL), cache_bytes=1_000_000)
    session, reader = o.session()
    for generation_id in ("g1", "g2"):
        session.generate(talk(chat(6), trim="oldest_turns"))
        end = await reader.end(generation_id)
        assert codes(end.notices) == ["turns_left_out", "context_full"]
    assert end.cached
    assert len(fake(o).state.requests) == 1


async def test_the_lengths_are_told_before_the_first_token(chat_backend: OpenBackend) -> None:
    # So much room that nothing has to be measured before the server is asked.
    o = await chat_backend(FakeRunner(hold_after=0, max_total_tokens=100_000))
    session, reader = o.session()
    session.generate(ask("a", prompt="Tell me more."))

    def told() -> list[State]:
        return [state for state in reader.of(State, "g1") if state.prompt_tokens]

    await reader.sees(told)
    assert told() == [State("g1", "running", prompt_tokens=4, context_tokens=100_000)]
    assert reader.seq("g1") == 0
    fake(o).state.release()
    end = await reader.end("g1")
    assert (end.usage.prompt_tokens, end.usage.context_tokens) == (4, 100_000)


async def test_a_default_length_of_the_settings_gives_way_to_the_context(
    chat_backend: OpenBackend,
) -> None:
    models = {"a": {"weights": "x", "parameters": {"max_new_tokens": 90}}}
    o = await chat_backend(FakeRunner(**SMALL), models=models)
    session, reader = o.session()
    session.generate(talk(chat(0)))
    end = await reader.end("g1")
    assert fake(o).state.requests[0]["parameters"]["max_new_tokens"] == 100 - 22
    assert codes(end.notices) == ["context_full"]
