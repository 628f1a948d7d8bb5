"""People's votes on the answers of a run: one of each voter on each prompt and repeat."""

import time
from collections.abc import Callable

import msgspec

from server.core.errors import Contradiction
from server.runs.reading import RunReader, prompt_of
from server.runs.shapes import RunVote, RunVoteGiven, RunVotes
from server.runs.store import Store
from server.runs.voters import votes_seen_by


class RunVoting:
    """Take votes, take them back, and list them."""

    def __init__(
        self,
        store: Store,
        reading: RunReader,
        on_vote: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._reading = reading
        self._on_vote = on_vote
        self._clock = clock

    async def give(self, voter: str, run_id: str, prompt: str, given: RunVoteGiven) -> RunVote:
        """Vote in place of an earlier vote on the same answers.

        Raises `UnknownRun`, also for a prompt that it does not have, or `Contradiction` for
        answers that are not there, failed, or cannot all be the winners.
        """
        asked = await self._reading.asked(voter, run_id, prompt)
        run = await self._store.run_seen_by(voter, run_id)
        there = {
            answer.target
            for answer in asked.answers
            if answer.repeat == given.repeat and answer.is_answered
        }
        among, winners = set(given.among), set(given.winners)
        if missing := sorted(among - there):
            raise Contradiction(f"target {missing[0]} has no answer that can be voted on")
        if len(among) < 2:
            raise Contradiction("a vote is among two targets or more")
        if not winners < among:
            raise Contradiction(
                "the winners have to be some of the targets in `among`",
                hint="leave `winners` empty for a tie",
            )
        vote = RunVote(
            **msgspec.structs.asdict(given),
            prompt=asked.prompt,
            voter=voter,
            created=self._clock(),
        )
        await self._store.votes.give(run.number, vote)
        self._on_vote(run.id)
        return vote

    async def take_back(self, voter: str, run_id: str, prompt: str, repeat: int) -> None:
        """Delete the voter's vote; one that was not given is no error. Raises `UnknownRun`."""
        run = await self._store.run_seen_by(voter, run_id)
        await self._store.votes.take_back(run.number, prompt_of(run, prompt), repeat, voter)
        self._on_vote(run.id)

    async def browse(self, reader: str, run_id: str, *, own_only: bool = False) -> RunVotes:
        """Return the votes of all voters on a run, by prompt, or the reader's alone.

        The run's owner is told ids of keys, others what `votes_seen_by` says. Raises `UnknownRun`.
        """
        run = await self._store.run_seen_by(reader, run_id)
        votes = await self._store.votes.of_run(run.number)
        if own_only:
            return RunVotes([vote for vote in votes if vote.voter == reader])
        if reader == run.owner:
            return RunVotes(votes)
        voters = await self._reading.voters(run, reader)
        return RunVotes(votes_seen_by(reader, votes, voters))
