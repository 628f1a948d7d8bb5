"""One SQLite file: opened only if it is sound, written by one connection, read by another.

Rules:

1. A file is looked at before it may be changed. One that is damaged, newer than this program or
   somebody else's is refused and left as it is.
2. One process has the file: a lock beside it says so and dies with its holder.
3. Changes are made one transaction at a time. Reading sees one moment and holds up no writing.
4. Errors of SQLite become ours here, and nowhere else.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiosqlite

from server.archive.schema import APPLICATION_ID, MIGRATIONS
from server.core.errors import StorageFailed

Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any]

# Another program that only looks at the file is done by then.
_BUSY_SECONDS: Final = 5.0
_PAGE_BYTES: Final = 4096
_MAX_WAL_BYTES: Final = 64 << 20


class UnusableFile(Exception):
    """The file cannot be taken as it is; the message says why and what can be done."""


class Transaction:
    """What can be done within one transaction."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Return all rows of a query."""
        return [tuple(row) for row in await self._connection.execute_fetchall(sql, values)]

    async def row(self, sql: str, values: Values = ()) -> Row | None:
        """Return the first row of a query, if there is one."""
        found = await self.rows(sql, values)
        return found[0] if found else None

    async def run(self, sql: str, values: Values = ()) -> None:
        """Carry out one statement."""
        await self._connection.execute_fetchall(sql, values)

    async def run_each(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Carry out one statement with each of these values."""
        several = list(values)
        if several:
            async with self._connection.executemany(sql, several):
                pass


class Database:
    """The file, open."""

    def __init__(
        self, lock: int, writer: aiosqlite.Connection, reader: aiosqlite.Connection
    ) -> None:
        self._lock = lock
        self._writer = writer
        self._reader = reader
        self._writing = asyncio.Lock()
        self._reading = asyncio.Lock()

    @classmethod
    async def open(
        cls, path: Path, *, max_bytes: int, migrations: Sequence[str] = MIGRATIONS
    ) -> "Database":
        """Open the file, made if there is none, brought up if it is older.

        Raises `UnusableFile`.
        """
        connections: list[aiosqlite.Connection] = []
        lock = _take(path)
        try:
            await _inspect(path, len(migrations))
            connections.append(writer := await _connect(path, "rw"))
            connections.append(reader := await _connect(path, "ro"))
            await _prepare(writer, path, max_bytes, migrations)
            await reader.execute_fetchall("PRAGMA query_only = on")
        except BaseException as error:
            for connection in connections:
                await connection.close()
            os.close(lock)
            if isinstance(error, sqlite3.Error):
                raise UnusableFile(f"{path} cannot be used: {error}") from None
            raise
        return cls(lock, writer, reader)

    @asynccontextmanager
    async def change(self) -> AsyncIterator[Transaction]:
        """Make changes that happen all or not at all; raises `StorageFailed`.

        An `sqlite3.IntegrityError` says that what is written contradicts what is there, and is
        left to the caller. Cancelled, nothing has happened, unless it was being committed.
        """
        async with self._writing, _within(self._writer, "BEGIN IMMEDIATE") as transaction:
            yield transaction

    @asynccontextmanager
    async def look(self) -> AsyncIterator[Transaction]:
        """Read what there is at one moment; raises `StorageFailed`."""
        async with self._reading, _within(self._reader, "BEGIN") as transaction:
            yield transaction

    async def close(self) -> None:
        """Let go of the file."""
        async with self._writing, self._reading:
            await self._reader.close()
            await self._writer.close()
        os.close(self._lock)


@asynccontextmanager
async def _within(connection: aiosqlite.Connection, begin: str) -> AsyncIterator[Transaction]:
    try:
        try:
            await connection.execute_fetchall(begin)
            yield Transaction(connection)
            await connection.execute_fetchall("COMMIT")
        except BaseException:
            # A statement goes on in its thread when who waits for it is cancelled; this one
            # stands behind it, and is waited for although we may be cancelled again. Where there
            # is no transaction, because it never began or SQLite itself ended it, it does nothing:
            # whether there is one cannot be told before all that was begun is through.
            await asyncio.shield(connection.rollback())
            raise
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise _failure(error) from error


def _failure(error: sqlite3.Error) -> StorageFailed:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFailed(
            "there is no room for conversations",
            hint="make room on the disk, raise `max_size` in [conversations], or delete some",
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StorageFailed("another program holds the database of conversations")
    return StorageFailed(f"conversations cannot be stored: {error}")


def _take(path: Path) -> int:
    """Lock the file for this process; return what holds the lock."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What was said is nobody else's: SQLite gives its other files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UnusableFile(
            f"{path} cannot be opened: {os.strerror(error.errno or 0)}. Let `file` in "
            "[conversations] name a place that may be written to, or say `enabled = no` there."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise UnusableFile(
            f"{path} is used by another gateway. Give each a `file` of its own in [conversations]."
        ) from None
    return lock


async def _connect(path: Path, mode: str) -> aiosqlite.Connection:
    return await aiosqlite.connect(
        _address(path, mode),
        uri=True,
        isolation_level=None,
        timeout=_BUSY_SECONDS,
        cached_statements=256,
    )


def _address(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"


def _untouching(path: Path) -> str:
    """Return the mode in which looking at a file leaves no other file beside it.

    What a killed gateway left in the log beside it has to be looked at too.
    """
    return "ro" if Path(f"{path}-wal").exists() else "ro&immutable=1"


def _is_empty(path: Path) -> bool:
    return path.stat().st_size == 0


async def _inspect(path: Path, newest: int) -> None:
    """Look whether the file is one of ours, sound, and not newer than we are."""
    kept = "It is left as it is: move it away, or name another with `file` in [conversations]."
    if _is_empty(path):
        return
    connection = await _connect(path, _untouching(path))
    try:
        ((application,),) = await connection.execute_fetchall("PRAGMA application_id")
        ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
        if application != APPLICATION_ID:
            raise UnusableFile(f"{path} is a database of another program. {kept}")
        if version > newest:
            raise UnusableFile(
                f"{path} was written by a newer Sidestream (version {version} of the file, this "
                f"one knows {newest}). {kept} Or start the newer Sidestream."
            )
        found = [row[0] for row in await connection.execute_fetchall("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise UnusableFile(f"{path} is damaged: {'; '.join(found)}. {kept}")
    except sqlite3.OperationalError as error:
        raise UnusableFile(f"{path} cannot be read: {error}. {kept}") from None
    except sqlite3.DatabaseError as error:
        raise UnusableFile(f"{path} is damaged: {error}. {kept}") from None
    finally:
        await connection.close()


async def _prepare(
    writer: aiosqlite.Connection, path: Path, max_bytes: int, migrations: Sequence[str]
) -> None:
    """Set the connection up, and bring the file to the newest version, all of it or nothing."""
    for setting in (
        "auto_vacuum = incremental",
        f"page_size = {_PAGE_BYTES}",
        "journal_mode = wal",
        # Each commit reaches the disk: with two a second that costs little.
        "synchronous = full",
        f"journal_size_limit = {_MAX_WAL_BYTES}",
        "foreign_keys = on",
        f"max_page_count = {max(max_bytes // _PAGE_BYTES, 1)}",
    ):
        await writer.execute_fetchall(f"PRAGMA {setting}")
    ((version,),) = await writer.execute_fetchall("PRAGMA user_version")
    if version == len(migrations):
        return
    if version:
        await _copy(writer, Path(f"{path}.v{version}"))
    await writer.execute_fetchall("BEGIN EXCLUSIVE")
    try:
        for script in migrations[version:]:
            for statement in script.split(";\n"):
                await writer.execute_fetchall(statement)
        await writer.execute_fetchall(f"PRAGMA application_id = {APPLICATION_ID}")
        await writer.execute_fetchall(f"PRAGMA user_version = {len(migrations)}")
        await writer.execute_fetchall("COMMIT")
    except BaseException:
        await writer.rollback()
        raise


async def _copy(writer: aiosqlite.Connection, target: Path) -> None:
    """Keep the file as it was before it is brought up, for whoever goes back."""
    os.close(os.open(target, os.O_RDWR | os.O_CREAT, 0o600))
    async with aiosqlite.connect(target) as copy:
        await writer.backup(copy)
