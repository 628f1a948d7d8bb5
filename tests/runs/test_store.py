"""The file of prompt sets and runs: brought up when it is older, bounded, and cleaned up."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from server.core.errors import Forbidden, RunLimit, UnknownPromptSet, UnknownRun
from server.core.protocol import Timings, Usage
from server.runs.answer_store import AnswerStore
from server.runs.answer_writer import AnswerWriter
from server.runs.judge_shapes import JudgeGiven
from server.runs.schema import SCHEMA
from server.runs.shapes import RunAnswer, Target
from server.runs.store import Store, StoreLimits
from server.storage.database import Database
from tests.runs.conftest import CEILING_SECONDS

LIMITS = StoreLimits(sets=2, runs=2, file_bytes=1 << 30)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    """Open the file while the block lasts."""
    store = await Store.open(path, LIMITS)
    try:
        yield store
    finally:
        await store.close()


async def versions(path: Path) -> list[str]:
    """Return the versions whose content the closed file has."""
    database = await Database.open(path, SCHEMA, max_bytes=1 << 30)
    try:
        async with database.read() as transaction:
            rows = await transaction.rows("SELECT version FROM content ORDER BY version")
    finally:
        await database.close()
    return [row[0] for row in rows]


@pytest.mark.parametrize("version", range(1, len(SCHEMA.migrations)))
async def test_a_file_of_an_earlier_version_is_brought_up(tmp_path: Path, version: int) -> None:
    path = tmp_path / "runs"
    earlier = replace(SCHEMA, migrations=SCHEMA.migrations[:version])
    database = await Database.open(path, earlier, max_bytes=1 << 30)
    given = '{"among": [0, 1], "winners": [1], "blind": true}'
    async with database.write() as transaction:
        await transaction.run("INSERT INTO content VALUES ('v', 'body', 1)")
        await transaction.run(
            "INSERT INTO run (id, owner, name, prompt_set, version, repeats, state, created,"
            " updated) VALUES ('r_old', 'me', 'old', 'p', 'v', 1, 'done', 1, 1)"
        )
        await transaction.run("INSERT INTO vote VALUES (1, 0, 0, 'me', 1, ?)", (given,))
    await database.close()
    async with opened(path) as store:
        run = await store.run("me", "r_old")
        assert (run.readers, len(await store.votes.of_run(run.number))) == ((), 1)
        kept = await store.sets.add("me", "one", [], "v", "body", 1)
        later = await store.add_run(
            "me", name="", set_id=kept.id, version="v", targets=[Target("m")], repeats=1
        )
        assert later.number == run.number + 1
        judge = await store.judges.add(run.number, JudgeGiven("m", "well?"))
        assert [one.judge.id for one in await store.judges.of_run(run.number)] == [judge.judge.id]
        told = await store.assessments.read(run.number)
        assert ([one.id for one in told.judges], told.votes) == ([judge.judge.id], 1)
        assert (await store.share("me", "r_old", ["you"])).readers == ("you",)
        assert (await store.run_seen_by("you", "r_old")).number == run.number
        await store.remove_run("me", "r_old")
        assert await store.runs("you", before="", limit=9) == []
    assert (tmp_path / f"runs.v{version}").exists()


async def test_a_list_has_own_and_shared_runs_each_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "runs") as store:
        kept = await store.sets.add("me", "one", [], "v1", "{}", 1)
        runs = [
            await store.add_run(
                owner, name="", set_id=kept.id, version="v1", targets=[Target("m")], repeats=1
            )
            for owner in ("me", "you", "me", "you")
        ]
        await store.share("me", runs[0].id, ["you", "*"])
        await store.share("me", runs[2].id, ["third"])
        listed = await store.runs("you", before="", limit=9)
        assert [run.number for run in listed] == [4, 2, 1]
        rest = await store.runs("you", before=runs[1].id, limit=9)
        assert [run.number for run in rest] == [1]
        with pytest.raises(Forbidden):
            await store.remove_run("you", runs[0].id)
        with pytest.raises(UnknownRun):
            await store.remove_run("you", runs[2].id)


async def test_a_content_is_kept_while_a_set_or_a_run_has_it(tmp_path: Path) -> None:
    path = tmp_path / "runs"
    async with opened(path) as store:
        kept = await store.sets.add("me", "one", [], "v1", "{}", 1)
        run = await store.add_run(
            "me", name="", set_id=kept.id, version="v1", targets=[Target("m")], repeats=1
        )
        await store.sets.replace_prompts("me", kept.id, "v2", "{}", 1)
        assert await store.sets.body("me", kept.id, "v1") == "{}"
        await store.sets.remove("me", kept.id)
        assert await store.content_of(run) == "{}"
    assert await versions(path) == ["v1"]
    async with opened(path) as store:
        await store.remove_run("me", run.id)
    assert await versions(path) == []


async def test_there_are_no_more_sets_and_runs_than_the_settings_allow(tmp_path: Path) -> None:
    async with opened(tmp_path / "runs") as store:
        for _ in range(2):
            kept = await store.sets.add("me", "one", [], "v1", "{}", 1)
            await store.add_run(
                "me", name="", set_id=kept.id, version="v1", targets=[Target("m")], repeats=1
            )
        with pytest.raises(RunLimit, match="2 prompt sets"):
            await store.sets.add("me", "three", [], "v1", "{}", 1)
        with pytest.raises(RunLimit, match="2 runs"):
            await store.add_run(
                "me", name="", set_id=kept.id, version="v1", targets=[Target("m")], repeats=1
            )
        await store.sets.add("other", "theirs", [], "v1", "{}", 1)
        with pytest.raises(UnknownPromptSet):
            await store.sets.body("other", kept.id)


async def test_who_waits_for_what_came_before_does_not_wait_for_what_comes_after() -> None:
    is_over = False

    class Busy:
        """Stores answers, and each time the next one has come."""

        async def add(self, answers: Iterable[tuple[int, RunAnswer]]) -> None:
            assert list(answers)
            await asyncio.sleep(0)
            if not is_over:
                writer.put(1, one)

    one = RunAnswer(
        prompt=0,
        target=0,
        repeat=0,
        ended=1.0,
        text="",
        finish_reason="stop",
        usage=Usage(1, 1),
        timings=Timings(0.0, 1.0, 2.0, 1.0),
    )
    writer = AnswerWriter(cast("AnswerStore", Busy()), lambda: None)
    writer.put(1, one)
    async with asyncio.timeout(CEILING_SECONDS):
        await writer.flush()
    is_over = True
    await writer.close()
