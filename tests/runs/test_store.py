"""The file of prompt sets and runs: brought up when it is older, bounded, and cleaned up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from server.core.errors import RunLimit, UnknownPromptSet
from server.runs.judge_shapes import JudgeGiven
from server.runs.schema import SCHEMA
from server.runs.shapes import Target
from server.runs.store import Store, StoreLimits
from server.storage.database import Database

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


async def test_a_file_of_the_first_version_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "runs"
    first = replace(SCHEMA, migrations=SCHEMA.migrations[:1])
    database = await Database.open(path, first, max_bytes=1 << 30)
    async with database.write() as transaction:
        await transaction.run("INSERT INTO content VALUES ('v', 'body', 1)")
        await transaction.run(
            "INSERT INTO run (id, owner, name, prompt_set, version, repeats, state, created,"
            " updated) VALUES ('r_old', 'me', 'old', 'p', 'v', 1, 'done', 1, 1)"
        )
    await database.close()
    async with opened(path) as store:
        run = await store.run("me", "r_old")
        judge = await store.judges.add(run.number, JudgeGiven("m", "well?"))
        assert [one.judge.id for one in await store.judges.of_run(run.number)] == [judge.judge.id]
    assert (tmp_path / "runs.v1").exists()


async def test_a_content_is_kept_while_a_set_or_a_run_has_it(tmp_path: Path) -> None:
    path = tmp_path / "runs"
    async with opened(path) as store:
        kept = await store.add_set("me", "one", [], "v1", "{}", 1)
        run = await store.add_run(
            "me", name="", set_id=kept.id, version="v1", targets=[Target("m")], repeats=1
        )
        await store.replace_prompts("me", kept.id, "v2", "{}", 1)
        assert await store.body("me", kept.id, "v1") == "{}"
        await store.remove_set("me", kept.id)
        assert await store.content_of(run) == "{}"
    assert await versions(path) == ["v1"]
    async with opened(path) as store:
        await store.remove_run("me", run.id)
    assert await versions(path) == []


async def test_there_are_no_more_sets_and_runs_than_the_settings_allow(tmp_path: Path) -> None:
    async with opened(tmp_path / "runs") as store:
        for _ in range(2):
            kept = await store.add_set("me", "one", [], "v1", "{}", 1)
            await store.add_run(
                "me", name="", set_id=kept.id, version="v1", targets=[Target("m")], repeats=1
            )
        with pytest.raises(RunLimit, match="2 prompt sets"):
            await store.add_set("me", "three", [], "v1", "{}", 1)
        with pytest.raises(RunLimit, match="2 runs"):
            await store.add_run(
                "me", name="", set_id=kept.id, version="v1", targets=[Target("m")], repeats=1
            )
        await store.add_set("other", "theirs", [], "v1", "{}", 1)
        with pytest.raises(UnknownPromptSet):
            await store.body("other", kept.id)
