"""`run.py evaluate` with a key: the right one, a wrong one, and one that is revoked amid it."""

import asyncio
from pathlib import Path

from server.web.entry.gate import GATE
from server.web.keys import RUNS
from tests.access.conftest import Open
from tests.access.keyed_gateway import CEILING_SECONDS, KeyedGateway
from tests.web.test_evaluate import TABLE, begin, evaluate


def file_in(folder: Path, text: str = TABLE) -> str:
    """Write prompts into a file, and return its name."""
    path = folder / "capitals.csv"
    path.write_text(text)
    return str(path)


async def test_the_key_says_whose_the_run_is(keyed: KeyedGateway, tmp_path: Path) -> None:
    keyed.fake.state.release()
    words = (file_in(tmp_path), "--models", "m", "--url", keyed.gateway.url)
    for wrong in ([], ["--key", "sk-wrong"]):
        refused = await evaluate(tmp_path, *words, *wrong)
        assert refused.code == 2
        assert "key" in refused.err
        # What programs send is of no use to somebody at a terminal.
        assert "--key" in refused.err
        assert "Authorization" not in refused.err
        assert "Traceback" not in refused.err
    ended = await evaluate(tmp_path, *words, "--key", keyed.keys["use"])
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[2].startswith("m ")
    for key, count in (("use", 1), ("op", 0)):
        assert len((await keyed.ask("GET", "/runs", key=key)).json["runs"]) == count


async def test_a_key_that_is_revoked_ends_the_evaluation_and_keeps_what_was_answered(
    open_keyed: Open, tmp_path: Path
) -> None:
    keyed = await open_keyed(text="one two three", hold_after=1)
    secret = keyed.keys["use"]
    holder = keyed.gateway.app[GATE].keyring.find(secret)
    assert holder is not None
    owner = holder.id
    # More than are asked at once.
    file = file_in(tmp_path, "prompt\n" + "Why?\n" * 200)
    words = (file, "--models", "m", "--url", keyed.gateway.url)
    process = await begin(tmp_path, *words, "--key", secret)
    await keyed.fake.state.reaches(started=1)
    keyed.remove("use")
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"key" in err
    assert b"Traceback" not in err
    keyed.fake.state.release()
    ended = asyncio.Event()
    runs = keyed.gateway.app[RUNS]
    unsubscribe = runs.following.subscribe(
        lambda run: ended.set() if run.state != "running" else None
    )
    ((run,),) = [await runs.store.runs(owner, before="", limit=9)]
    if run.state == "running":
        async with asyncio.timeout(CEILING_SECONDS):
            await ended.wait()
    unsubscribe()
    kept = await runs.store.run(owner, run.id)
    assert (kept.state, kept.error and kept.error.code) == ("paused", "unauthorized")
    counts = (await runs.store.answers.counts(kept.number))[0]
    assert 0 < counts.answered < 200
    assert counts.failed == 0
