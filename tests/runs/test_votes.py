"""Votes on the answers of a run: a voter's own can be told from those of others."""

from pathlib import Path
from typing import cast

from server.runs.reading import RunReader
from server.runs.shapes import RunVote, Target
from server.runs.store import Store, StoreLimits
from server.runs.votes import RunVoting

LIMITS = StoreLimits(sets=2, runs=2, file_bytes=1 << 30)


async def test_a_voter_can_list_only_the_own_votes(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "runs", LIMITS)
    kept = await store.sets.add("me", "one", [], "v1", "{}", 1)
    targets = [Target("m"), Target("n")]
    run = await store.add_run(
        "me", name="", set_id=kept.id, version="v1", targets=targets, repeats=1
    )
    for voter in ("me", "other"):
        vote = RunVote([1, 0], [0], prompt=0, voter=voter, created=1.0)
        await store.votes.give(run.number, vote)
    told: list[str] = []
    voting = RunVoting(store, cast(RunReader, None), told.append)
    own = await voting.browse("me", run.id, own_only=True)
    every = await voting.browse("me", run.id)
    assert told == []
    await voting.take_back("me", run.id, "0", 0)
    assert told == [run.id]
    await store.close()
    assert [vote.voter for vote in own.votes] == ["me"]
    assert [(vote.voter, vote.among) for vote in every.votes] == [("me", [1, 0]), ("other", [1, 0])]
