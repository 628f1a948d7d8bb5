"""An answer whose model server does wrong: what came is kept, why it ended is told."""

from typing import Any

import pytest

from server.core.errors import ModelFailed
from server.core.protocol import End
from tests.chat.conftest import OpenBackend, ask
from tests.fakes.tgi_answers import answer
from tests.support.fake_fleet import FakeRunner

TWO = {"a": {"weights": "x"}, "b": {"weights": "x"}}


def code(end: End) -> str | None:
    """Return the code of the error with which an answer has ended."""
    assert end.finish_reason == "failed"
    return end.error.code if end.error else None


async def test_a_server_that_dies_is_the_answers_end_with_the_cause_and_nobody_elses(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(FakeRunner(hold_after=2), models=TWO)
    session, reader = o.session()
    session.generate(ask("a", "b"))
    await reader.sees(lambda: reader.seq("g1") >= 1 and reader.seq("g2") >= 1)
    o.stage.runner.crash("a", 1, "2024-01-01T00:00:00Z ERROR x: the shard fell over")
    end = await reader.end("g1")
    assert code(end) == "model_failed"
    assert end.error is not None
    assert "the shard fell over" in end.error.message
    assert end.error.details is not None
    assert end.error.details["exit_code"] == 1
    assert reader.text("g1")
    other = o.stage.runner.server("b").fake
    assert other is not None
    other.state.release()
    assert (await reader.end("g2")).finish_reason == "length"


async def test_the_next_prompt_starts_it_again(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(hold_after=2))
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g1"))
    o.stage.runner.crash("a", 1)
    await reader.end("g1")
    session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g2"))
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    fake.state.release()
    assert (await reader.end("g2")).finish_reason == "length"
    assert o.stage.runner.starts == 2


async def test_a_model_that_cannot_be_started_fails_all_who_wait_for_it(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(models=TWO)
    o.stage.runner.start_error = ModelFailed("no such weights", hint="get some")
    session, reader = o.session()
    session.generate(ask("a", "a"))
    for generation_id in ("g1", "g2"):
        end = await reader.end(generation_id)
        assert code(end) == "model_failed"
        assert end.error is not None
        assert (end.error.message, end.error.hint) == ("no such weights", "get some")
        assert (end.seq, end.timings.ttft_ms) == (0, None)


async def test_a_model_that_is_stopped_while_it_starts_fails_who_waits_for_it(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend()
    o.stage.runner.loading.close()
    session, reader = o.session()
    session.generate(ask("a"))
    await o.stage.runner.loading.reached()
    o.stage.fleet.stop("a")
    end = await reader.end("g1")
    assert code(end) == "model_failed"
    assert end.error is not None
    assert "was stopped" in end.error.message


async def test_a_model_that_is_stopped_finishes_the_answer_under_way(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(FakeRunner(hold_after=2))
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g1"))
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    o.stage.fleet.stop("a")
    await o.stage.state("stopping")
    fake.state.release()
    assert (await reader.end("g1")).finish_reason == "length"
    await o.stage.state("stopped")


@pytest.mark.parametrize(
    ("options", "expected", "said"),
    [
        ({"cut_after": 3}, "engine_error", "broke"),
        ({"end_early_after": 3}, "engine_error", "broke off in the middle"),
        ({"error_after": 3}, "engine_error", "CUDA out of memory"),
        ({"malformed_after": 3}, "engine_error", "malformed event"),
    ],
)
async def test_an_engines_error_ends_the_answer_after_the_text_so_far(
    chat_backend: OpenBackend, options: dict[str, Any], expected: str, said: str
) -> None:
    o = await chat_backend(FakeRunner(**options))
    session, reader = o.session()
    session.generate(ask("a"))
    end = await reader.end("g1")
    assert code(end) == expected
    assert end.error is not None
    assert said in end.error.message
    fake_options = o.stage.runner.server("a").options
    whole = answer(fake_options, "Tell me.", {"max_new_tokens": 8})
    assert reader.text("g1") == "".join(token.text for token in whole.tokens[:3])


async def test_an_overloaded_engine_is_asked_again_until_it_has_room(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(FakeRunner(hold_after=1, max_concurrent_requests=1))
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g1"))
    session.generate(ask("a"))
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    await fake.state.reaches(refused=1)
    await reader.sees(lambda: reader.states("g2")[-1] == "queued")
    fake.state.release()
    for generation_id in ("g1", "g2"):
        assert (await reader.end(generation_id)).finish_reason == "length"


async def test_but_not_for_longer_than_a_turn_may_be_waited_for(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(overloaded=True), queue_timeout=0.3)
    session, reader = o.session()
    session.generate(ask("a"))
    assert code(await reader.end("g1")) == "engine_overloaded"


async def test_a_turn_that_does_not_come_in_time_is_told(chat_backend: OpenBackend) -> None:
    models = {"a": {"weights": "x", "slots": 1}}
    o = await chat_backend(FakeRunner(hold_after=1), models=models, queue_timeout=0.1)
    session, reader = o.session()
    session.generate(ask("a", "a"))
    end = await reader.end("g2")
    assert code(end) == "engine_overloaded"
    assert end.error is not None
    assert "no turn came" in end.error.message


async def test_a_cancel_while_an_overloaded_engine_is_waited_for(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(overloaded=True))
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.sees(lambda: reader.states("g1")[-2:] == ["running", "queued"])
    session.cancel(None)
    assert (await reader.end("g1")).finish_reason == "cancelled"


async def test_figures_are_of_the_servers_clock(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(hold_after=4))
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g1") >= 3)
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    fake.state.release()
    timings = (await reader.end("g1")).timings
    assert timings.queued_ms is not None
    assert timings.ttft_ms is not None
    assert 0 <= timings.queued_ms <= timings.ttft_ms <= timings.total_ms
    assert timings.tokens_per_second is not None
    assert timings.tokens_per_second > 0


# --- answers given again ------------------------------------------------------------------------


async def test_an_answer_without_chance_is_given_again_without_the_engine(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(cache_bytes=1_000_000)
    session, reader = o.session()
    session.generate(ask("a"))
    first = await reader.end("g1")
    session.generate(ask("a", details=True))
    second = await reader.end("g2")
    assert reader.text("g2") == reader.text("g1")
    assert (first.cached, second.cached) == (False, True)
    assert (second.finish_reason, second.usage) == (first.finish_reason, first.usage)
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    assert fake.state.counts["started"] == 1


async def test_but_the_engine_is_asked_where_a_fresh_answer_is_wanted(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(cache_bytes=1_000_000)
    session, reader = o.session()
    for generation_id, is_fresh in (("g1", False), ("g2", True), ("g3", False)):
        session.generate(ask("a", fresh=is_fresh))
        await reader.end(generation_id)
    assert [(await reader.end(one)).cached for one in ("g1", "g2", "g3")] == [False, False, True]
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    assert fake.state.counts["started"] == 2


@pytest.mark.parametrize(
    ("parameters", "is_cached"),
    [({"temperature": 0.7}, False), ({"temperature": 0.7, "seed": 5}, True), ({"top_k": 3}, False)],
)
async def test_a_sampled_answer_is_cached_only_with_a_seed(
    chat_backend: OpenBackend, parameters: dict[str, Any], is_cached: bool
) -> None:
    o = await chat_backend(cache_bytes=1_000_000)
    session, reader = o.session()
    for generation_id in ("g1", "g2"):
        session.generate(ask("a", parameters=parameters))
        end = await reader.end(generation_id)
    assert end.cached is is_cached


async def test_a_failed_answer_is_not_cached(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(hold_after=2), cache_bytes=1_000_000)
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g1"))
    session.cancel(None)
    await reader.end("g1")
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    fake.state.release()
    session.generate(ask("a"))
    end = await reader.end("g2")
    assert (end.cached, end.finish_reason) == (False, "length")
