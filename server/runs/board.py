"""Leaderboards over runs and blind rounds of chats: gathered here, added up elsewhere.

Rules:

1. A leaderboard has what its reader may see: own and shared runs, and own votes on chats.
2. What is taken is bounded: the latest runs, votes and judgements; that there are more is told.
3. What the answers of a run came to is kept while the run is not under way and not changed.
"""

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from server.archive.rounds import ChatRound
from server.core.errors import Contradiction, UnknownPromptSet
from server.evaluation.files.tags import tagged_prompts
from server.evaluation.statistics.strengths_worker import StrengthsWorker
from server.runs.board_building import Gathered, Prompts, added_up, board_of
from server.runs.board_shapes import Leaderboard, Over
from server.runs.board_store import BoardPair, BoardStore, StoredBoardRun

MAX_RUNS: Final = 500
MAX_VOTES: Final = 20_000
MAX_JUDGEMENTS: Final = 40_000
# Of outcomes that are kept: some tens of megabytes at most.
_MOST_NUMBERS: Final = 8_000_000
_MOST_VERSIONS: Final = 500

Outcomes = tuple["array[int]", ...]
"""For each target of a run, what `BoardStore.outcomes` returns."""


class ReadRounds(Protocol):
    """Reads somebody's votes on chats."""

    def __call__(self, voter: str, *, tag: str, limit: int) -> Awaitable[list[ChatRound]]:
        """Return the latest ones, of chats with a tag or all."""


async def no_rounds(voter: str, *, tag: str, limit: int) -> list[ChatRound]:
    """Return no votes, where no conversations are kept."""
    return []


class Leaderboards:
    """Make leaderboards."""

    def __init__(
        self,
        store: BoardStore,
        read_rounds: ReadRounds = no_rounds,
        *,
        flush: Callable[[], Awaitable[None]] | None = None,
        max_runs: int = MAX_RUNS,
        max_votes: int = MAX_VOTES,
    ) -> None:
        self._store = store
        self._read_rounds = read_rounds
        self._flush = flush
        self._max_runs = max_runs
        self._max_votes = max_votes
        self._strengths = StrengthsWorker()
        self._outcomes: OrderedDict[tuple[int, float], Outcomes] = OrderedDict()
        self._tagged: OrderedDict[tuple[str, str], frozenset[int]] = OrderedDict()

    async def show(self, reader: str, *, over: Over, set_id: str, tag: str) -> Leaderboard:
        """Return the leaderboard of what a reader may see.

        With a set, of runs that asked it; with a tag, of sets, prompts and chats that have it.
        Raises `UnknownPromptSet`, `Contradiction` or `StorageFailed`.
        """
        if set_id and over == "chats":
            raise Contradiction("chats ask no prompt set: name a set, or chats")
        found: list[StoredBoardRun] = []
        if over != "chats":
            found = await self._store.runs(reader, set_id, self._max_runs + 1)
        if set_id and not found and not await self._store.has_set(reader, set_id):
            raise UnknownPromptSet(f"there is no prompt set {set_id[:80]!r}")
        left_out = len(found) > self._max_runs
        runs = await self._with_prompts(found[: self._max_runs], tag)
        numbers = [run.number for run, _ in runs]
        votes = await self._store.votes(numbers, self._max_votes + 1)
        rounds: list[ChatRound] = []
        if over != "runs" and not set_id:
            rounds = await self._read_rounds(reader, tag=tag, limit=self._max_votes + 1)
        judges = await self._store.judges(numbers)
        pairs = await self._pairs(judges)
        left_out |= max(len(votes), len(rounds)) > self._max_votes or len(pairs) > MAX_JUDGEMENTS
        gathered = Gathered(
            reader,
            over,
            set_id,
            tag,
            runs,
            votes[: self._max_votes],
            rounds[: self._max_votes],
            judges,
            pairs[:MAX_JUDGEMENTS],
            await self._all_outcomes(run for run, _ in runs),
            left_out,
        )
        # In a thread, and what takes seconds in a process of its own.
        sums = await asyncio.to_thread(added_up, gathered)
        strengths = await self._strengths.estimate(sums.rankings)
        return await asyncio.to_thread(board_of, gathered, sums, strengths)

    async def _with_prompts(
        self, runs: Sequence[StoredBoardRun], tag: str
    ) -> list[tuple[StoredBoardRun, Prompts]]:
        """Return the runs of which something counts, and which of their prompts: None for all."""
        if not tag:
            return [(run, None) for run in runs]
        found: list[tuple[StoredBoardRun, Prompts]] = []
        for run in runs:
            prompts = None if tag in run.tags else await self._tagged_prompts(run.version, tag)
            if prompts is None or prompts:
                found.append((run, prompts))
        return found

    async def _tagged_prompts(self, version: str, tag: str) -> frozenset[int]:
        key = version, tag
        if key not in self._tagged:
            body = await self._store.body(version)
            self._tagged[key] = await asyncio.to_thread(tagged_prompts, body, tag)
            if len(self._tagged) > _MOST_VERSIONS:
                self._tagged.popitem(last=False)
        self._tagged.move_to_end(key)
        return self._tagged[key]

    async def _pairs(self, judges: Mapping[int, str]) -> list[BoardPair]:
        return await self._store.pairs(list(judges), MAX_JUDGEMENTS + 1) if judges else []

    async def _all_outcomes(self, runs: Iterable[StoredBoardRun]) -> dict[int, Outcomes]:
        if self._flush is not None:
            await self._flush()
        return {run.number: await self._outcomes_of(run) for run in runs}

    async def _outcomes_of(self, run: StoredBoardRun) -> Outcomes:
        key = run.number, run.updated
        known = self._outcomes.get(key)
        if known is None:
            places = range(len(run.targets))
            known = tuple([await self._store.outcomes(run.number, place) for place in places])
            if run.state == "running":
                return known
            self._outcomes[key] = known
            total = sum(len(one) for kept in self._outcomes.values() for one in kept)
            while total > _MOST_NUMBERS and len(self._outcomes) > 1:
                _, dropped = self._outcomes.popitem(last=False)
                total -= sum(map(len, dropped))
        else:
            self._outcomes.move_to_end(key)
        return known
