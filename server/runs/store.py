"""What is stored of runs, each on behalf of an owner; and the stores of what belongs to them.

What belongs to somebody else is answered exactly like what does not exist, unless it is shared.
"""

import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from server.archive.answer_writer import to_json
from server.archive.shapes import StoredEngine
from server.core.errors import Forbidden, RunLimit, UnknownPromptSet, UnknownRun
from server.core.protocol import ErrorInfo
from server.runs.answer_store import AnswerStore
from server.runs.assessments import AssessmentStore
from server.runs.board_store import BoardStore
from server.runs.judge_store import JudgeStore
from server.runs.numbers import next_number
from server.runs.row_store import RowStore
from server.runs.schema import SCHEMA
from server.runs.set_store import SetStore, forget_unused
from server.runs.shapes import (
    RunState,
    Target,
    TargetState,
)
from server.runs.vote_store import VoteStore
from server.storage.database import Database, Row, Transaction

EVERYBODY: Final = "*"
"""With whom a run is shared, where that is every key."""
_IS_SHARED: Final = "run.number IN (SELECT share.run FROM share WHERE share.reader IN (?, '*'))"
_RUNS: Final = """
    SELECT run.number, run.id, run.owner, run.name, run.prompt_set, coalesce(prompt_set.name, ''),
        run.version, content.prompts, run.repeats,
        (SELECT json_group_array(reader) FROM share WHERE share.run = run.number),
        run.state, run.error, run.created, run.updated
    FROM run JOIN content USING (version) LEFT JOIN prompt_set ON prompt_set.id = run.prompt_set
"""


@dataclass(frozen=True)
class StoreLimits:
    """How much one owner may have, and how large the file may become."""

    sets: int
    runs: int
    file_bytes: int


@dataclass(frozen=True)
class StoredTarget:
    """A target of a run as it is stored."""

    target: Target
    state: TargetState
    error: ErrorInfo | None = None
    engine: StoredEngine | None = None


@dataclass(frozen=True)
class StoredRun:
    """A run as it is stored; `number` is the file's own, `readers` are ids of keys, or `*`."""

    number: int
    id: str
    owner: str
    name: str
    prompt_set: str
    set_name: str
    version: str
    prompts: int
    repeats: int
    readers: tuple[str, ...]
    state: RunState
    error: ErrorInfo | None
    created: float
    updated: float
    targets: tuple[StoredTarget, ...] = ()


class Store:
    """The open file."""

    def __init__(
        self, path: Path, database: Database, limits: StoreLimits, clock: Callable[[], float]
    ) -> None:
        self.path = path
        self.judges = JudgeStore(database, clock)
        self.board = BoardStore(database)
        self.rows = RowStore(database)
        self.sets = SetStore(database, limits.sets, clock)
        self.answers = AnswerStore(database)
        self.votes = VoteStore(database)
        self.assessments = AssessmentStore(database)
        self._database = database
        self._limits = limits
        self._clock = clock

    @classmethod
    async def open(
        cls, path: Path, limits: StoreLimits, *, clock: Callable[[], float] = time.time
    ) -> "Store":
        """Open the file; raises `UnusableFile` or `StorageFailed`."""
        database = await Database.open(path, SCHEMA, max_bytes=limits.file_bytes)
        return cls(path, database, limits, clock)

    async def close(self) -> None:
        """Close the file."""
        await self._database.close()

    async def add_run(
        self,
        owner: str,
        *,
        name: str,
        set_id: str,
        version: str,
        targets: Sequence[Target],
        repeats: int,
    ) -> StoredRun:
        """Store a new run, as one that is under way; raises `RunLimit` or `UnknownPromptSet`."""
        run_id, now = f"r_{secrets.token_hex(8)}", self._clock()
        async with self._database.write() as transaction:
            row = await transaction.row("SELECT count(*) FROM run WHERE owner = ?", (owner,))
            if row is not None and row[0] >= self._limits.runs:
                raise RunLimit(
                    f"{self._limits.runs} runs are kept for one owner, and no more",
                    hint="delete some, or raise `max_runs` in [runs]",
                )
            number = await next_number(transaction, "run")
            try:
                await transaction.run(
                    "INSERT INTO run (number, id, owner, name, prompt_set, version, repeats, state,"
                    " created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, 'running', ?, ?)",
                    (number, run_id, owner, name, set_id, version, repeats, now, now),
                )
            except sqlite3.IntegrityError:
                raise UnknownPromptSet("the prompt set was changed or deleted meanwhile") from None
            run = await _run(transaction, owner, run_id)
            await _add_targets(transaction, run.number, 0, targets)
            return await _run(transaction, owner, run_id)

    async def extend(
        self,
        owner: str,
        run_id: str,
        *,
        version: str,
        repeats: int,
        targets: Sequence[Target],
    ) -> StoredRun:
        """Give a run another version or more repeats, and more targets; raises `UnknownRun`."""
        async with self._database.write() as transaction:
            run = await _run(transaction, owner, run_id)
            await transaction.run(
                "UPDATE run SET version = ?, repeats = ?, updated = ? WHERE number = ?",
                (version, repeats, self._clock(), run.number),
            )
            await _add_targets(transaction, run.number, len(run.targets), targets)
            await forget_unused(transaction)
            return await _run(transaction, owner, run_id)

    async def run(self, owner: str, run_id: str) -> StoredRun:
        """Return a run; raises `UnknownRun`, or `Forbidden` for one that is only shared."""
        async with self._database.read() as transaction:
            return await _run(transaction, owner, run_id)

    async def run_seen_by(self, reader: str, run_id: str) -> StoredRun:
        """Return a run of the reader's own, or one that is shared; raises `UnknownRun`."""
        async with self._database.read() as transaction:
            return await _seen_run(transaction, reader, run_id)

    async def runs(self, reader: str, *, before: str, limit: int) -> list[StoredRun]:
        """Return the runs that a reader may see, the latest first.

        `before` is the id of one before them.
        """
        where, values = f"(run.owner = ? OR {_IS_SHARED})", [reader, reader]
        if before:
            where += " AND run.number < (SELECT number FROM run WHERE id = ?)"
            values.append(before)
        async with self._database.read() as transaction:
            return await _runs(
                transaction, f"{where} ORDER BY run.number DESC LIMIT {int(limit)}", values
            )

    async def last_changed(self, reader: str, limit: int) -> list[StoredRun]:
        """Return those of the runs that a reader may see that began, ended or grew last."""
        async with self._database.read() as transaction:
            return await _runs(
                transaction,
                f"(run.owner = ? OR {_IS_SHARED}) ORDER BY run.updated DESC, run.number DESC"
                f" LIMIT {int(limit)}",
                (reader, reader),
            )

    async def run_of_anybody(self, run_id: str) -> StoredRun:
        """Return a run, whoever may see it; raises `UnknownRun`."""
        async with self._database.read() as transaction:
            found = await _runs(transaction, "run.id = ?", (run_id,))
        if not found:
            raise UnknownRun(f"there is no run {run_id[:80]!r}")
        return found[0]

    async def unfinished(self) -> list[StoredRun]:
        """Return the runs of all owners that are under way."""
        async with self._database.read() as transaction:
            return await _runs(transaction, "run.state = 'running' ORDER BY run.number", ())

    async def states(self) -> dict[str, int]:
        """Return how many runs of all owners are in each state."""
        async with self._database.read() as transaction:
            rows = await transaction.rows("SELECT state, count(*) FROM run GROUP BY state", ())
        return {str(row[0]): int(row[1]) for row in rows}

    async def rename(self, owner: str, run_id: str, name: str) -> StoredRun:
        """Give a run another name; raises `UnknownRun`."""
        async with self._database.write() as transaction:
            run = await _run(transaction, owner, run_id)
            await transaction.run("UPDATE run SET name = ? WHERE number = ?", (name, run.number))
            return await _run(transaction, owner, run_id)

    async def share(self, owner: str, run_id: str, readers: Sequence[str]) -> StoredRun:
        """Let these readers see a run, and nobody else; raises `UnknownRun` or `Forbidden`."""
        async with self._database.write() as transaction:
            run = await _run(transaction, owner, run_id)
            await transaction.run("DELETE FROM share WHERE run = ?", (run.number,))
            await transaction.run_each(
                "INSERT INTO share VALUES (?, ?)", [(run.number, one) for one in readers]
            )
            return await _run(transaction, owner, run_id)

    async def set_state(self, number: int, state: RunState, error: ErrorInfo | None) -> None:
        """Store how far a run is."""
        async with self._database.write() as transaction:
            await transaction.run(
                "UPDATE run SET state = ?, error = ?, updated = ? WHERE number = ?",
                (state, _optional(error), self._clock(), number),
            )

    async def set_target(self, number: int, place: int, target: StoredTarget) -> None:
        """Store how far a target of a run is."""
        async with self._database.write() as transaction:
            await transaction.run(
                "UPDATE target SET state = ?, error = ?, engine = coalesce(?, engine)"
                " WHERE run = ? AND place = ?",
                (
                    target.state,
                    _optional(target.error),
                    _optional(target.engine),
                    number,
                    place,
                ),
            )

    async def remove_run(self, owner: str, run_id: str) -> None:
        """Delete a run with its answers; raises `UnknownRun`."""
        async with self._database.write() as transaction:
            run = await _run(transaction, owner, run_id)
            await transaction.run("DELETE FROM run WHERE number = ?", (run.number,))
            await forget_unused(transaction)

    async def content_of(self, run: StoredRun) -> str:
        """Return the prompts that a run asks."""
        async with self._database.read() as transaction:
            row = await transaction.row(
                "SELECT body FROM content WHERE version = ?", (run.version,)
            )
        if row is None:
            raise UnknownRun(f"there is no run {run.id} any more")
        return str(row[0])


async def _add_targets(
    transaction: Transaction, number: int, first: int, targets: Sequence[Target]
) -> None:
    await transaction.run_each(
        "INSERT INTO target (run, place, model, name, parameters, system, state)"
        " VALUES (?, ?, ?, ?, ?, ?, 'waiting')",
        [
            (number, place, one.model, one.name, to_json(one.parameters), one.system)
            for place, one in enumerate(targets, start=first)
        ],
    )


async def _run(transaction: Transaction, owner: str, run_id: str) -> StoredRun:
    run = await _seen_run(transaction, owner, run_id)
    if run.owner != owner:
        raise Forbidden(
            "the run is somebody else's", hint="it can be read and voted on; begin one of your own"
        )
    return run


async def _seen_run(transaction: Transaction, reader: str, run_id: str) -> StoredRun:
    where = f"run.id = ? AND (run.owner = ? OR {_IS_SHARED})"
    found = await _runs(transaction, where, (run_id, reader, reader))
    if not found:
        raise UnknownRun(f"there is no run {run_id[:80]!r}")
    return found[0]


async def _runs(transaction: Transaction, where: str, values: Sequence[Any]) -> list[StoredRun]:
    found = []
    for row in await transaction.rows(f"{_RUNS} WHERE {where}", values):
        targets = await transaction.rows(
            "SELECT model, name, parameters, system, state, error, engine FROM target"
            " WHERE run = ? ORDER BY place",
            (row[0],),
        )
        *first, readers, state, error, created, updated = row
        shared = tuple(msgspec.json.decode(readers))
        values_of = (*first, shared, state, _decoded(error, ErrorInfo), created, updated)
        found.append(replace(StoredRun(*values_of), targets=tuple(map(_target, targets))))
    return found


def _target(row: Row) -> StoredTarget:
    model, name, parameters, system, state, error, engine = row
    return StoredTarget(
        Target(model, msgspec.json.decode(parameters), system, name),
        state,
        _decoded(error, ErrorInfo),
        _decoded(engine, StoredEngine),
    )


def _optional(value: object) -> str | None:
    return None if value is None else to_json(value)


def _decoded(text: str | None, shape: type[Any]) -> Any:
    return None if text is None else msgspec.json.decode(text, type=shape)
