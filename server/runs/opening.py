"""Put prompt sets and runs together."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from server.access.principal import Principal
from server.chat.generation_service import GenerationService
from server.evaluation.checks.worker import CheckWorkers
from server.evaluation.files.building import PromptLimits
from server.models.fleet import Fleet
from server.runs.admission import RunLimits
from server.runs.board import Leaderboards, ReadRounds
from server.runs.command_checks import CommandChecks
from server.runs.questions import QuestionReader
from server.runs.service import RunService
from server.runs.sets import SetLibrary
from server.runs.store import Store, StoreLimits
from server.settings.command_checks import CommandCheckSettings
from server.settings.runs import RunSettings


class Opened(NamedTuple):
    """Prompt sets, and the runs that ask them."""

    sets: SetLibrary
    runs: RunService
    checks: CommandChecks
    boards: Leaderboards


@asynccontextmanager
async def open_runs(
    path: Path,
    settings: RunSettings,
    fleet: Fleet,
    generations: GenerationService,
    holder: Callable[[str], Principal | None],
    named: Callable[[str], Principal | None],
    command_checks: Mapping[str, CommandCheckSettings],
    read_rounds: ReadRounds,
) -> AsyncIterator[Opened]:
    """Open the file and go on with the runs in it, while the context lasts.

    `holder` finds the principal of a key's id, `named` that of a key's name; `read_rounds` reads
    somebody's votes on chats. Raises `UnusableFile` or `StorageFailed`.
    """
    checks = CommandChecks(command_checks)
    prompts = PromptLimits(max_bytes=int(settings.max_set_size), max_prompts=settings.max_prompts)
    async with CheckWorkers() as workers:
        store = await Store.open(
            path, StoreLimits(settings.max_sets, settings.max_runs, settings.max_size)
        )
        runs = RunService(
            store,
            fleet,
            generations,
            holder,
            QuestionReader(workers, checks),
            RunLimits(settings.max_answers, settings.max_concurrent),
            named,
            lambda: checks.names,
        )
        sets = SetLibrary(store, prompts, lambda: checks.names)
        try:
            await runs.take_up()
            boards = Leaderboards(store.board, read_rounds, flush=runs.reading.flush)
            yield Opened(sets, runs, checks, boards)
        finally:
            await sets.close()
            await runs.close(grace_seconds=0)
