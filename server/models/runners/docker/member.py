"""One Docker engine of several: its runner, what it is, and whether it answers now.

Rules:

1. An engine answers once its events can be followed, it has told what it is, and its containers
   were looked through (`on_answer`): what is left over of earlier has then been found.
2. It is away when its events break off, or a request was not answered (`doubt`); it is asked again
   until it answers.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from server.core.docker_engine import gives_gpus, identity_of
from server.core.errors import ModelFailed
from server.core.offers import Offer
from server.engines.cause import Cause
from server.models.capacity.gpus import gpu_takes
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.docker.runner import DockerRunner
from server.models.state_changed import StateChanged
from server.settings.docker_engines import gpus_of
from server.settings.tables import DockerEngineSettings, DockerSettings

logger = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 5.0
_HINT: Final = "see whether the machine is on and its Docker engine runs; it is asked again"


@dataclass(frozen=True)
class EngineFacts:
    """What an engine says of itself; `identity` is that of `identity_of`."""

    identity: tuple[str, str, str]
    memory_bytes: int
    has_gpus: bool

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> "EngineFacts":
        """Read an engine's description of itself."""
        return cls(identity_of(info), int(info.get("MemTotal") or 0), gives_gpus(info))


class Member:
    """One of several engines; its `name` is that of its section, empty for `[docker]`."""

    def __init__(
        self,
        name: str,
        runner: DockerRunner,
        docker: DockerSettings,
        settings: DockerEngineSettings,
    ) -> None:
        self.name = name
        self.runner = runner
        self.facts: EngineFacts | None = None
        """What it said when it last answered."""
        self.answers = False
        self._changed = StateChanged()
        self._docker = docker
        self._settings = settings
        self._refused: ModelFailed | None = None
        self._was_asked = False
        self._is_barred = False
        self._doubted = asyncio.Event()
        self._on_change: Callable[[bool], None] = lambda is_back: None
        self._task: asyncio.Task[None] | None = None

    # --- what is known of it ----------------------------------------------------------------

    @property
    def was_reached(self) -> bool:
        """Tell whether it has ever answered and may be used; if so, it is waited for."""
        return self.facts is not None and not self._is_barred

    @property
    def trouble(self) -> str:
        """Return why it does not answer, for people; empty if it does."""
        if self.answers:
            return ""
        refused = self._refused
        said = refused.reason if isinstance(refused, DockerUnreachable) else str(refused or "")
        return self.runner.events.trouble or said or "no answer yet"

    @property
    def lost(self) -> Cause:
        """Return why a server is lost that was on it."""
        return Cause(
            "engine_unreachable",
            f"the Docker engine {self.name}, which the model server ran on, is away",
            _HINT,
            loses_place=True,
        )

    def unreachable(self) -> DockerUnreachable:
        """Return the error for a request of it."""
        verb, hint, refused = "reached", _HINT, self._refused
        is_unreachable = self.runner.events.trouble or isinstance(refused, DockerUnreachable)
        if refused is not None and not is_unreachable:
            verb, hint = "used", refused.hint or _HINT
        what = f"the Docker engine {self.name} cannot be {verb}"
        return DockerUnreachable(self.trouble, hint, (what, "engine_unreachable"))

    def offer(self, spec: ModelSpec, *, runs_already: bool = False) -> Offer:
        """Return its offer to a model."""
        budget, gpus = self._settings.memory_budget, gpus_of(self._settings)
        facts = self.facts or EngineFacts(("", "", ""), 0, has_gpus=False)
        has_gpus = facts.has_gpus and gpus != frozenset()
        takes = gpu_takes(spec, self._docker, has_gpus=has_gpus)
        return Offer(self.name, budget, facts.memory_bytes, gpus, takes, runs_already)

    # --- watching ---------------------------------------------------------------------------

    def watch(
        self, on_answer: Callable[["Member"], Awaitable[None]], on_change: Callable[[bool], None]
    ) -> None:
        """Begin to watch it; does nothing if it is watched already.

        `on_answer` is awaited when it answers again, before others learn of that. It may raise
        `ModelFailed`, and the engine is then asked again. `on_change` is called afterwards, and
        when it has gone away, with whether it answers.
        """
        if self._task is None:
            self._on_change = on_change
            self.runner.events.listen()
            name = f"watching the Docker engine {self.name}"
            self._task = asyncio.create_task(self._watch(on_answer), name=name)

    async def wait_until_asked(self) -> None:
        """Wait until it has answered or failed to for the first time."""
        await self._changed.wait_for(lambda: self._was_asked)

    async def wait_until(self, *, answers: bool) -> None:
        """Wait until it answers, or does not."""
        await self._changed.wait_for(lambda: self.answers is answers)

    def bar(self, error: ModelFailed) -> None:
        """Do not use it, and keep nobody waiting for it, until it was asked again."""
        self._is_barred = True
        self.doubt(error)

    def doubt(self, error: ModelFailed) -> None:
        """Count it as away until it was asked again: it did not answer a request."""
        self._refused = error
        self._doubted.set()
        self._set(answers=False)

    async def close(self) -> None:
        """Stop watching, and close the runner; containers go on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.runner.close()

    async def _watch(self, on_answer: Callable[["Member"], Awaitable[None]]) -> None:
        events = self.runner.events
        while True:
            count = events.count
            self._doubted.clear()
            if not events.is_connected:
                self._was_asked = self._was_asked or count > 0
                self._set(answers=False)
            elif not self.answers:
                await self._ask(on_answer)
            await self._until_next(count)

    async def _ask(self, on_answer: Callable[["Member"], Awaitable[None]]) -> None:
        known = self.facts
        try:
            self.facts = EngineFacts.read(await self.runner.engine.info())
            await on_answer(self)
        except ModelFailed as error:
            if str(self._refused) != str(error):
                logger.warning("the Docker engine %s: %s", self.name or "of [docker]", error)
            self._refuse(known, error)
            return
        except Exception as error:
            # Every use of the engine depends on this task.
            logger.exception("the Docker engine %s cannot be used", self.name or "of [docker]")
            self._refuse(known, ModelFailed(str(error)))
            return
        if self.name:
            logger.info("the Docker engine %s answers%s", self.name, " again" if known else "")
        self._refused, self._was_asked, self._is_barred = None, True, False
        self._set(answers=True)

    def _refuse(self, known: EngineFacts | None, error: ModelFailed) -> None:
        self.facts, self._refused, self._was_asked = known, error, True
        self._set(answers=False)

    async def _until_next(self, count: int) -> None:
        """Wait for an event of the engine, for a doubt, or for the next try."""
        waits = [
            asyncio.ensure_future(self.runner.events.after(count)),
            asyncio.ensure_future(self._doubted.wait()),
        ]
        is_refused = self.runner.events.is_connected and not self.answers
        try:
            await asyncio.wait(
                waits,
                timeout=_RETRY_SECONDS if is_refused else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for one in waits:
                one.cancel()
            await asyncio.wait(waits)

    def _set(self, *, answers: bool) -> None:
        was, self.answers = self.answers, answers
        if was and not answers and self.name:
            logger.warning("the Docker engine %s is away: %s", self.name, self.trouble)
        self._changed.notify_all()
        if was is not answers:
            self._on_change(answers)


def none_answers(members: Iterable[Member]) -> DockerUnreachable:
    """Return the error for engines none of which answers."""
    several = [member for member in members if member.name]
    if len(several) == 1:
        return several[0].unreachable()
    return DockerUnreachable(
        "; ".join(f"{member.name}: {member.trouble}" for member in several),
        "see whether the machines are on and their Docker engines run; they are asked again",
        ("no Docker engine can be reached", "engine_unreachable"),
    )
