"""Sessions outlive their sockets: what was missed comes, from wherever one left off."""

import asyncio

import pytest

from server.core.errors import (
    InvalidCommand,
    ServerFull,
    ShuttingDown,
)
from server.core.protocol import Delta
from tests.chat.conftest import OpenBackend, ask, person
from tests.fakes.tgi_answers import answer
from tests.support.fake_fleet import FakeRunner
from tests.support.reader import Reader


async def test_two_readers_get_the_same_each_at_its_own_pace(chat_backend: OpenBackend) -> None:
    o = await chat_backend()
    session, quick = o.session()
    slow = Reader()
    session.add_outbox(slow.outbox)
    slow.hold()
    session.generate(ask("a"))
    await quick.end("g1")
    assert slow.events == []
    slow.let_go()
    await slow.end("g1")
    assert slow.text("g1") == quick.text("g1")
    assert len(slow.of(Delta, "g1")) == 1


@pytest.mark.parametrize("held_after", range(9))
async def test_a_resumed_session_sends_exactly_the_missing_deltas(
    chat_backend: OpenBackend, held_after: int
) -> None:
    """Cut at every token, and with every cursor up to there."""
    o = await chat_backend(FakeRunner(hold_after=held_after))
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.sees(lambda: "running" in reader.states("g1"))
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    await fake.state.reaches(tokens=held_after)
    generation = session._generations["g1"].generation
    await reader.sees(lambda: reader.seq("g1") == generation.seq)
    session.remove_outbox(reader.outbox)
    assert session.idle_since is not None
    had = [generation.text_since(n, max_chars=0)[0] for n in range(generation.seq)]
    assert "".join(had) == reader.text("g1")
    returned = []
    for cursor in range(reader.seq("g1") + 1):
        back = Reader()
        session.add_outbox(back.outbox, {"g1": cursor, "g9": 7})
        returned.append((cursor, back))
    fake.state.release()
    whole = answer(fake.options, "Tell me.", {"max_new_tokens": 8}).generated_text
    for cursor, back in returned:
        end = await back.end("g1")
        assert "".join(had[:cursor]) + back.text("g1") == whole
        assert (end.finish_reason, end.seq) == ("length", generation.seq)


async def test_a_cursor_beyond_the_answer_is_refused_and_nothing_is_attached(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend()
    session, reader = o.session()
    session.generate(ask("a"))
    end = await reader.end("g1")
    late = Reader()
    with pytest.raises(InvalidCommand, match=f"cursor {end.seq + 1} of g1 is beyond"):
        session.add_outbox(late.outbox, {"g1": end.seq + 1})
    session.generate(ask("a"))
    await reader.end("g2")
    assert late.events == []


async def test_answers_go_on_while_nobody_is_attached(chat_backend: OpenBackend) -> None:
    o = await chat_backend()
    session, reader = o.session()
    session.generate(ask("a"))
    session.remove_outbox(reader.outbox)
    await session._generations["g1"].task
    back = Reader()
    session.add_outbox(back.outbox)
    assert (await back.end("g1")).finish_reason == "length"
    assert reader.events == []


async def test_retained_answers_are_bounded(chat_backend: OpenBackend) -> None:
    o = await chat_backend(retained=2)
    session, reader = o.session()
    for number in range(1, 5):
        session.generate(ask("a"))
        await reader.end(f"g{number}")
    assert [info.id for info in session.infos()] == ["g2", "g3", "g4"]


async def test_retained_text_is_bounded(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(text="abc def"), retained_chars=15)
    session, reader = o.session()
    for number in range(1, 5):
        session.generate(ask("a"))
        await reader.end(f"g{number}")
    assert [info.id for info in session.infos()] == ["g2", "g3", "g4"]


# --- sessions as a whole ------------------------------------------------------------------------


async def test_a_session_is_found_by_its_owner_only(chat_backend: OpenBackend) -> None:
    o = await chat_backend()
    session, _ = o.session("me")
    assert o.store.find(session.id, person("me")) is session
    assert o.store.find(session.id, person("you")) is None
    assert o.store.find("s_unknown", person("me")) is None


async def test_a_session_expires_so_long_after_its_last_socket(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(hold_after=1), ttl=300)
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g1"))
    o.clock.pass_seconds(1000)
    await o.store.expire()
    assert o.store.find(session.id, person("me")) is session
    session.remove_outbox(reader.outbox)
    o.clock.pass_seconds(299)
    await o.store.expire()
    assert o.store.find(session.id, person("me")) is session
    o.clock.pass_seconds(1)
    assert o.store.find(session.id, person("me")) is None
    await o.store.expire()
    assert len(o.store) == 0
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    await fake.state.reaches(cancelled=1)


async def test_a_session_resumed_in_time_is_kept(chat_backend: OpenBackend) -> None:
    o = await chat_backend(ttl=300)
    session, reader = o.session()
    session.remove_outbox(reader.outbox)
    o.clock.pass_seconds(299)
    found = o.store.find(session.id, person("me"))
    assert found is session
    found.add_outbox(Reader().outbox)
    o.clock.pass_seconds(1000)
    await o.store.expire()
    assert o.store.find(session.id, person("me")) is session


async def test_a_session_in_which_nothing_was_said_is_not_retained(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend()
    session, reader = o.session()
    o.store.discard_if_empty(session)
    assert len(o.store) == 1
    session.remove_outbox(reader.outbox)
    o.store.discard_if_empty(session)
    assert len(o.store) == 0


async def test_sessions_are_limited(chat_backend: OpenBackend) -> None:
    o = await chat_backend(sessions=1)
    o.session()
    with pytest.raises(ServerFull, match="holds 1 sessions"):
        o.session()


async def test_at_the_end_answers_may_finish_and_the_rest_is_interrupted(
    chat_backend: OpenBackend,
) -> None:
    o = await chat_backend(FakeRunner(hold_after=1))
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g1"))
    closing = asyncio.create_task(o.service.close(grace_seconds=20))
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDown):
        session.generate(ask("a"))
    with pytest.raises(ShuttingDown):
        o.store.create("me")
    fake = o.stage.runner.server("a").fake
    assert fake is not None
    fake.state.release()
    await closing
    assert (await reader.end("g1")).finish_reason == "length"


async def test_closing_interrupts_unfinished_answers(chat_backend: OpenBackend) -> None:
    o = await chat_backend(FakeRunner(hold_after=1))
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g1"))
    await o.service.close(grace_seconds=0.01)
    end = await reader.end("g1")
    assert (end.finish_reason, end.seq) == ("interrupted", 1)
