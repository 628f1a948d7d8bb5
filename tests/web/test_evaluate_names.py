"""`run.py evaluate`: what it is given by name, before it keeps or asks anything."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import StartWithFake
from tests.web.gateway import Gateway
from tests.web.test_evaluate import TABLE, evaluate


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a file with two prompts and their checks."""
    path = tmp_path / "capitals.csv"
    path.write_text(TABLE)
    return path


async def sets(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the sets that are kept, last changed first."""
    found: list[dict[str, Any]] = (await gateway.get("/prompt-sets")).json["sets"]
    return found


async def test_names_are_checked_before_anything_is_kept_or_asked(
    before_fake: StartWithFake, tmp_path: Path, table: Path
) -> None:
    gateway, fake = await before_fake(text="It is Paris.")
    wrong = (
        (["--models", "m,nobody"], "there is no model 'nobody'"),
        (["--models", "m", "--judge", "nosuch"], "there is no model 'nosuch'"),
        (["--models", "m", "--fail-under", "nosuch:pass>=0.5"], "there is no target 'nosuch'"),
        (["--models", "m", "--judge", "m", "--judge-by", "pairs"], "two targets or more"),
        # This is known to the gateway alone.
        (["--target", '{"model": "m", "parameters": {"heat": 1}}'], "unknown parameter 'heat'"),
    )
    ended = await asyncio.gather(
        *(evaluate(tmp_path, str(table), "--url", gateway.url, *words) for words, _ in wrong)
    )
    for one, (words, why) in zip(ended, wrong, strict=True):
        assert one.code == 2, f"{words}: {one}"
        assert why in one.err, f"{words}: {one.err}"
        assert one.out == ""
    assert await sets(gateway) == []
    assert (await gateway.get("/runs")).json["runs"] == []
    assert fake.state.requests == []


async def test_names_are_checked_before_a_run_goes_on(
    before_fake: StartWithFake, tmp_path: Path, table: Path
) -> None:
    gateway, fake = await before_fake(hold_after=1)
    kept = (await gateway.post("/prompt-sets", {"prompts": ["One?"]})).json["id"]
    given = {"prompt_set": kept, "targets": [{"model": "m", "name": "one"}]}
    run = (await gateway.post("/runs", given)).json["id"]
    await fake.state.reaches(started=1)
    await gateway.post(f"/runs/{run}/cancel")
    words = ["--run", run, "--url", gateway.url]
    ended = await evaluate(tmp_path, *words, "--fail-under", "two:cut==0")
    assert (ended.code, "there is no target 'two'" in ended.err) == (2, True)
    assert (await gateway.get(f"/runs/{run}")).json["state"] == "cancelled"


async def test_a_file_is_kept_once_and_a_name_that_two_have_is_refused(
    before_fake: StartWithFake, tmp_path: Path, table: Path
) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    words = ["--models", "m", "--url", gateway.url]
    for _ in range(2):
        ended = await evaluate(tmp_path, str(table), *words)
        assert ended.code == 0, ended.err
    (kept,) = await sets(gateway)
    # What a refused run leaves alone was there before.
    broken = ["--target", '{"model": "m", "parameters": {"heat": 1}}']
    assert (await evaluate(tmp_path, str(table), *words[2:], *broken)).code == 2
    assert await sets(gateway) == [kept]
    table.write_text(TABLE.replace("Peru", "Chad"))
    assert (await evaluate(tmp_path, str(table), *words)).code == 0
    ids = [one["id"] for one in await sets(gateway)]
    assert len(ids) == 2
    ended = await evaluate(tmp_path, "capitals", *words)
    assert ended.code == 2
    assert "2 prompt sets are called 'capitals'" in ended.err
    assert all(f"  {name}: 2 prompts" in ended.err for name in ids)
    ended = await evaluate(tmp_path, ids[1], *words)
    assert ended.code == 0, ended.err
    asked = [run["version"] for run in (await gateway.get("/runs")).json["runs"]]
    assert len(asked) == 4
    assert asked[0] == kept["version"] != asked[1]
