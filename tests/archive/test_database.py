"""The file: refused and left alone when it is not sound, brought up when it is older."""

import asyncio
import hashlib
import logging
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from server.archive.schema import APPLICATION_ID, MIGRATIONS, SCHEMA, VERSION
from server.core.errors import StorageFailed
from server.core.protocol import Cost, Notice, Usage
from server.storage.database import Database, UnusableFile
from tests.support.stored_conversations import (
    CEILING_SECONDS,
    StoredConversations,
    stored_conversations,
    write,
)

ROOM = 1 << 30


async def refusal(path: Path) -> str:
    """Return why a file is refused; it is as it was."""
    before = path.read_bytes()
    with pytest.raises(UnusableFile) as refused:
        await Database.open(path, SCHEMA, max_bytes=ROOM)
    assert path.read_bytes() == before
    assert sorted(other.name for other in path.parent.iterdir()) == ["kept", "kept.lock"]
    return str(refused.value)


async def fill(path: Path) -> None:
    """Make a file with a long conversation in it."""
    async with stored_conversations(path) as opened:
        name = await opened.begin()
        for number in range(40):
            await opened.told(name, f"Question {number}", "word " * 400, turn=f"t{number}")


def change(path: Path, statement: str) -> None:
    """Change the file as another program would."""
    with sqlite3.connect(path) as other:
        other.execute(statement)
    other.close()


async def test_a_damaged_file_is_refused_and_left_as_it_is(file: Path) -> None:
    await fill(file)
    with file.open("r+b") as opened:
        opened.seek(4096 * 3)
        opened.write(os.urandom(4096 * 20))
    assert "is damaged" in await refusal(file)


async def test_a_file_cut_off_in_the_middle_is_refused(file: Path) -> None:
    await fill(file)
    os.truncate(file, 4096 * 5)
    assert "is damaged" in await refusal(file)


async def test_a_file_that_is_no_database_is_refused(file: Path) -> None:
    file.write_text("Dear diary, " * 1000)
    assert "is damaged" in await refusal(file)


async def test_another_programs_database_is_refused(file: Path) -> None:
    change(file, "CREATE TABLE bookmarks (address TEXT)")
    assert "another program" in await refusal(file)


async def test_a_newer_file_is_refused_with_the_way_out(file: Path) -> None:
    await fill(file)
    change(file, f"PRAGMA user_version = {VERSION + 1}")
    told = await refusal(file)
    assert "newer Sidestream" in told
    assert "`file` in [conversations]" in told


async def test_a_file_that_another_gateway_has_is_refused(stored: StoredConversations) -> None:
    with pytest.raises(UnusableFile, match="used by another gateway"):
        await Database.open(stored.path, SCHEMA, max_bytes=ROOM)
    assert await stored.begin()


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "PRAGMA locking_mode = exclusive", "delete"])
async def test_a_file_that_is_locked_for_a_while_is_waited_for(
    file: Path, lock: str, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(file)
    other = sqlite3.connect(file, isolation_level=None)
    if lock == "delete":  # as a program that copies or compacts the file has it
        other.execute("PRAGMA journal_mode = delete")
        other.execute("BEGIN EXCLUSIVE")
    else:
        other.execute(lock)
        if not lock.startswith("BEGIN"):
            other.execute("BEGIN IMMEDIATE")
    before = file.read_bytes()
    with pytest.raises(UnusableFile, match=r"locked by another program.*The file itself is as it"):
        await Database.open(file, SCHEMA, max_bytes=ROOM, patience_seconds=0.0)
    assert file.read_bytes() == before
    told = asyncio.Event()

    class Telling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            loop.call_soon_threadsafe(told.set)

    loop, telling = asyncio.get_running_loop(), Telling()
    logging.getLogger("server.storage.database").addHandler(telling)
    opening = asyncio.create_task(Database.open(file, SCHEMA, max_bytes=ROOM))
    async with asyncio.timeout(CEILING_SECONDS):
        await told.wait()
    assert not opening.done()
    other.rollback()
    other.close()
    async with asyncio.timeout(CEILING_SECONDS):
        database = await opening
    logging.getLogger("server.storage.database").removeHandler(telling)
    assert "waiting for it, for 60 s at most" in caplog.text
    async with database.write() as transaction:
        assert await transaction.rows("SELECT count(*) FROM conversation") == [(1,)]
    await database.close()


async def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "wall").write_text("")
    with pytest.raises(UnusableFile, match=r"wall/kept cannot be opened: .*`enabled = no`"):
        await Database.open(tmp_path / "wall" / "kept", SCHEMA, max_bytes=ROOM)


async def test_only_its_owner_may_read_it(stored: StoredConversations) -> None:
    await stored.begin()
    for name in ("", "-wal", "-shm"):
        assert Path(f"{stored.path}{name}").stat().st_mode & 0o077 == 0


async def test_a_file_of_the_first_version_is_brought_up_with_what_is_in_it(file: Path) -> None:
    first = sqlite3.connect(file)
    first.executescript(MIGRATIONS[0])
    first.execute(
        "INSERT INTO conversation VALUES (1, 'c_old', 'me', 'Old', 1, 2, NULL, '[]', '{}', 0)"
    )
    first.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    first.execute("PRAGMA user_version = 1")
    first.commit()
    first.close()
    later = "ALTER TABLE conversation ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';\n"
    database = await Database.open(
        file, replace(SCHEMA, migrations=[MIGRATIONS[0], later]), max_bytes=ROOM
    )
    async with database.read() as seen:
        assert await seen.rows("SELECT id, colour FROM conversation") == [("c_old", "red")]
        assert await seen.row("PRAGMA user_version") == (2,)
    await database.close()
    copy = sqlite3.connect(f"{file}.v1")
    assert copy.execute("PRAGMA user_version").fetchone() == (1,)
    assert copy.execute("SELECT title FROM conversation").fetchone() == ("Old",)
    copy.close()


async def test_answers_of_before_there_were_remarks_are_read_and_others_stand_beside_them(
    file: Path,
) -> None:
    first = sqlite3.connect(file)
    first.executescript(MIGRATIONS[0])
    first.executescript(
        """
        INSERT INTO conversation VALUES
            (1, 'c_old', 'me', 'Old', 1, 2, NULL, '[{"id": "a", "model": "m"}]', '{}', 9);
        INSERT INTO turn VALUES (1, 1, 't1', NULL, NULL, 'Why?', 1, NULL);
        INSERT INTO answer VALUES
            (1, 1, 'a_old', 't1', 'a', 'm', 1, 'ended', 2, 'Because.', 'stop',
             '{"parameters": {"seed": 1}, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}');
        """
    )
    first.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    first.execute("PRAGMA user_version = 1")
    first.commit()
    first.close()
    remark = Notice("parameter_left_out", "`min_p` is not taken")
    async with stored_conversations(file) as opened:
        log = await opened.ask("c_old", "And?", turn="t2", parent="t1")
        write(log, "Or not", ends=True, notices=[remark], answered_by="One", cost=Cost(0.5))
        old, new = (await opened.load("c_old")).answers
    assert (old.text, old.usage) == ("Because.", Usage(3, 2))
    assert (old.notices, old.details, old.answered_by, old.cost) == ([], {}, "", None)
    assert (new.notices, new.answered_by, new.cost) == ([remark], "One", Cost(0.5))
    assert sqlite3.connect(file).execute("PRAGMA user_version").fetchone() == (VERSION,)


async def test_answers_of_before_thinking_was_told_apart_keep_their_text(file: Path) -> None:
    """Those that had ended, and those that the last gateway left in the middle."""
    second = sqlite3.connect(file)
    second.executescript(MIGRATIONS[0])
    second.executescript(
        """
        INSERT INTO conversation VALUES (1, 'c_old', 'me', 'Old', 1, 2, NULL, '[]', '{}', 9);
        INSERT INTO turn VALUES (1, 1, 't1', NULL, NULL, 'Why?', 1, NULL);
        INSERT INTO answer VALUES
            (1, 1, 'a_1', 't1', NULL, 'm', 1, 'ended', 2, '<think>Hm</think>So.', 'stop', '{}'),
            (2, 1, 'a_2', 't1', NULL, 'm', 1, 'running', 0, '', NULL, '{}');
        INSERT INTO piece VALUES (2, 1, '<think>'), (2, 2, 'Well');
        INSERT INTO search (rowid, text) VALUES (5, '<think>Hm</think>So.');
        """
    )
    second.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    second.execute("PRAGMA user_version = 1")
    second.commit()
    second.close()
    async with stored_conversations(file) as opened:
        old, cut = (await opened.load("c_old")).answers
        found = await opened.archive.browse("me", words="hm", deleted=False, before="", limit=9)
        assert [summary.id for summary in found.conversations] == ["c_old"]
    assert (old.text, old.reasoning, old.tool_calls) == ("<think>Hm</think>So.", "", [])
    assert (cut.text, cut.reasoning, cut.finish_reason) == ("<think>Well", "", "interrupted")


async def test_older_databases_are_indexed_again_for_search_in_every_script(file: Path) -> None:
    """The words of the third version were those between spaces."""
    third = sqlite3.connect(file)
    for script in MIGRATIONS[:3]:
        third.executescript(script)
    third.executescript(
        """
        INSERT INTO conversation VALUES
            (1, 'c_old', 'me', 'Die Straße', 1, 2, NULL, '[{"id": "a", "model": "m"}]', '{}', 9);
        INSERT INTO turn (number, conversation, id, text, created) VALUES (1, 1, 't1', '東京都', 1);
        INSERT INTO answer (number, conversation, id, turn, place, model, created, state, seq, text,
            reasoning, facts)
            VALUES (1, 1, 'a_1', 't1', 'a', 'm', 1, 'ended', 2, '行きました', '大阪かな', '{}'),
                (2, 1, 'a_2', 't1', 'a', 'm', 1, 'running', 0, '', '', '{}');
        INSERT INTO piece (answer, seq, text) VALUES (2, 1, '北海道');
        INSERT INTO search (rowid, text) VALUES (3, 'Die Straße'), (4, '東京都'), (5, '行きました');
        INSERT INTO search_reasoning (rowid, text) VALUES (1, '大阪かな');
        """
    )
    third.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    third.execute("PRAGMA user_version = 3")
    third.commit()
    third.close()
    async with stored_conversations(file) as opened:
        archive = opened.archive
        for words, part in (
            ("京都", "prompt"),
            ("ました", "answer"),
            ("海道", "answer"),
            ("阪か", "thinking"),
            ("strasse", "title"),
        ):
            (found,) = (await archive.browse("me", words=words, with_reasoning=True)).conversations
            assert found.found_in is not None
            assert found.found_in.part == part
        assert (found.pinned, found.tags) == (False, [])
        await archive.delete("me", "c_old", forever=True)
        assert (await archive.browse("me", words="京都")).conversations == []
    assert sqlite3.connect(f"{file}.v3").execute("SELECT text FROM turn").fetchone() == ("東京都",)


async def test_a_step_up_that_fails_leaves_the_file_in_its_version(file: Path) -> None:
    await fill(file)
    steps = [*MIGRATIONS, "CREATE TABLE fine (x);\nCREATE TABLE fine (x);\n"]
    with pytest.raises(UnusableFile, match="already exists"):
        await Database.open(file, replace(SCHEMA, migrations=steps), max_bytes=ROOM)
    async with stored_conversations(file) as opened:
        listing = await opened.archive.browse("me", words="", deleted=False, before="", limit=9)
        assert len(listing.conversations) == 1
    assert sqlite3.connect(file).execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_released_migrations_are_unchanged() -> None:
    """A file out there was made by these very words: a change is another step."""
    digests = [hashlib.sha256(script.encode()).hexdigest()[:16] for script in MIGRATIONS]
    assert digests == [
        "ddc9ea4cf2c7c14b",
        "3a76a50cd4d40c84",
        "835f37d178166ef1",
        "e1a73f667a026b92",
        "d681da0f90dfefbf",
        "fa4f0348461b18d5",
    ]


async def test_a_change_that_breaks_off_has_not_happened(file: Path) -> None:
    database = await Database.open(file, SCHEMA, max_bytes=ROOM)

    async def begin_and(statement: str) -> None:
        async with database.write() as transaction:
            await transaction.run("INSERT INTO search (rowid, text) VALUES (1, 'x')")
            await transaction.run(statement)

    async def begin_and_be_cancelled() -> None:
        async with database.write() as transaction:
            await transaction.run("INSERT INTO search (rowid, text) VALUES (2, 'y')")
            raise asyncio.CancelledError

    try:
        with pytest.raises(StorageFailed):
            await begin_and("INSERT INTO nowhere VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError):
            await begin_and("INSERT INTO piece (answer, seq, text) VALUES (1, 1, 'of no answer')")
        with pytest.raises(asyncio.CancelledError):
            await begin_and_be_cancelled()
        async with database.read() as seen:
            assert await seen.rows("SELECT text FROM search") == []
    finally:
        await database.close()


async def test_a_change_that_is_cancelled_before_it_began_leaves_nothing_open(file: Path) -> None:
    database = await Database.open(file, SCHEMA, max_bytes=ROOM)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def change_nothing() -> None:
        async with database.write():
            raise AssertionError("the other program still has the file")

    changing = asyncio.create_task(change_nothing())
    await asyncio.sleep(0)  # its BEGIN waits in its thread now
    changing.cancel()
    for _ in range(20):  # more than it takes to come to where it waits for the thread
        await asyncio.sleep(0)
    other.execute("COMMIT")
    other.close()
    with pytest.raises(asyncio.CancelledError):
        await changing
    async with database.write() as transaction:
        assert await transaction.rows("SELECT count(*) FROM conversation") == [(0,)]
    await database.close()
