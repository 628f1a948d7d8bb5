"""What is stored of prompt sets and runs, each on behalf of an owner.

Rules:

1. What belongs to somebody else is answered exactly like what does not exist, unless it is shared.
2. A set's prompts are never changed in place: a change is a new version, and runs keep theirs.
"""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from server.archive.answer_writer import to_json
from server.archive.shapes import StoredEngine
from server.core.errors import Forbidden, RunLimit, UnknownPromptSet, UnknownRun
from server.core.protocol import ErrorInfo
from server.runs.answer_rows import ANSWERS, answer_of, answer_row
from server.runs.board_store import BoardStore
from server.runs.judge_store import JudgeStore
from server.runs.row_store import RowStore
from server.runs.schema import SCHEMA
from server.runs.shapes import (
    RunAnswer,
    RunState,
    RunVote,
    SetChange,
    SetSummary,
    SetVersion,
    Target,
    TargetState,
)
from server.runs.vote_rows import VOTES, vote_of
from server.storage.database import Database, Row, Transaction

_MAX_EARLIER: Final = 50
_LAST: Final = 2**62
_SETS: Final = """
    SELECT id, name, tags, created, updated, prompt_set.version, prompts, 1 + (SELECT count(*)
        FROM earlier_version AS one WHERE one.prompt_set = number
            AND one.version <> prompt_set.version)
    FROM prompt_set JOIN content USING (version)
"""
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


@dataclass(frozen=True)
class Counts:
    """How many answers of a target are there, failed, passed their checks, and had any."""

    answered: int = 0
    failed: int = 0
    passed: int = 0
    checked: int = 0


class RunMark(NamedTuple):
    """How many answers and votes a run has, and when the last of each came."""

    answers: int
    last_answer: float | None
    votes: int
    last_vote: float | None


class Store:
    """The open file."""

    def __init__(
        self, path: Path, database: Database, limits: StoreLimits, clock: Callable[[], float]
    ) -> None:
        self.path = path
        self.judges = JudgeStore(database, clock)
        self.board = BoardStore(database)
        self.rows = RowStore(database)
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

    # --- prompt sets ------------------------------------------------------------------------

    async def add_set(
        self, owner: str, name: str, tags: Sequence[str], version: str, body: str, prompts: int
    ) -> SetSummary:
        """Store a new set; raises `RunLimit` or `StorageFailed`."""
        name_of_it, now = f"p_{secrets.token_hex(8)}", self._clock()
        async with self._database.write() as transaction:
            row = await transaction.row("SELECT count(*) FROM prompt_set WHERE owner = ?", (owner,))
            if row is not None and row[0] >= self._limits.sets:
                raise RunLimit(
                    f"{self._limits.sets} prompt sets are kept for one owner, and no more",
                    hint="delete some, or raise `max_sets` in [runs]",
                )
            await _keep(transaction, version, body, prompts)
            await transaction.run(
                "INSERT INTO prompt_set (id, owner, name, tags, created, updated, version)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (name_of_it, owner, name, to_json(list(tags)), now, now, version),
            )
            return await _set(transaction, owner, name_of_it)

    async def replace_prompts(
        self, owner: str, set_id: str, version: str, body: str, prompts: int
    ) -> SetSummary:
        """Give a set a new version; the earlier one stays known. Raises `UnknownPromptSet`."""
        now = self._clock()
        async with self._database.write() as transaction:
            before = await _set(transaction, owner, set_id)
            if before.version == version:
                return before
            await _keep(transaction, version, body, prompts)
            await transaction.run(
                "INSERT OR IGNORE INTO earlier_version"
                " SELECT number, updated, version FROM prompt_set WHERE id = ?",
                (set_id,),
            )
            await transaction.run(
                "UPDATE prompt_set SET version = ?, updated = ? WHERE id = ?",
                (version, now, set_id),
            )
            await transaction.run(
                "DELETE FROM earlier_version WHERE (prompt_set, version) IN (SELECT prompt_set,"
                " earlier_version.version FROM earlier_version JOIN prompt_set AS one"
                " ON one.number = prompt_set WHERE one.id = ? ORDER BY earlier_version.created DESC"
                " LIMIT -1 OFFSET ?)",
                (set_id, _MAX_EARLIER),
            )
            await _forget_unused(transaction)
            return await _set(transaction, owner, set_id)

    async def change_set(self, owner: str, set_id: str, change: SetChange) -> SetSummary:
        """Rename a set or give it tags; raises `UnknownPromptSet`."""
        async with self._database.write() as transaction:
            before = await _set(transaction, owner, set_id)
            name = before.name if change.name is None else change.name
            tags = before.tags if change.tags is None else change.tags
            await transaction.run(
                "UPDATE prompt_set SET name = ?, tags = ?, updated = ? WHERE id = ?",
                (name, to_json(tags), self._clock(), set_id),
            )
            return await _set(transaction, owner, set_id)

    async def remove_set(self, owner: str, set_id: str) -> None:
        """Delete a set; runs keep the versions that they have asked. Raises `UnknownPromptSet`."""
        async with self._database.write() as transaction:
            await _set(transaction, owner, set_id)
            await transaction.run("DELETE FROM prompt_set WHERE id = ?", (set_id,))
            await _forget_unused(transaction)

    async def sets(self, owner: str) -> list[SetSummary]:
        """Return the owner's sets, last changed first."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                f"{_SETS} WHERE owner = ? ORDER BY updated DESC, number DESC", (owner,)
            )
        return [_summary(row) for row in rows]

    async def set_of(self, owner: str, set_id: str) -> SetSummary:
        """Return a set without its prompts; raises `UnknownPromptSet`."""
        async with self._database.read() as transaction:
            return await _set(transaction, owner, set_id)

    async def body(self, owner: str, set_id: str, version: str = "") -> str:
        """Return what a version of a set has in it, the present one if none is named.

        Raises `UnknownPromptSet`.
        """
        async with self._database.read() as transaction:
            summary = await _set(transaction, owner, set_id)
            version = version or summary.version
            row = await transaction.row(
                "SELECT body FROM content WHERE version = ? AND (version = ? OR version IN"
                " (SELECT earlier_version.version FROM earlier_version JOIN prompt_set AS one"
                " ON one.number = prompt_set WHERE one.id = ?))",
                (version, summary.version, set_id),
            )
        if row is None:
            raise UnknownPromptSet(f"the prompt set {set_id} has no version {version[:80]!r}")
        return str(row[0])

    async def versions(self, owner: str, set_id: str) -> list[SetVersion]:
        """Return the versions of a set, the present one first; raises `UnknownPromptSet`."""
        async with self._database.read() as transaction:
            now = await _set(transaction, owner, set_id)
            rows = await transaction.rows(
                "SELECT content.version, content.prompts, one.created FROM earlier_version AS one"
                " JOIN content USING (version) JOIN prompt_set ON number = one.prompt_set"
                " WHERE id = ? AND content.version <> ? ORDER BY one.created DESC",
                (set_id, now.version),
            )
        return [SetVersion(now.version, now.prompts, now.updated), *(SetVersion(*r) for r in rows)]

    # --- runs -------------------------------------------------------------------------------

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
            try:
                await transaction.run(
                    "INSERT INTO run (id, owner, name, prompt_set, version, repeats, state,"
                    " created, updated) VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?)",
                    (run_id, owner, name, set_id, version, repeats, now, now),
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
            await _forget_unused(transaction)
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
            await _forget_unused(transaction)

    async def content_of(self, run: StoredRun) -> str:
        """Return the prompts that a run asks."""
        async with self._database.read() as transaction:
            row = await transaction.row(
                "SELECT body FROM content WHERE version = ?", (run.version,)
            )
        if row is None:
            raise UnknownRun(f"there is no run {run.id} any more")
        return str(row[0])

    # --- answers ----------------------------------------------------------------------------

    async def add_answers(self, answers: Iterable[tuple[int, RunAnswer]]) -> None:
        """Store complete answers, each with its run's number; those of deleted runs are dropped."""
        rows = [answer_row(number, answer) for number, answer in answers]
        async with self._database.write() as transaction:
            await transaction.run_each(
                "INSERT OR REPLACE INTO answer SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
                " WHERE EXISTS (SELECT 1 FROM run WHERE number = ?)",
                [(*row, row[0]) for row in rows],
            )

    async def answered(self, number: int) -> set[tuple[int, int, int]]:
        """Return what is complete of a run: prompt, target and repeat of each answer."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                "SELECT prompt, target, repeat FROM answer WHERE run = ?", (number,)
            )
        return {(row[0], row[1], row[2]) for row in rows}

    async def counts(self, number: int) -> dict[int, Counts]:
        """Return how many answers each target of a run has."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                "SELECT target, count(*), sum(finish_reason = 'failed'), coalesce(sum(passed), 0),"
                " count(passed) FROM answer WHERE run = ? GROUP BY target",
                (number,),
            )
        return {row[0]: Counts(*row[1:]) for row in rows}

    async def answers(
        self, number: int, first: int = 0, last: int = -1, *, with_text: bool = True
    ) -> list[RunAnswer]:
        """Return complete answers of a run, by prompt and target.

        Those of the prompts from `first` to `last`, which is included; -1 is the last of all.
        Without text, thinking is left out too.
        """
        texts = "text, reasoning" if with_text else "'', ''"
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                ANSWERS.format(texts=texts),
                (number, first, last if last >= 0 else _LAST),
            )
        # In a thread: those of a large run take seconds.
        return await asyncio.to_thread(lambda: [answer_of(row) for row in rows])

    async def forget_failed(self, number: int) -> int:
        """Delete the answers of a run that failed, so that they are asked again."""
        async with self._database.write() as transaction:
            row = await transaction.row(
                "SELECT count(*) FROM answer WHERE run = ? AND finish_reason = 'failed'", (number,)
            )
            await transaction.run(
                "DELETE FROM answer WHERE run = ? AND finish_reason = 'failed'", (number,)
            )
        return 0 if row is None else int(row[0])

    # --- votes ------------------------------------------------------------------------------

    async def give_vote(self, number: int, vote: RunVote) -> None:
        """Store a vote in place of the voter's former one on the same answers."""
        given = {name: getattr(vote, name) for name in ("among", "winners", "blind")}
        async with self._database.write() as transaction:
            await transaction.run(
                "INSERT OR REPLACE INTO vote SELECT ?, ?, ?, ?, ?, ?"
                " WHERE EXISTS (SELECT 1 FROM run WHERE number = ?)",
                (
                    number,
                    vote.prompt,
                    vote.repeat,
                    vote.voter,
                    vote.created,
                    to_json(given),
                    number,
                ),
            )

    async def take_back_vote(self, number: int, prompt: int, repeat: int, voter: str) -> None:
        """Delete a vote; one that was not given is no error."""
        async with self._database.write() as transaction:
            await transaction.run(
                "DELETE FROM vote WHERE run = ? AND prompt = ? AND repeat = ? AND voter = ?",
                (number, prompt, repeat, voter),
            )

    async def votes(self, number: int) -> list[RunVote]:
        """Return the votes on a run, by prompt."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(VOTES, (number,))
        return [vote_of(row) for row in rows]

    async def mark_of(self, number: int) -> RunMark:
        """Return what changes with each answer of a run and with each vote on it."""
        async with self._database.read() as transaction:
            answers = await transaction.row(
                "SELECT count(*), max(ended) FROM answer WHERE run = ?", (number,)
            )
            votes = await transaction.row(
                "SELECT count(*), max(created) FROM vote WHERE run = ?", (number,)
            )
        return RunMark(*(answers or (0, None)), *(votes or (0, None)))


async def _keep(transaction: Transaction, version: str, body: str, prompts: int) -> None:
    await transaction.run(
        "INSERT OR IGNORE INTO content VALUES (?, ?, ?)", (version, body, prompts)
    )


async def _forget_unused(transaction: Transaction) -> None:
    await transaction.run(
        "DELETE FROM content WHERE version NOT IN (SELECT version FROM prompt_set UNION"
        " SELECT version FROM earlier_version UNION SELECT version FROM run)"
    )


async def _set(transaction: Transaction, owner: str, set_id: str) -> SetSummary:
    row = await transaction.row(f"{_SETS} WHERE owner = ? AND id = ?", (owner, set_id))
    if row is None:
        raise UnknownPromptSet(f"there is no prompt set {set_id[:80]!r}")
    return _summary(row)


def _summary(row: Row) -> SetSummary:
    name, title, tags, *others = row
    return SetSummary(name, title, msgspec.json.decode(tags), *others)


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
