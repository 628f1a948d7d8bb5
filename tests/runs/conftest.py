"""A service of runs on a file, before a generation service and a fake fleet."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from server.access.principal import Principal
from server.core.protocol import End, Message
from server.models.state_changed import StateChanged
from server.runs.admission import RunLimits
from server.runs.questions import LoadBody
from server.runs.service import RunService
from server.runs.shapes import CheckOutcome, Run, RunGiven, Target
from server.runs.store import Store, StoreLimits
from tests.chat.conftest import ChatBackend, OpenBackend, chat_backend, person
from tests.fakes.tgi import Fake

__all__ = ["chat_backend"]
ME = person("me")
CEILING_SECONDS = 20.0


@dataclass(frozen=True)
class Prompts:
    """Prompts without variables; an answer passes if it has a word in it."""

    prompts: Sequence[str]
    word: str = ""
    commands: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.prompts)

    def title(self, prompt: int) -> str:
        return self.prompts[prompt]

    def messages(self, prompt: int, system: str | None = None) -> Sequence[Message]:
        return [Message("user", self.prompts[prompt])]

    def expected(self, prompt: int) -> str | None:
        return None

    def checks_due(self, prompt: int) -> int:
        return int(bool(self.word))

    def common(self) -> dict[str, Any]:
        return {}

    def row(self, prompt: int) -> dict[str, Any]:
        return {"prompt": self.prompts[prompt]}

    async def check(self, prompt: int, text: str, end: End) -> list[CheckOutcome]:
        if not self.word:
            return []
        return [CheckOutcome({"type": "contains"}, self.word in text, f"looked for {self.word}")]


async def read_questions(version: str, load: LoadBody) -> Prompts:
    """Return what a body has in it."""
    return Prompts(**json.loads(await load()))


@dataclass
class Runs:
    """A service of runs, and what is behind it."""

    backend: ChatBackend
    service: RunService
    path: Path
    keys: dict[str, Principal]
    seen: list[Run] = field(default_factory=list)

    async def prompt_set(self, *prompts: str, word: str = "") -> str:
        """Store a set; return its id."""
        body = json.dumps({"prompts": prompts, "word": word})
        version = f"v{abs(hash(body))}"
        summary = await self.service.store.sets.add("me", "set", [], version, body, len(prompts))
        return summary.id

    async def begin(self, *models: str, prompts: int = 3, repeats: int = 1, word: str = "") -> Run:
        """Begin a run of so many prompts, with short answers."""
        name = await self.prompt_set(*(f"prompt {n}" for n in range(prompts)), word=word)
        targets = [Target(model, {"max_new_tokens": 4}) for model in models]
        return await self.service.create(ME, RunGiven(name, targets, repeats))

    async def ended(self, run: Run) -> Run:
        """Return a run of mine once it is over."""
        return await self.ended_of("me", run)

    async def ended_of(self, owner: str, run: Run) -> Run:
        """Return a run of this owner once it is over."""
        changes = self.service.following.follow(owner, run.id, CEILING_SECONDS)
        async with asyncio.timeout(CEILING_SECONDS):
            told = [changed async for changed in changes if changed is not None]
        return told[-1]

    def requests(self, model: str = "a") -> list[str]:
        """Return the prompts that the server of a model was asked, one for each request."""
        fake = self.backend.stage.runner.server(model).fake
        assert fake is not None
        return [json.dumps(one) for one in fake.state.requests]


async def fake_of(runs: Runs, model: str = "a") -> Fake:
    """Return the server of a model, once it is ready."""
    await runs.backend.stage.state("ready", model)
    fake = runs.backend.stage.runner.server(model).fake
    assert fake is not None
    return fake


async def until(runs: Runs, is_so: Callable[[], bool]) -> None:
    """Return once that is so; it is looked at after each change of a run."""
    changed = StateChanged()
    done = runs.service.following.subscribe(lambda _: changed.notify_all())
    async with asyncio.timeout(CEILING_SECONDS):
        await changed.wait_for(lambda: bool(runs.seen) and is_so())
    done()


async def until_asking(runs: Runs, run: Run, count: int) -> None:
    """Return once so many answers of a run are under way, those that wait included."""
    changed = asyncio.Event()
    done = runs.service.following.subscribe(lambda _: changed.set())
    async with asyncio.timeout(CEILING_SECONDS):
        while True:
            changed.clear()
            rows = (await runs.service.reading.rows("me", run.id, 0, 200)).rows
            if sum(cell.state == "asking" for row in rows for cell in row.cells) == count:
                break
            await changed.wait()
    done()


OpenRuns = Callable[..., Any]


@pytest.fixture
async def open_runs(chat_backend: OpenBackend, tmp_path: Path) -> AsyncIterator[OpenRuns]:
    """Return `await open_runs(...)`, told how models and limits are as `chat_backend` is.

    With `again=` an earlier one, its file is opened again, before its fleet.
    """
    async with AsyncExitStack() as stack:

        async def opened(
            runner: Any = None,
            *,
            again: Runs | None = None,
            answers: int = 1000,
            concurrent: int = 2,
            file_bytes: int = 1 << 30,
            **words: Any,
        ) -> Runs:
            backend = again.backend if again else await chat_backend(runner, **words)
            path = tmp_path / "runs"
            store = await Store.open(path, StoreLimits(100, 100, file_bytes))
            keys = {"me": ME}
            service = RunService(
                store,
                backend.stage.fleet,
                backend.service,
                keys.get,
                read_questions,
                RunLimits(answers, concurrent),
            )
            await service.take_up()
            runs = Runs(backend, service, path, keys)
            service.following.subscribe(runs.seen.append)
            stack.push_async_callback(_close, service)
            return runs

        yield opened


async def _close(service: RunService) -> None:
    if not service.is_closed:
        await service.close(grace_seconds=0)
