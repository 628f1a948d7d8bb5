"""Servers that limit us: their words and a countdown, asked again in time, or told at once."""

import json
from typing import Any

import pytest

from server.core.protocol import Notice, State
from tests.chat.conftest import OpenBackend, ask
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import like
from tests.support.reader import Reader

WORDS = "vLLM takes no more requests for now: Rate limit reached"


def model(fake: Fake, **settings: Any) -> dict[str, Any]:
    """Return the settings of a model on the fake."""
    return {"runner": "remote", "url": fake.api, "dialect": "openai", "flavour": "vllm", **settings}


def notices(reader: Reader, generation: str) -> list[Notice]:
    """Return what there was to say of a generation's states."""
    return [state.notice for state in reader.of(State, generation) if state.notice is not None]


async def is_limited(reader: Reader, *generations: str) -> None:
    """Return once the generations wait for a limit to pass."""
    await reader.sees(
        lambda: all(
            notices(reader, one) and notices(reader, one)[-1].code == "rate_limited"
            for one in generations
        )
    )


async def test_a_rate_limit_is_shown_and_the_request_sent_again(chat_backend: OpenBackend) -> None:
    async with serve(like("vllm", limited=1, retry_after="0.1")) as fake:
        o = await chat_backend(models={"a": model(fake)})
        session, reader = o.session()
        session.generate(ask("a"))
        assert (await reader.end("g1")).finish_reason == "length"
        assert notices(reader, "g1") == [Notice("rate_limited", WORDS, {"seconds": 1})]
        assert reader.states("g1")[-3:] == ["running", "queued", "running"]
        assert fake.state.generations == 2


async def test_without_a_time_it_is_asked_ever_later(chat_backend: OpenBackend) -> None:
    async with serve(like("vllm", limited=2)) as fake:
        o = await chat_backend(models={"a": model(fake)})
        session, reader = o.session()
        session.generate(ask("a"))
        assert (await reader.end("g1")).finish_reason == "length"
        assert [notice.message for notice in notices(reader, "g1")] == [WORDS] * 2
        assert fake.state.generations == 3


async def test_the_whole_queue_waits_and_those_of_others_do_not(chat_backend: OpenBackend) -> None:
    async with serve(like("vllm", limited=1, retry_after="3600")) as fake, serve() as other:
        o = await chat_backend(models={"a": model(fake), "b": model(other)}, queue_timeout=7200.0)
        session, reader = o.session()
        session.generate(ask("a"))
        await is_limited(reader, "g1")
        session.generate(ask("a", "a"))
        await is_limited(reader, "g1", "g2", "g3")
        positions = [reader.of(State, one)[-1].position for one in ("g1", "g2", "g3")]
        assert positions == [1, 2, 3]
        assert (notices(reader, "g3")[-1].details or {})["seconds"] in (3599, 3600)
        seen = await o.stage.sees(lambda model: model.waiting == 3)
        assert seen.running == 0
        session.generate(ask("b"))
        assert (await reader.end("g4")).finish_reason == "length"
        assert fake.state.generations == 1
        assert session.cancel(["g1", "g2", "g3"]) == ["g1", "g2", "g3"]
        for one in ("g1", "g2", "g3"):
            assert (await reader.end(one)).finish_reason == "cancelled"
        assert fake.state.generations == 1


async def test_all_that_waited_are_asked_in_their_order(chat_backend: OpenBackend) -> None:
    async with serve(like("vllm", limited=1, retry_after="0.2")) as fake:
        o = await chat_backend(models={"a": model(fake, max_concurrent=1)})
        session, reader = o.session()
        session.generate(ask("a", prompt="one"))
        await is_limited(reader, "g1")
        session.generate(ask("a", prompt="two"))
        session.generate(ask("a", prompt="three"))
        for one in ("g1", "g2", "g3"):
            assert (await reader.end(one)).finish_reason == "length"
        asked = [body["prompt"] for body in fake.state.requests]
        assert asked == ["one", "one", "two", "three"]


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        ({"limited": -1, "retry_after": "3600"}, WORDS, "asking again in 3600 s would exceed"),
        (
            {"error_status": 429, "error_text": "You exceeded your current quota"},
            "You exceeded your current quota",
            "too late for asking again to help",
        ),
        (
            {"error_status": 402, "error_text": "Insufficient credits"},
            "Insufficient credits",
            "Asking again does not help",
        ),
    ],
    ids=["too long", "for long", "to be paid"],
)
async def test_a_limit_that_waiting_does_not_help_fails_at_once(
    chat_backend: OpenBackend, options: dict[str, Any], said: str, hint: str
) -> None:
    async with serve(like("vllm", **options)) as fake:
        o = await chat_backend(models={"a": model(fake)})
        session, reader = o.session()
        session.generate(ask("a"))
        end = await reader.end("g1")
        assert end.finish_reason == "failed"
        assert end.error is not None
        assert said in end.error.message
        assert hint in (end.error.hint or "")
        assert fake.state.generations == 1
        assert not notices(reader, "g1")


async def test_after_a_token_nothing_is_asked_again(chat_backend: OpenBackend) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    chunk = {"id": "c", "object": "text_completion", "model": "fake-model"}
    word = {**chunk, "choices": [{"index": 0, "text": "The"}]}
    error = {"error": {"message": "Rate limit reached", "type": "rate_limit_error", "code": 429}}
    events = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in (word, error)]
    route = "POST /v1/completions"
    async with serve(like("vllm", replay={route: [head, *events]})) as fake:
        o = await chat_backend(models={"a": model(fake)})
        session, reader = o.session()
        session.generate(ask("a"))
        end = await reader.end("g1")
        assert reader.text("g1") == "The"
        assert end.error is not None
        assert (end.error.code, fake.state.routes[route]) == ("engine_limited", 1)


async def test_inside_a_stream_it_is_the_same(chat_backend: OpenBackend) -> None:
    """Servers that send the head before they look at the request tell it as an event."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    error = {"error": {"message": "Try again in 2 s", "type": "rate_limit_error", "code": 429}}
    event = b"data: " + json.dumps(error).encode() + b"\n\ndata: [DONE]\n\n"
    async with serve(like("vllm", replay={"POST /v1/completions": [head, event]})) as fake:
        o = await chat_backend(models={"a": model(fake)})
        session, reader = o.session()
        session.generate(ask("a"))
        await is_limited(reader, "g1")
        assert (notices(reader, "g1")[0].details or {})["seconds"] == 2
        session.cancel(None)
        assert (await reader.end("g1")).finish_reason == "cancelled"


async def test_a_turn_that_does_not_come_for_a_limit_is_told_in_its_words(
    chat_backend: OpenBackend,
) -> None:
    # The server's second word comes well before the time is over, its third would come after it.
    async with serve(like("vllm", limited=-1, retry_after="1")) as fake:
        o = await chat_backend(models={"a": model(fake)}, queue_timeout=1.8)
        session, reader = o.session()
        session.generate(ask("a"))
        await is_limited(reader, "g1")
        session.generate(ask("a"))
        for one in ("g1", "g2"):
            end = await reader.end(one)
            assert end.error is not None
            assert (end.error.code, end.error.message) == ("engine_limited", WORDS)


async def test_a_server_without_a_place_says_so_while_it_is_waited_for(
    chat_backend: OpenBackend,
) -> None:
    async with serve(like("vllm", overloaded=True, retry_after="9")) as fake:
        o = await chat_backend(models={"a": model(fake)})
        session, reader = o.session()
        session.generate(ask("a"))
        await reader.sees(lambda: notices(reader, "g1"))
        (notice,) = notices(reader, "g1")
        assert notice.code == "server_busy"
        assert "currently busy" in notice.message
        session.cancel(None)
        assert (await reader.end("g1")).finish_reason == "cancelled"
