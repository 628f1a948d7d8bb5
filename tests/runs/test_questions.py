"""What runs ask, read from sets as they are stored."""

from functools import partial
from pathlib import Path

from server.evaluation.checks.worker import CheckWorkers
from server.evaluation.files.building import Common, PromptLimits
from server.runs.questions import QuestionReader
from server.runs.sets import SetLibrary
from server.runs.store import Store, StoreLimits


async def test_a_set_is_read_again_though_it_is_longer_stored_than_its_file(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "runs", StoreLimits(10, 10, 1 << 24))
    table = "prompt,expected\n" + "".join(f"{n},{n}\n" for n in range(20))
    library = SetLibrary(store, PromptLimits(max_bytes=len(table), max_prompts=20))
    kept = await library.add_file("me", table.encode(), "csv", Common())
    assert (await library.whole("me", kept.id, "")).prompts == 20
    body = await store.sets.body("me", kept.id)
    assert len(body) > len(table)
    async with CheckWorkers() as workers:
        read = QuestionReader(workers)
        assert len(await read(kept.version, partial(store.sets.body, "me", kept.id))) == 20
    # The operator lowers the limits.
    library.limits = PromptLimits(max_bytes=10, max_prompts=2, max_prompt_chars=1)
    assert (await library.whole("me", kept.id, "")).prompts == 20
    await store.close()
