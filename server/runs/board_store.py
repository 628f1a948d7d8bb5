"""What leaderboards are made of, in the file of runs.

Rows are taken apart in threads: there may be tens of thousands.
"""

import asyncio
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import msgspec

from server.archive.answer_writer import to_json
from server.runs.judge_shapes import JudgeGiven
from server.runs.shapes import RunState
from server.storage.database import Database, Row

_SEEN: Final = """
    (run.owner = ? OR run.number IN (SELECT share.run FROM share WHERE share.reader IN (?, '*')))
"""
_RUNS: Final = f"""
    SELECT run.number, run.id, run.name, run.owner, run.prompt_set, coalesce(prompt_set.name, ''),
        coalesce(prompt_set.tags, '[]'), run.version, content.prompts, run.state, run.updated
    FROM run JOIN content USING (version) LEFT JOIN prompt_set ON prompt_set.id = run.prompt_set
    WHERE {_SEEN}
"""  # noqa: S608 - our own names
_OF_RUNS: Final = "IN (SELECT value FROM json_each(?))"
# An answer that failed has no checks; it passed none where others were checked.
_OUTCOMES: Final = """
    SELECT prompt, coalesce(sum(passed), 0), count(passed),
        sum(finish_reason = 'failed' AND passed IS NULL)
    FROM answer WHERE run = ? AND target = ? GROUP BY prompt
"""


@dataclass(frozen=True)
class BoardTarget:
    """Who was asked in a run."""

    model: str
    parameters: dict[str, Any]
    system: str | None


@dataclass(frozen=True)
class StoredBoardRun:
    """A run that a leaderboard may be made of; `number` is the file's own."""

    number: int
    id: str
    name: str
    owner: str
    prompt_set: str
    set_name: str
    tags: list[str]
    version: str
    prompts: int
    state: RunState
    updated: float
    targets: tuple[BoardTarget, ...]


class _Choice(msgspec.Struct, frozen=True):
    among: tuple[int, ...]
    winners: tuple[int, ...] = ()
    blind: bool = False


_CHOICES: Final = msgspec.json.Decoder(_Choice)


# Without the garbage collector: there are many, and they refer to nothing that refers to them.
class BoardVote(msgspec.Struct, frozen=True, gc=False):
    """A vote on a prompt of a run; `run` is its number."""

    run: int
    prompt: int
    voter: str
    among: tuple[int, ...]
    winners: tuple[int, ...]
    blind: bool


class BoardPair(msgspec.Struct, frozen=True, gc=False):
    """What a judge said of two answers, in one order."""

    judge: int
    run: int
    prompt: int
    repeat: int
    first: int
    second: int
    better: str | None


class BoardStore:
    """Reads runs, votes, judgements and outcomes of many runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def runs(self, reader: str, set_id: str, limit: int) -> list[StoredBoardRun]:
        """Return the latest runs that a reader may see, of a prompt set if one is named."""
        where = " AND run.prompt_set = ?" if set_id else ""
        values = [reader, reader, *([set_id] if set_id else []), limit]
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                f"{_RUNS}{where} ORDER BY run.number DESC LIMIT ?", values
            )
            targets = await transaction.rows(
                "SELECT run, model, parameters, system FROM target"  # noqa: S608 - our own names
                f" WHERE run {_OF_RUNS} ORDER BY run, place",
                (to_json([row[0] for row in rows]),),
            )
        of_run: dict[int, list[BoardTarget]] = {}
        for number, model, parameters, system in targets:
            target = BoardTarget(model, msgspec.json.decode(parameters), system)
            of_run.setdefault(number, []).append(target)
        return [_run(row, tuple(of_run.get(row[0], ()))) for row in rows]

    async def votes(self, runs: Sequence[int], limit: int) -> list[BoardVote]:
        """Return the latest votes on runs with these numbers."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                "SELECT run, prompt, voter, given FROM vote"  # noqa: S608 - our own names
                f" WHERE run {_OF_RUNS} ORDER BY created DESC LIMIT ?",
                (to_json(list(runs)), limit),
            )
        return await asyncio.to_thread(lambda: [_vote(row) for row in rows])

    async def judges(self, runs: Sequence[int]) -> dict[int, str]:
        """Return the models of the judges by pairs of these runs, by the judge's number."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                f"SELECT number, given FROM judge WHERE run {_OF_RUNS}",  # noqa: S608 - our names
                (to_json(list(runs)),),
            )
        given = {row[0]: msgspec.json.decode(row[1], type=JudgeGiven) for row in rows}
        return {number: one.model for number, one in given.items() if one.mode == "pairs"}

    async def pairs(self, judges: Sequence[int], limit: int) -> list[BoardPair]:
        """Return what judges with these numbers said of pairs, the latest judges' first."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                "SELECT judge, run, prompt, repeat, first, second, better"  # noqa: S608 - our names
                " FROM judgement JOIN judge ON judge.number = judge"
                f" WHERE judge {_OF_RUNS} AND second >= 0"
                " ORDER BY judge DESC, prompt, repeat, first, second LIMIT ?",
                (to_json(list(judges)), limit),
            )
        return await asyncio.to_thread(lambda: [BoardPair(*row) for row in rows])

    async def outcomes(self, run: int, target: int) -> "array[int]":
        """Return for each prompt that a target answered: its number, passed, checked, failed."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(_OUTCOMES, (run, target))
        return await asyncio.to_thread(array, "I", chain.from_iterable(rows))

    async def body(self, version: str) -> str:
        """Return what a version of a set has in it; empty if it is gone."""
        async with self._database.read() as transaction:
            row = await transaction.row("SELECT body FROM content WHERE version = ?", (version,))
        return "" if row is None else str(row[0])

    async def has_set(self, owner: str, set_id: str) -> bool:
        """Tell whether the owner has a set of this id."""
        async with self._database.read() as transaction:
            row = await transaction.row(
                "SELECT 1 FROM prompt_set WHERE owner = ? AND id = ?", (owner, set_id)
            )
        return row is not None


def _vote(row: Row) -> BoardVote:
    run, prompt, voter, given = row
    one = _CHOICES.decode(given)
    return BoardVote(run, prompt, voter, one.among, one.winners, one.blind)


def _run(row: Row, targets: tuple[BoardTarget, ...]) -> StoredBoardRun:
    number, run_id, name, owner, prompt_set, set_name, tags, version, prompts, state, updated = row
    return StoredBoardRun(
        number,
        run_id,
        name,
        owner,
        prompt_set,
        set_name,
        msgspec.json.decode(tags),
        version,
        prompts,
        state,
        updated,
        targets,
    )
