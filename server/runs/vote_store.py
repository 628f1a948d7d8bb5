"""What is stored of people's votes on the answers of runs; `number` is a run's own in the file."""

from server.archive.answer_writer import to_json
from server.core.errors import UnknownRun
from server.runs.shapes import RunVote
from server.runs.vote_rows import VOTERS, VOTES, vote_of
from server.runs.voters import StoredVoter
from server.storage.database import Database


class VoteStore:
    """The votes of the open file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def give(self, number: int, vote: RunVote) -> None:
        """Store a vote in place of the voter's former one on the same answers.

        Raises `UnknownRun` if the run was deleted meanwhile.
        """
        given = {name: getattr(vote, name) for name in ("among", "winners", "blind")}
        async with self._database.write() as transaction:
            if not await transaction.row("SELECT 1 FROM run WHERE number = ?", (number,)):
                raise UnknownRun("there is no such run any more")
            await transaction.run(
                "INSERT OR REPLACE INTO vote VALUES (?, ?, ?, ?, ?, ?)",
                (number, vote.prompt, vote.repeat, vote.voter, vote.created, to_json(given)),
            )

    async def take_back(self, number: int, prompt: int, repeat: int, voter: str) -> None:
        """Delete a vote; one that was not given is no error."""
        async with self._database.write() as transaction:
            await transaction.run(
                "DELETE FROM vote WHERE run = ? AND prompt = ? AND repeat = ? AND voter = ?",
                (number, prompt, repeat, voter),
            )

    async def of_run(self, number: int) -> list[RunVote]:
        """Return the votes on a run, by prompt."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(VOTES, (number,))
        return [vote_of(row) for row in rows]

    async def voters(self, number: int) -> list[StoredVoter]:
        """Return who voted on a run, by the earliest vote of each."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(VOTERS, (number,))
        return [StoredVoter(*row) for row in rows]
