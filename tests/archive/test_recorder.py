"""Answers stored while they are written: what a crash leaves, and what a full disk does."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest

from server.core.errors import UnknownConversation
from tests.support.shelf import CEILING_SECONDS, Shelf, shelf, write


async def crash(kept: Shelf, place: Path) -> Path:
    """Return the file as a kill -9 would leave it now."""
    place.mkdir()
    for name in ("", "-wal"):
        shutil.copy(f"{kept.path}{name}", place / f"kept{name}")
    return place / "kept"


async def test_after_a_crash_the_text_is_there_and_marked_interrupted(
    kept: Shelf, tmp_path: Path
) -> None:
    name = await kept.begin()
    log = await kept.ask(name, "Why is the sea salt?")
    for words in ("Rivers bring", "salt and", "the sun takes water"):
        write(log, words)
        await kept.archive.recorder.flush()
    write(log, "this was not stored yet")
    async with shelf(await crash(kept, tmp_path / "later")) as later:
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


async def test_what_comes_while_it_is_stored_is_stored_next_and_once(kept: Shelf) -> None:
    name = await kept.begin()
    log = await kept.ask(name)
    for number in range(60):
        write(log, f"word{number}")
        if number % 7 == 0:
            await kept.archive.recorder.flush()
            (answer,) = (await kept.load(name)).answers
            assert answer.text == log.text
    write(log, "end", ends=True)
    (answer,) = (await kept.load(name)).answers
    assert answer.text == log.text
    assert kept.rows("SELECT count(*) FROM piece") == [(0,)]


async def test_an_answer_costs_the_same_at_its_end_as_at_its_start(kept: Shelf) -> None:
    name = await kept.begin()
    log = await kept.ask(name)
    for _ in range(50):
        write(log, "word " * 20)
        await kept.archive.recorder.flush()
    lengths = [length for (length,) in kept.rows("SELECT length(text) FROM piece ORDER BY seq")]
    assert lengths == [100] * 50
    write(log, "", ends=True)


async def test_a_full_disk_is_said_once_and_nothing_is_lost(file: Path) -> None:
    async with shelf(file, file_bytes=400_000) as kept:
        told: list[str] = []
        name, large = await kept.begin(), await kept.begin(title="Large")
        kept.archive.recorder.subscribe(lambda keeping: told.append(keeping.state))
        log = await kept.ask(name)
        write(log, "before")
        await kept.archive.recorder.flush()
        filler = await kept.ask(large, "filler " * 60_000)
        failing = await kept.until("failing")
        assert failing.error is not None
        assert failing.error.code == "storage_failed"
        assert "make room" in (failing.error.hint or "")
        write(log, "while it was full", ends=True)
        (answer,) = (await kept.load(name)).answers
        assert answer.text == "before "
        assert told == ["failing"]
        await kept.archive.delete("me", large, forever=True)
        await kept.until("on")
        (answer,) = (await kept.load(name)).answers
        assert (answer.text, answer.finish_reason) == ("before while it was full ", "stop")
        assert told == ["failing", "on"]
        write(filler, "", ends=True)


async def test_a_database_that_another_program_holds_is_waited_for(
    kept: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await kept.begin()
    log = await kept.ask(name)
    other = sqlite3.connect(kept.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write(log, "written while it was held", ends=True)
    failing = await kept.until("failing")
    assert failing.error is not None
    assert "another program" in failing.error.message
    other.execute("COMMIT")
    other.close()
    await kept.until("on")
    (answer,) = (await kept.load(name)).answers
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

    async with shelf(file) as kept:
        log = await kept.ask(await kept.begin())
        recorder = kept.archive.recorder
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
    assert kept.rows("SELECT text, finish_reason FROM answer") == [(log.text, "stop")]
    assert "not stored" not in caplog.text


async def test_a_reader_who_leaves_while_it_is_stored_costs_nobody_a_word(
    kept: Shelf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = await kept.begin()
    kept.archive.recorder._task.cancel()  # nobody but readers stores anything
    writer = kept.archive._database._writer
    execute = writer.execute_fetchall
    commits: list[str] = []

    async def leave_at_commit(sql: str, *values: object) -> object:
        if sql == "COMMIT" and not commits:
            commits.append(sql)
            asyncio.get_running_loop().call_soon(reading.cancel)
        return await execute(sql, *values)

    monkeypatch.setattr(writer, "execute_fetchall", leave_at_commit)
    log = await kept.ask(name)
    write(log, "the first words")
    reading = asyncio.create_task(kept.load(name))
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert commits
    write(log, "and all the others", ends=True)
    (answer,) = (await kept.load(name)).answers
    assert (answer.text, answer.finish_reason) == (log.text, "stop")
    assert "cannot be stored" not in caplog.text


async def test_one_answer_that_cannot_be_stored_does_not_hold_up_the_others(
    kept: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    doomed, spared = await kept.begin(), await kept.begin()
    bad, good = await kept.ask(doomed), await kept.ask(spared)
    # As no one but a bug could: the conversation is gone from under an answer.
    async with kept.archive._database.change() as transaction:
        await transaction.run("DELETE FROM conversation WHERE id = ?", (doomed,))
    write(bad, "lost")
    write(good, "kept", ends=True)
    await kept.archive.recorder.flush()
    (answer,) = (await kept.load(spared)).answers
    assert answer.text == "kept "
    assert "cannot be stored" in caplog.text
    assert not kept.archive.recorder.followed
    write(bad, "", ends=True)


async def test_tokens_are_kept_where_they_were_asked_for(kept: Shelf) -> None:
    name = await kept.begin()
    write(await kept.ask(name, keeps_tokens=True), "one two", ends=True)
    write(await kept.ask(name), "three", ends=True)
    with_tokens, without = (await kept.load(name)).answers
    assert [token.text for token in with_tokens.tokens] == ["one ", "two "]
    assert without.tokens == []


async def test_whatever_a_model_writes_comes_back(kept: Shelf) -> None:
    name = await kept.begin()
    log = await kept.ask(name, "é\0\"'; DROP TABLE answer; --\u2028🙂")
    log.move_to("running", now_ms=1)
    odd = ["a\0b", "🙂", "\x02\x03", "<script>", "\r\n", "'"]
    log.append(odd, [], now_ms=2)
    await kept.archive.recorder.flush()
    log.append(odd, [], now_ms=3)
    log.end("stop", now_ms=4)
    conversation = await kept.load(name)
    assert conversation.answers[0].text == "".join(odd * 2)
    assert conversation.turns[0].text == "é\0\"'; DROP TABLE answer; --\u2028🙂"


async def test_a_conversation_has_an_end(file: Path) -> None:
    from server.core.errors import ConversationLimit

    async with shelf(file, conversation_chars=2000, conversations=2) as kept:
        name = await kept.begin()
        await kept.told(name, "Why?", "word " * 500)
        with pytest.raises(ConversationLimit, match="as large as one may be"):
            await kept.ask(name, "And?", turn="t2", parent="t1")
        await kept.begin()
        with pytest.raises(ConversationLimit, match="2 conversations"):
            await kept.begin()
        await kept.begin(owner="somebody else")
        await kept.archive.delete("me", name, forever=False)
        await kept.begin()
        with pytest.raises(ConversationLimit):
            await kept.archive.restore("me", name)


async def test_what_is_old_is_deleted_and_later_deleted_for_good(file: Path) -> None:
    async with shelf(file, keep_seconds=1000.0) as kept:
        old = await kept.begin(title="Old")
        await kept.told(old, "Why?", "because")
        kept.now[0] += 900
        new = await kept.begin()
        kept.now[0] += 200
        assert await kept.archive.tidy() == 0
        assert (await kept.load(old)).deleted == kept.now[0]
        assert (await kept.load(new)).deleted is None
        kept.now[0] += 61
        assert await kept.archive.tidy() == 1
        with pytest.raises(UnknownConversation):
            await kept.load(old)
        for table in ("turn", "answer", "message", "piece", "tokens", "search"):
            assert kept.rows(f"SELECT count(*) FROM {table}") == [(0,)], table


async def test_nobody_sees_or_changes_what_is_anothers(kept: Shelf) -> None:
    from server.archive.shapes import Change, VoteGiven

    name = await kept.begin(title="Mine")
    await kept.told(name, "secret question", "secret answer")
    archive = kept.archive
    for attempt in (
        archive.load("other", name, is_full=True),
        archive.tokens("other", name, "a_1"),
        archive.change("other", name, Change(title="Theirs")),
        archive.delete("other", name, forever=True),
        archive.restore("other", name),
        archive.vote("other", name, "t1", VoteGiven("bad")),
        kept.ask(name, owner="other"),
    ):
        with pytest.raises(UnknownConversation):
            await attempt
    for words in ("", "secret", "Mine"):
        listing = await archive.browse("other", words=words, deleted=False, before="", limit=9)
        assert listing.conversations == []
    assert (await kept.load(name)).title == "Mine"


async def test_a_model_that_has_gone_from_the_settings_is_no_reason_to_store_nothing(
    kept: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept.archive.recorder, "_describe", lambda _: None)
    name = await kept.begin()
    await kept.told(name, "Why?", "because")
    (answer,) = (await kept.load(name)).answers
    assert (answer.text, answer.engine) == ("because ", None)


async def test_what_breaks_in_an_unforeseen_way_is_said_and_tried_again(
    kept: Shelf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: str) -> None:
        raise ZeroDivisionError

    name = await kept.begin()
    with monkeypatch.context() as patch:
        patch.setattr(kept.archive.recorder, "_describe", broken)
        log = await kept.ask(name)
        write(log, "written all the same", ends=True)
        await kept.until("failing")
    assert "storing broke" in caplog.text
    await kept.until("on")
    (answer,) = (await kept.load(name)).answers
    assert answer.text == log.text
