"""Cancelling: the slot is free, the siblings go on, and the answer says what it was."""

from server.core.protocol import State
from tests.chat.conftest import OpenBackend, ask
from tests.fakes.openai import serve
from tests.fakes.openai_options import like
from tests.support.fake_fleet import FakeRunner


async def test_cancelling_one_frees_its_slot_while_the_other_goes_on(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(FakeRunner(hold_after=2))
    session, reader = o.session()
    session.generate(ask("a", "a"))
    await reader.sees(lambda: reader.seq("g1") >= 2 and reader.seq("g2") >= 2)
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    assert session.cancel(["g1"]) == ["g1"]
    await fake.state.reaches(cancelled=1)
    end = await reader.end("g1")
    assert (end.finish_reason, end.seq, end.error) == ("cancelled", 2, None)
    assert end.usage.prompt_tokens is not None
    fake.state.release()
    assert (await reader.end("g2")).finish_reason == "length"
    assert fake.state.counts["cancelled"] == 1


async def test_cancelling_all_ends_all_that_are_live(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(hold_after=1))
    session, reader = o.session()
    session.generate(ask("a", "a", "a"))
    session.cancel(["g2"])
    await reader.end("g2")
    assert session.cancel(None) == ["g1", "g3"]
    for generation_id in ("g1", "g3"):
        assert (await reader.end(generation_id)).finish_reason == "cancelled"
    assert session.cancel(None) == []


async def test_cancelling_what_is_over_or_unknown_is_no_error(chat_backend: OpenBackend) -> None:
    o = await chat_backend()
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.end("g1")
    assert session.cancel(["g1", "g1", "g9", ""]) == []


async def test_named_twice_it_is_cancelled_once(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(hold_after=1))
    session, _ = o.session()
    session.generate(ask("a"))
    assert session.cancel(["g1", "g1"]) == ["g1"]


async def test_a_cancel_before_the_first_step_ends_it_too(chat_backend: OpenBackend) -> None:
    """A task that is cancelled before it has run never gets to its own clean-up."""
    o = await chat_backend()
    session, reader = o.session()
    session.generate(ask("a", "a"))
    assert session.cancel(None) == ["g1", "g2"]
    for generation_id in ("g1", "g2"):
        end = await reader.end(generation_id)
        assert (end.finish_reason, end.seq) == ("cancelled", 0)
    assert o.stage.runner.starts == 0
    assert session.live == 0


async def test_a_cancel_while_the_model_starts_leaves_the_start_to_others(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend()
    session, reader = o.session()
    o.stage.runner.loading.close()
    session.generate(ask("a", "a"))
    await o.stage.runner.loading.reached()
    session.cancel(["g1"])
    assert (await reader.end("g1")).finish_reason == "cancelled"
    o.stage.runner.loading.open()
    assert (await reader.end("g2")).finish_reason == "length"


async def test_answers_that_wait_for_a_start_are_begun_in_the_order_they_were_asked(
    chat_backend: OpenBackend,
) -> None:
    """Regression: the longest-waiting one might have come last."""
    o = await chat_backend(FakeRunner(hold_after=0), models={"a": {"weights": "x", "slots": 1}})
    session, reader = o.session()
    session.generate(ask(*["a"] * 6))
    await reader.sees(lambda: "running" in reader.states("g1"))
    positions = {
        generation_id: [s.position for s in reader.of(State, generation_id)][-1]
        for generation_id in ("g2", "g3", "g4", "g5", "g6")
    }
    assert positions == {"g2": 1, "g3": 2, "g4": 3, "g5": 4, "g6": 5}


async def test_cancelling_many_that_wait_for_their_turn(chat_backend: OpenBackend) -> None:
    """Regression: each told the others, ended already, to move up, and that was an error."""
    o = await chat_backend(FakeRunner(hold_after=1), models={"a": {"weights": "x", "slots": 1}})
    session, reader = o.session()
    ids = session.generate(ask(*["a"] * 6))
    await reader.sees(lambda: [s for s in reader.of(State, "g6") if s.position == 5])
    session.cancel(ids[1:])
    for generation_id in ids[1:]:
        assert (await reader.end(generation_id)).finish_reason == "cancelled"
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    fake.state.release()
    assert (await reader.end("g1")).finish_reason == "length"
    session.generate(ask("a"))
    assert (await reader.end("g7")).finish_reason == "length"


async def test_the_end_says_if_the_server_computes_on(chat_backend: OpenBackend) -> None:
    """One that was never asked for has nothing computed for it."""
    async with serve(like("transformers", hold_after=1)) as fake:
        model = {"runner": "remote", "url": fake.api, "dialect": "openai", "max_concurrent": 1}
        o = await chat_backend(models={"a": {**model, "flavour": "transformers"}})
        session, reader = o.session()
        session.generate(ask("a", "a"))
        await reader.sees(lambda: reader.seq("g1") and reader.of(State, "g2")[-1].position == 1)
        session.cancel(["g2"])
        assert not (await reader.end("g2")).notices
        session.cancel(["g1"])
        (notice,) = (await reader.end("g1")).notices
        assert notice.code == "computes_on"
        # The place is left at once all the same.
        session.generate(ask("a"))
        await reader.sees(lambda: reader.seq("g3"))


async def test_the_end_says_nothing_if_the_server_stops(chat_backend: OpenBackend) -> None:
    async with serve(like("vllm", hold_after=1)) as fake:
        model = {"runner": "remote", "url": fake.api, "dialect": "openai", "flavour": "vllm"}
        o = await chat_backend(models={"a": model})
        session, reader = o.session()
        session.generate(ask("a"))
        await reader.sees(lambda: reader.seq("g1"))
        session.cancel(None)
        assert not (await reader.end("g1")).notices
        await fake.state.reaches(cancelled=1)
