"""Put prompt sets and runs together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from server.access.principal import Principal
from server.chat.generation_service import GenerationService
from server.evaluation.checks.worker import CheckWorkers
from server.evaluation.files.building import PromptLimits
from server.models.fleet import Fleet
from server.runs.questions import QuestionReader
from server.runs.service import RunLimits, RunService
from server.runs.sets import SetLibrary
from server.runs.store import Store, StoreLimits
from server.settings.runs import RunSettings


class Opened(NamedTuple):
    """Prompt sets, and the runs that ask them."""

    sets: SetLibrary
    runs: RunService


@asynccontextmanager
async def open_runs(
    path: Path,
    settings: RunSettings,
    fleet: Fleet,
    generations: GenerationService,
    holder: Callable[[str], Principal | None],
) -> AsyncIterator[Opened]:
    """Open the file and go on with the runs in it, while the context lasts.

    `holder` finds the principal of a key's id. Raises `UnusableFile` or `StorageFailed`.
    """
    prompts = PromptLimits(max_bytes=settings.max_set_size, max_prompts=settings.max_prompts)
    async with CheckWorkers() as workers:
        store = await Store.open(
            path, StoreLimits(settings.max_sets, settings.max_runs, settings.max_size)
        )
        runs = RunService(
            store,
            fleet,
            generations,
            holder,
            QuestionReader(workers),
            RunLimits(settings.max_answers, settings.max_concurrent),
        )
        try:
            await runs.take_up()
            yield Opened(SetLibrary(store, prompts), runs)
        finally:
            await runs.close(grace_seconds=0)
