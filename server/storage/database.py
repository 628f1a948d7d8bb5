"""One SQLite file: checked before it is opened, written by one connection, read by another.

Rules:

1. A file is checked before it is changed. A damaged file, one of a newer version and one of
   another program are refused and left as they are.
2. One process uses the file: a lock file beside it is held until the process ends.
3. Write transactions run one at a time. A read transaction sees one state and blocks no writer.
4. SQLite errors are translated into ours here and nowhere else.
5. A file that another program has locked is waited for at the start. It is sound: nobody is advised
   to move it away.
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiosqlite

from server.core.errors import StorageFailed

logger = logging.getLogger(__name__)

Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any]

# Long enough for another program to read the file.
_BUSY_MS: Final = 5_000
# At the start, so that it is soon said what is waited for.
_BUSY_SECONDS_AT_START: Final = 0.5
PATIENCE_SECONDS: Final = 60.0
"""How long a start waits for another program that has the file locked: a backup takes a while."""
_RETRY_SECONDS: Final = 0.25
_PAGE_BYTES: Final = 4096
_MAX_WAL_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Schema:
    """What a kind of file has in it: its mark, its tables, and the SQL functions that they need.

    `migrations[n]` takes a file from version n to n + 1; `section` is the section of the settings
    that names the file, `content` is what it stores, in a plural word.
    """

    application_id: int
    migrations: Sequence[str]
    section: str
    content: str
    functions: Mapping[str, Callable[[str], str]] = field(default_factory=dict)


class UnusableFile(Exception):
    """The file cannot be used; the message says why and what to do."""


class Transaction:
    """The statements of one transaction."""

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
        """Execute one statement."""
        await self._connection.execute_fetchall(sql, values)

    async def run_each(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Execute one statement with each of these values."""
        several = list(values)
        if several:
            async with self._connection.executemany(sql, several):
                pass


class Database:
    """The open file."""

    def __init__(
        self,
        schema: Schema,
        lock: int,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
    ) -> None:
        self._schema = schema
        self._lock = lock
        self._writer = writer
        self._reader = reader
        self._writing = asyncio.Lock()
        self._reading = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        path: Path,
        schema: Schema,
        *,
        max_bytes: int,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> "Database":
        """Open the file; create it if it is missing and migrate it if it is older.

        While another program has it locked, try again for `patience_seconds`. Raises
        `UnusableFile`.
        """
        lock = _lock_file(path, schema)
        try:
            writer, reader = await _open_patiently(path, schema, max_bytes, patience_seconds)
        except BaseException:
            os.close(lock)
            raise
        return cls(schema, lock, writer, reader)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """Begin a write transaction; raises `StorageFailed`.

        A violated constraint raises `sqlite3.IntegrityError`, for the caller to handle. When
        cancelled, nothing is written unless the commit had begun.
        """
        async with self._writing, self._transaction(self._writer, "BEGIN IMMEDIATE") as transaction:
            yield transaction

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Begin a read transaction; raises `StorageFailed`."""
        async with self._reading, self._transaction(self._reader, "BEGIN") as transaction:
            yield transaction

    async def close(self) -> None:
        """Close the file and release the lock."""
        async with self._writing, self._reading:
            await self._reader.close()
            await self._writer.close()
        os.close(self._lock)

    @asynccontextmanager
    async def _transaction(
        self, connection: aiosqlite.Connection, begin: str
    ) -> AsyncIterator[Transaction]:
        try:
            try:
                await connection.execute_fetchall(begin)
                yield Transaction(connection)
                await connection.execute_fetchall("COMMIT")
            except BaseException:
                # A cancelled statement goes on in aiosqlite's thread. The rollback is queued behind
                # it and shielded from another cancellation. It does nothing if there is no
                # transaction, which is not known before the statement is finished.
                await asyncio.shield(connection.rollback())
                raise
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise _failure(error, self._schema) from error


def _failure(error: sqlite3.Error, schema: Schema) -> StorageFailed:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFailed(
            f"there is no room for {schema.content}",
            hint=f"make room on the disk, raise `max_size` in [{schema.section}], or delete some",
        )
    if _is_locked(error):
        return StorageFailed(f"another program holds the database of {schema.content}")
    return StorageFailed(f"{schema.content} cannot be stored: {error}")


def _lock_file(path: Path, schema: Schema) -> int:
    """Lock the file for this process; return the lock's file descriptor."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Private to its owner; SQLite creates its other files with the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UnusableFile(
            f"{path} cannot be opened: {os.strerror(error.errno or 0)}. Let `file` in "
            f"[{schema.section}] name a place that may be written to, or say `enabled = no` there."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise UnusableFile(
            f"{path} is used by another gateway. Give each a `file` of its own in "
            f"[{schema.section}]."
        ) from None
    return lock


async def _open_patiently(
    path: Path, schema: Schema, max_bytes: int, patience_seconds: float
) -> tuple[aiosqlite.Connection, aiosqlite.Connection]:
    loop = asyncio.get_running_loop()
    began, is_told = loop.time(), False
    while True:
        try:
            return await _open_connections(path, schema, max_bytes)
        except sqlite3.Error as error:
            if not _is_locked(error):
                raise UnusableFile(f"{path} cannot be used: {error}") from None
        waited = loop.time() - began
        if waited >= patience_seconds:
            raise UnusableFile(
                f"{path} is locked by another program, and was for {waited:.0f} s. Close that "
                "program (a database browser, a backup, a copy of the folder being synchronised), "
                "then start again. The file itself is as it was."
            )
        if not is_told:
            is_told = True
            logger.warning(
                "%s is locked by another program; waiting for it, for %.0f s at most",
                path,
                patience_seconds,
            )
        await asyncio.sleep(_RETRY_SECONDS)


async def _open_connections(
    path: Path, schema: Schema, max_bytes: int
) -> tuple[aiosqlite.Connection, aiosqlite.Connection]:
    connections: list[aiosqlite.Connection] = []
    try:
        await _inspect(path, schema)
        connections.append(writer := await _connect(path, "rw"))
        for name, function in schema.functions.items():
            await writer.create_function(name, 1, function, deterministic=True)
        connections.append(reader := await _connect(path, "ro"))
        await _migrate(writer, path, schema, max_bytes)
        await reader.execute_fetchall("PRAGMA query_only = on")
        # Another program may be writing: then the gateway could not store anything either.
        await writer.execute_fetchall("BEGIN IMMEDIATE")
        await writer.execute_fetchall("COMMIT")
        for connection in connections:
            await connection.execute_fetchall(f"PRAGMA busy_timeout = {_BUSY_MS}")
    except BaseException:
        for connection in connections:
            await connection.close()
        raise
    return writer, reader


def _is_locked(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


async def _connect(path: Path, mode: str) -> aiosqlite.Connection:
    return await aiosqlite.connect(
        _uri(path, mode),
        uri=True,
        isolation_level=None,
        timeout=_BUSY_SECONDS_AT_START,
        cached_statements=256,
    )


def _uri(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"


def _read_only_mode(path: Path) -> str:
    """Return the mode that creates no other file beside this one.

    If a killed gateway has left a write-ahead log, the log has to be read too.
    """
    return "ro" if Path(f"{path}-wal").exists() else "ro&immutable=1"


def _is_empty(path: Path) -> bool:
    return path.stat().st_size == 0


async def _inspect(path: Path, schema: Schema) -> None:
    """Raise `UnusableFile` unless the file is ours, sound and of a version that we know."""
    newest = len(schema.migrations)
    advice = (
        f"It is left as it is: move it away, or name another with `file` in [{schema.section}]."
    )
    if _is_empty(path):
        return
    connection = await _connect(path, _read_only_mode(path))
    try:
        ((application,),) = await connection.execute_fetchall("PRAGMA application_id")
        ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
        if application != schema.application_id:
            raise UnusableFile(f"{path} is a database of another program. {advice}")
        if version > newest:
            raise UnusableFile(
                f"{path} was written by a newer Sidestream (version {version} of the file, this "
                f"one knows {newest}). {advice} Or start the newer Sidestream."
            )
        found = [row[0] for row in await connection.execute_fetchall("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise UnusableFile(f"{path} is damaged: {'; '.join(found)}. {advice}")
    except sqlite3.OperationalError as error:
        if _is_locked(error):
            raise
        raise UnusableFile(f"{path} cannot be read: {error}. {advice}") from None
    except sqlite3.DatabaseError as error:
        raise UnusableFile(f"{path} is damaged: {error}. {advice}") from None
    finally:
        await connection.close()


async def _migrate(
    writer: aiosqlite.Connection, path: Path, schema: Schema, max_bytes: int
) -> None:
    """Configure the connection, and migrate the file to the newest version in one transaction."""
    migrations = schema.migrations
    for setting in (
        "auto_vacuum = incremental",
        f"page_size = {_PAGE_BYTES}",
        "journal_mode = wal",
        # Each commit is synced to disk; at two a second that costs little.
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
        await _back_up(writer, Path(f"{path}.v{version}"))
    await writer.execute_fetchall("BEGIN EXCLUSIVE")
    try:
        for script in migrations[version:]:
            for statement in script.split(";\n"):
                await writer.execute_fetchall(statement)
        await writer.execute_fetchall(f"PRAGMA application_id = {schema.application_id}")
        await writer.execute_fetchall(f"PRAGMA user_version = {len(migrations)}")
        await writer.execute_fetchall("COMMIT")
    except BaseException:
        await writer.rollback()
        raise


async def _back_up(writer: aiosqlite.Connection, target: Path) -> None:
    """Copy the file before a migration, so that the earlier version can be used again."""
    os.close(os.open(target, os.O_RDWR | os.O_CREAT, 0o600))
    async with aiosqlite.connect(target) as copy:
        await writer.backup(copy)
