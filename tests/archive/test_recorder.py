"""Answers stored while they are written: what a crash leaves, and what a full disk does."""

import asyncio
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from server.archive.shapes import StoredAnswer, StoredCall
from server.core.deltas import Label
from server.core.errors import InvalidCommand, UnknownConversation
from server.core.protocol import ToolCall
from tests.support.stored_conversations import (
    CEILING_SECONDS,
    StoredConversations,
    call,
    stored_conversations,
    think,
    write,
)


async def crash(stored: StoredConversations, place: Path) -> Path:
    """Return the file as a kill -9 would leave it now."""
    place.mkdir()
    for name in ("", "-wal"):
        shutil.copy(f"{stored.path}{name}", place / f"kept{name}")
    return place / "kept"


async def test_after_a_crash_the_text_is_there_and_marked_interrupted(
    stored: StoredConversations, tmp_path: Path
) -> None:
    name = await stored.begin()
    log = await stored.ask(name, "Why is the sea salt?")
    for words in ("Rivers bring", "salt and", "the sun takes water"):
        write(log, words)
        await stored.archive.recorder.flush()
    write(log, "this was not stored yet")
    async with stored_conversations(await crash(stored, tmp_path / "later")) as later:
        (answer,) = (await later.load(name)).answers
        assert answer.text == "Rivers bring salt and the sun takes water "
        assert (answer.state, answer.finish_reason) == ("ended", "interrupted")
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 8
        assert answer.engine is not None
        assert answer.engine.revision == "abc"
        assert later.rows("SELECT count(*) FROM piece") == [(0,)]
        found = await later.archive.browse("me", words="rivers", deleted=False, before="", limit=5)
        assert [summary.id for summary in found.conversations] == [name]
    write(log, "", ends=True)


async def test_thinking_and_calls_are_kept_apart_from_the_answer(
    stored: StoredConversations, tmp_path: Path
) -> None:
    """While they are written, when they have ended, and when the gateway is killed."""
    name = await stored.begin()
    weather = ToolCall(0, "weather", "call_1")
    log = await stored.ask(name, keeps_tokens=True)
    seen = []

    async def look() -> StoredAnswer:
        (answer,) = (await stored.load(name)).answers
        seen.append((answer.reasoning, answer.text, [each.arguments for each in answer.tool_calls]))
        return answer

    think(log, "First this,", closes=False)
    await look()
    think(log, "then that.")
    await look()
    write(log, "I look")
    await look()
    call(log, weather, '{"city":', closes=False)
    await look()
    log.append(["1}"], [], now_ms=2, label=Label("tool_call", call=weather))
    await look()
    call(log, ToolCall(1, "now"))
    await look()
    write(log, "it up.")
    answer = await look()
    assert seen == [
        ("First this, ", "", []),
        ("First this, then that. ", "", []),
        ("First this, then that. ", "I look ", []),
        ("First this, then that. ", "I look ", ['{"city":']),
        ("First this, then that. ", "I look ", ['{"city":1}']),
        ("First this, then that. ", "I look ", ['{"city":1}', ""]),
        ("First this, then that. ", "I look it up. ", ['{"city":1}', ""]),
    ]
    async with stored_conversations(await crash(stored, tmp_path / "later")) as later:
        (cut,) = (await later.load(name)).answers
    write(log, "", ends=True)
    (whole,) = (await stored.load(name)).answers
    for kept in (cut, whole):
        assert (kept.reasoning, kept.text, kept.tool_calls) == (
            answer.reasoning,
            answer.text,
            [StoredCall(0, "call_1", "weather", '{"city":1}'), StoredCall(1, "", "now", "")],
        )
    assert {token.kind for token in whole.tokens} == {"answer", "reasoning", "tool_call"}
    assert stored.rows("SELECT count(*) FROM piece") == [(0,)]
    assert stored.rows("SELECT size FROM conversation") == [
        (len("Why?" * 2) + len("First this, then that. I look it up. ") + len('{"city":1}'),)
    ]


async def test_an_answer_of_thinking_alone_has_no_text(stored: StoredConversations) -> None:
    name = await stored.begin()
    log = await stored.ask(name)
    think(log, "On and on", closes=False)
    log.end("length", now_ms=3)
    (answer,) = (await stored.load(name)).answers
    assert (answer.text, answer.reasoning) == ("", "On and on ")


async def test_deltas_that_arrive_between_flushes_are_stored_exactly_once(
    stored: StoredConversations,
) -> None:
    name = await stored.begin()
    log = await stored.ask(name)
    for number in range(60):
        write(log, f"word{number}")
        if number % 7 == 0:
            await stored.archive.recorder.flush()
            (answer,) = (await stored.load(name)).answers
            assert answer.text == log.text
    write(log, "end", ends=True)
    (answer,) = (await stored.load(name)).answers
    assert answer.text == log.text
    assert stored.rows("SELECT count(*) FROM piece") == [(0,)]


async def test_an_answer_costs_the_same_at_its_end_as_at_its_start(
    stored: StoredConversations,
) -> None:
    name = await stored.begin()
    log = await stored.ask(name)
    for _ in range(50):
        write(log, "word " * 20)
        await stored.archive.recorder.flush()
    lengths = [length for (length,) in stored.rows("SELECT length(text) FROM piece ORDER BY seq")]
    assert lengths == [100] * 50
    write(log, "", ends=True)


async def test_a_full_disk_is_said_once_and_nothing_is_lost(file: Path) -> None:
    async with stored_conversations(file, file_bytes=400_000) as stored:
        told: list[str] = []
        name, large = await stored.begin(), await stored.begin(title="Large")
        stored.archive.recorder.subscribe(lambda keeping: told.append(keeping.state))
        log = await stored.ask(name)
        write(log, "before")
        await stored.archive.recorder.flush()
        filler = await stored.ask(large, "filler " * 60_000)
        failing = await stored.until("failing")
        assert failing.error is not None
        assert failing.error.code == "storage_failed"
        assert "make room" in (failing.error.hint or "")
        write(log, "while it was full", ends=True)
        (answer,) = (await stored.load(name)).answers
        assert answer.text == "before "
        assert told == ["failing"]
        await stored.archive.delete("me", large, forever=True)
        await stored.until("on")
        (answer,) = (await stored.load(name)).answers
        assert (answer.text, answer.finish_reason) == ("before while it was full ", "stop")
        assert told == ["failing", "on"]
        write(filler, "", ends=True)


async def test_a_database_that_another_program_holds_is_waited_for(
    stored: StoredConversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await stored.begin()
    log = await stored.ask(name)
    other = sqlite3.connect(stored.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write(log, "written while it was held", ends=True)
    failing = await stored.until("failing")
    assert failing.error is not None
    assert "another program" in failing.error.message
    other.execute("COMMIT")
    other.close()
    await stored.until("on")
    (answer,) = (await stored.load(name)).answers
    assert answer.text == log.text


async def test_a_gateway_that_stops_while_it_stores_loses_nothing(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(file, isolation_level=None)

    def release(after_steps: int) -> None:
        if after_steps:
            asyncio.get_running_loop().call_soon(release, after_steps - 1)
            return
        other.execute("COMMIT")
        other.close()

    async with stored_conversations(file) as stored:
        log = await stored.ask(await stored.begin())
        recorder = stored.archive.recorder
        await recorder.flush()
        flush, begun = recorder._flush, asyncio.Event()

        async def noted() -> None:
            begun.set()
            await flush()

        monkeypatch.setattr(recorder, "_flush", noted)
        other.execute("BEGIN IMMEDIATE")
        write(log, "written in the last moment", ends=True)
        await asyncio.wait_for(begun.wait(), CEILING_SECONDS)
        for _ in range(20):  # more than it takes to begin
            await asyncio.sleep(0)
        release(after_steps=20)  # the end of the block has come to where it waits
    assert stored.rows("SELECT text, finish_reason FROM answer") == [(log.text, "stop")]
    assert "not stored" not in caplog.text


async def test_a_reader_who_leaves_while_it_is_stored_costs_nobody_a_word(
    stored: StoredConversations, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = await stored.begin()
    stored.archive.recorder._task.cancel()  # nobody but readers stores anything
    writer = stored.archive._database._writer
    execute = writer.execute_fetchall
    commits: list[str] = []

    async def leave_at_commit(sql: str, *values: object) -> object:
        if sql == "COMMIT" and not commits:
            commits.append(sql)
            asyncio.get_running_loop().call_soon(reading.cancel)
        return await execute(sql, *values)

    monkeypatch.setattr(writer, "execute_fetchall", leave_at_commit)
    log = await stored.ask(name)
    write(log, "the first words")
    reading = asyncio.create_task(stored.load(name))
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert commits
    write(log, "and all the others", ends=True)
    (answer,) = (await stored.load(name)).answers
    assert (answer.text, answer.finish_reason) == (log.text, "stop")
    assert "cannot be stored" not in caplog.text


async def test_one_answer_that_cannot_be_stored_does_not_hold_up_the_others(
    stored: StoredConversations, caplog: pytest.LogCaptureFixture
) -> None:
    doomed, spared = await stored.begin(), await stored.begin()
    bad, good = await stored.ask(doomed), await stored.ask(spared)
    # As no one but a bug could: the conversation is gone from under an answer.
    async with stored.archive._database.write() as transaction:
        await transaction.run("DELETE FROM conversation WHERE id = ?", (doomed,))
    write(bad, "lost")
    write(good, "kept", ends=True)
    await stored.archive.recorder.flush()
    (answer,) = (await stored.load(spared)).answers
    assert answer.text == "kept "
    assert "cannot be stored" in caplog.text
    assert not stored.archive.recorder.turns_of_unfinished()
    write(bad, "", ends=True)


async def test_tokens_are_kept_where_they_were_asked_for(stored: StoredConversations) -> None:
    name = await stored.begin()
    write(await stored.ask(name, keeps_tokens=True), "one two", ends=True)
    write(await stored.ask(name), "three", ends=True)
    with_tokens, without = (await stored.load(name)).answers
    assert [token.text for token in with_tokens.tokens] == ["one ", "two "]
    assert without.tokens == []


async def test_whatever_a_model_writes_comes_back(stored: StoredConversations) -> None:
    name = await stored.begin()
    log = await stored.ask(name, "é\0\"'; DROP TABLE answer; --\u2028🙂")
    log.move_to("running", now_ms=1)
    odd = ["a\0b", "🙂", "\x02\x03", "<script>", "\r\n", "'"]
    log.append(odd, [], now_ms=2)
    await stored.archive.recorder.flush()
    log.append(odd, [], now_ms=3)
    log.end("stop", now_ms=4)
    conversation = await stored.load(name)
    assert conversation.answers[0].text == "".join(odd * 2)
    assert conversation.turns[0].text == "é\0\"'; DROP TABLE answer; --\u2028🙂"


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize(
    ("turn", "parent", "reference", "field"),
    [
        ("t2", "t1", "continues", "$.targets[0].continues"),
        ("t3", "t2", "history", "$.record.history"),
        ("t3", None, "history", "$.record.history"),
    ],
)
async def test_an_answer_of_another_turn_is_refused(
    stored: StoredConversations,
    is_finished: bool,
    turn: str,
    parent: str | None,
    reference: str,
    field: str,
) -> None:
    name = await stored.begin()
    log = await stored.ask(name)
    await stored.told(name, "And?", "Or not", turn="t2", parent="t1")
    write(log, "because", ends=is_finished)
    first, _ = (await stored.load(name)).answers
    references: dict[str, Any] = {reference: first.id}
    with pytest.raises(InvalidCommand, match=re.escape(field)) as refused:
        await stored.ask(name, turn=turn, parent=parent, **references)
    assert f"{first.id!r} is no answer of " in str(refused.value)
    await stored.told(name, "More", "said", continues=first.id)
    await stored.told(name, "Then?", "that", turn="t4", parent="t1", history=first.id)
    assert len((await stored.load(name)).answers) == 4
    if not is_finished:
        write(log, "", ends=True)


async def test_a_conversation_has_an_end(file: Path) -> None:
    from server.core.errors import ConversationLimit

    async with stored_conversations(file, conversation_chars=2000, conversations=2) as stored:
        name = await stored.begin()
        await stored.told(name, "Why?", "word " * 500)
        with pytest.raises(ConversationLimit, match="as large as one may be"):
            await stored.ask(name, "And?", turn="t2", parent="t1")
        await stored.begin()
        with pytest.raises(ConversationLimit, match="2 conversations"):
            await stored.begin()
        await stored.begin(owner="somebody else")
        await stored.archive.delete("me", name, forever=False)
        await stored.begin()
        with pytest.raises(ConversationLimit):
            await stored.archive.restore("me", name)


async def test_old_conversations_expire_and_are_later_deleted_for_good(file: Path) -> None:
    async with stored_conversations(file, keep_seconds=1000.0) as stored:
        old = await stored.begin(title="Old")
        await stored.told(old, "Why?", "because", reasoning="well")
        stored.now[0] += 900
        new = await stored.begin()
        stored.now[0] += 200
        assert await stored.archive.delete_expired() == 0
        assert (await stored.load(old)).deleted == stored.now[0]
        assert (await stored.load(new)).deleted is None
        stored.now[0] += 61
        assert await stored.archive.delete_expired() == 1
        with pytest.raises(UnknownConversation):
            await stored.load(old)
        for table in ("turn", "answer", "message", "piece", "tokens", "search", "search_reasoning"):
            assert stored.rows(f"SELECT count(*) FROM {table}") == [(0,)], table


async def test_conversations_of_others_can_be_neither_read_nor_changed(
    stored: StoredConversations,
) -> None:
    from server.archive.shapes import Change, VoteGiven

    name = await stored.begin(title="Mine")
    await stored.told(name, "secret question", "secret answer")
    archive = stored.archive
    for attempt in (
        archive.load("other", name, is_full=True),
        archive.tokens("other", name, "a_1"),
        archive.change("other", name, Change(title="Theirs")),
        archive.delete("other", name, forever=True),
        archive.restore("other", name),
        archive.votes.give("other", name, "t1", VoteGiven("bad")),
        stored.ask(name, owner="other"),
    ):
        with pytest.raises(UnknownConversation):
            await attempt
    for words in ("", "secret", "Mine"):
        listing = await archive.browse("other", words=words, deleted=False, before="", limit=9)
        assert listing.conversations == []
    assert (await stored.load(name)).title == "Mine"


async def test_a_model_that_has_gone_from_the_settings_is_no_reason_to_store_nothing(
    stored: StoredConversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored.archive.recorder, "_describe", lambda _: None)
    name = await stored.begin()
    await stored.told(name, "Why?", "because")
    (answer,) = (await stored.load(name)).answers
    assert (answer.text, answer.engine) == ("because ", None)


async def test_unexpected_errors_while_storing_are_logged_and_retried(
    stored: StoredConversations, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: str) -> None:
        raise ZeroDivisionError

    name = await stored.begin()
    with monkeypatch.context() as patch:
        patch.setattr(stored.archive.recorder, "_describe", broken)
        log = await stored.ask(name)
        write(log, "written all the same", ends=True)
        await stored.until("failing")
    assert "storing broke" in caplog.text
    await stored.until("on")
    (answer,) = (await stored.load(name)).answers
    assert answer.text == log.text
