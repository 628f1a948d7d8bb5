"""Ask all that is still to be asked in one run, and keep what comes.

Rules:

1. An answer that is complete is never asked again; one that was cut off by a pause, a cancel or the
   gateway's end is.
2. As many answers of a server are under way as it writes at once, and a few more that wait, so that
   none of its slots is idle. They wait in the background: people go first.
3. An answer that a server lost or refused is asked again, `ATTEMPTS` times in all; then its
   failure is kept as its result.
4. A server that does not start, `STARTS` times in a row, is asked nothing more, and its targets
   fail; what they have not answered stays to be asked. Other servers go on.
5. While answers cannot be stored, nothing new is asked.
6. Whoever asks has the rights of the moment: without a valid key, nothing more is asked.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from server.access.principal import Caller
from server.chat.generation_service import GenerationService
from server.chat.reading import until_end
from server.chat.relay import GenerationTask
from server.chat.request import GenerationRequest
from server.core.errors import (
    RateLimited,
    ShuttingDown,
    SidestreamError,
    Unauthorized,
    UnknownModel,
)
from server.core.protocol import End, ErrorInfo
from server.models.fleet import Fleet
from server.runs.answers import checked, complete, refused
from server.runs.plan import Log, Plan
from server.runs.servers import ServerUse
from server.runs.shapes import CellKey, RunAnswer

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 3
"""How often an answer is asked for whose server fails; most failures do not come back."""
STARTS: Final = 3
"""How many starts of a server may fail in a row."""
_RETRIED: Final = frozenset(
    {"engine_error", "engine_overloaded", "engine_limited", "engine_timeout", "model_failed"}
)
# Waiting answers take over a slot in the step in which it becomes free.
_WAITING_SHARE: Final = 4
_MIN_PAUSE_SECONDS: Final = 1.0


@dataclass
class _Group:
    """The targets of one model server, and what is still to be asked of it."""

    places: list[int]
    cells: deque[CellKey]
    unseen: Iterator[CellKey]
    live: dict[CellKey, GenerationTask] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    attempts: Counter[CellKey] = field(default_factory=Counter)
    failed_starts: int = 0
    last_failure: float = 0.0
    error: ErrorInfo | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def next(self) -> CellKey | None:
        return self.cells.popleft() if self.cells else next(self.unseen, None)


class Driver:
    """Ask what is to be asked, until all is done, or `stop` is called."""

    def __init__(
        self,
        plan: Plan,
        log: Log,
        fleet: Fleet,
        generations: GenerationService,
        servers: ServerUse,
        *,
        max_concurrent: int,
    ) -> None:
        self._plan = plan
        self._log = log
        self._fleet = fleet
        self._generations = generations
        self._servers = servers
        self._max_concurrent = max_concurrent
        self._gone: dict[int, ErrorInfo] = {}
        self._groups: list[_Group] = []
        self._asking = 0
        self.has_ended = False
        """Whether nothing is asked any more, of any model server."""
        self._stopped = asyncio.Event()
        self.error: ErrorInfo | None = None
        """Why it stopped by itself, before all was asked."""

    @property
    def is_stopped(self) -> bool:
        """Tell whether it was stopped, by `stop` or since the gateway is about to stop."""
        return self._stopped.is_set()

    async def run(self) -> bool:
        """Ask; return whether all is answered.

        Cancelled, answers under way are cancelled, and asked again another time.
        """
        self._groups = self._divided()
        self._asking = len(self._groups)
        self.has_ended = not self._groups
        async with asyncio.TaskGroup() as tasks:
            for group in self._groups:
                tasks.create_task(self._run_group(group), name=f"{self._plan.id} group")
        expected = len(self._plan.questions) * len(self._plan.targets) * self._plan.repeats
        return len(self._plan.done) == expected

    def stop(self) -> None:
        """Ask for nothing more; `run` returns when the answers being written are complete."""
        self._stopped.set()
        for group in self._groups:
            group.wake.set()
            for started in group.live.values():
                if started.generation.state != "running":
                    started.cancel("interrupted")
        self._servers.look_again()

    # --- one model server -------------------------------------------------------------------

    def _divided(self) -> list[_Group]:
        """Divide the targets by model server; those whose model is gone fail."""
        places: dict[str, list[int]] = {}
        for place, target in enumerate(self._plan.targets):
            try:
                root = self._fleet.spec(target.model).root
            except UnknownModel as error:
                self._give_up(place, ErrorInfo.of(error))
            else:
                places.setdefault(root, []).append(place)
        return [self._group(several) for several in places.values()]

    def _group(self, places: list[int]) -> _Group:
        """Return the targets of one server; one that loads a model at a time is asked by model."""
        info = self._fleet.info(self._plan.targets[places[0]].model)
        parts = [[place] for place in places] if info.holds_one_model else [places]
        return _Group(places, deque(), self._cells(parts))

    def _cells(self, parts: Sequence[Sequence[int]]) -> Iterator[CellKey]:
        """Yield what is to be asked, part by part of the targets.

        In a part prompt by prompt, so that targets can be compared early.
        """
        for part in parts:
            for repeat in range(self._plan.repeats):
                for prompt in range(len(self._plan.questions)):
                    for place in part:
                        if (prompt, place, repeat) not in self._plan.done:
                            yield prompt, place, repeat

    async def _run_group(self, group: _Group) -> None:
        try:
            while self._has_next(group) and not self._is_over(group):
                place = group.cells[0][1]
                try:
                    model = self._plan.targets[place].model
                    async with self._servers.use(model, partial(self._is_over, group)) as is_used:
                        if is_used:
                            await self._ask_while_allowed(group)
                except UnknownModel as error:
                    # Removed while it was waited for; others of the server may go on.
                    self._give_up(place, ErrorInfo.of(error))
        finally:
            for task in group.tasks:
                task.cancel()
            if group.tasks:
                await asyncio.wait(group.tasks)
        self._asking -= 1
        self.has_ended = not self._asking
        self._finish(group)

    def _has_next(self, group: _Group) -> bool:
        """Tell whether a cell is left, and have it first in `group.cells`."""
        while (cell := group.next()) is not None:
            if cell[1] not in self._gone:
                group.cells.appendleft(cell)
                return True
        return False

    async def _ask_while_allowed(self, group: _Group) -> None:
        """Ask until nothing is left or the server is wanted by others; all asked is then complete.

        What is left has its next cell in `group.cells`.
        """
        unsubscribe = self._fleet.subscribe(lambda _: group.wake.set())
        try:
            while True:
                group.wake.clear()
                await self._fill(group)
                if not group.tasks and (self._is_held(group) or not group.cells):
                    return
                await group.wake.wait()
        finally:
            unsubscribe()

    async def _fill(self, group: _Group) -> None:
        while len(group.tasks) < self._width(group) and not self._is_held(group):
            await self._log.until_writable()
            if self._is_held(group):
                break
            if not self._has_next(group):
                return
            cell = group.cells.popleft()
            task = asyncio.create_task(self._ask(group, cell), name=f"{self._plan.id} {cell}")
            group.tasks.add(task)
            task.add_done_callback(partial(_end, group))
        self._has_next(group)

    def _is_held(self, group: _Group) -> bool:
        return self._is_over(group) or self._servers.others_wait()

    def _is_over(self, group: _Group) -> bool:
        return self.is_stopped or group.error is not None

    def _width(self, group: _Group) -> int:
        """Return how many answers may be under way."""
        place = next((place for place in group.places if place not in self._gone), group.places[0])
        try:
            capacity = self._fleet.capacity(self._plan.targets[place].model)
        except UnknownModel:
            return 1
        writing = capacity or self._max_concurrent
        return writing + max(1, writing // _WAITING_SHARE)

    def _finish(self, group: _Group) -> None:
        for place in group.places:
            if place in self._gone:
                continue
            if group.error is not None:
                self._log.target_changed(place, "failed", group.error)
            elif self._is_complete(place):
                self._log.target_changed(place, "done", None)
            else:
                self._log.target_changed(place, "waiting", None)

    def _is_complete(self, place: int) -> bool:
        return next(self._cells([[place]]), None) is None

    def _give_up(self, place: int, error: ErrorInfo) -> None:
        """Ask nothing more of one target."""
        self._gone[place] = error
        self._log.target_changed(place, "failed", error)

    # --- one answer -------------------------------------------------------------------------

    async def _ask(self, group: _Group, cell: CellKey) -> None:
        prompt, place, _ = cell
        target, questions = self._plan.targets[place], self._plan.questions
        try:
            caller = self._plan.caller()
        except Unauthorized as error:
            self.error = ErrorInfo.of(error)
            self.stop()
            return
        try:
            request = self._generations.prepare(
                target.model,
                questions.messages(prompt, target.system),
                parameters=[target.parameters],
                system=target.system,
                default_length=self._plan.default_length,
                principal=caller.principal,
            ).with_seed()
        except UnknownModel as error:
            self._give_up(place, ErrorInfo.of(error))
            return
        except SidestreamError as error:
            self._keep(cell, refused(cell, ErrorInfo.of(error)))
            return
        began = time.monotonic()
        started = await self._start(cell, request, caller)
        if started is None:
            return
        group.live[cell] = started
        self._log.begun(cell, started.generation)
        try:
            end = await until_end(started.generation)
        except asyncio.CancelledError:
            started.cancel("interrupted")
            raise
        finally:
            del group.live[cell]
        if end.finish_reason in ("cancelled", "interrupted"):
            self._log.dropped(cell)
        elif self._is_to_be_retried(group, cell, end, began):
            self._log.dropped(cell)
            if group.error is None:
                group.cells.append(cell)
        else:
            answer = complete(cell, started.generation, end, request)
            if end.finish_reason != "failed":
                group.failed_starts = 0
                checks = await questions.check(prompt, answer.text, end)
                answer = checked(answer, checks)
            self._keep(cell, answer)

    async def _start(
        self, cell: CellKey, request: GenerationRequest, caller: Caller
    ) -> GenerationTask | None:
        """Start an answer once the limits allow it; None if the gateway is about to stop."""
        while not self.is_stopped:
            try:
                (started,) = self._generations.start(
                    [("-".join(map(str, (self._plan.id, *cell))), request)],
                    party=self._plan.id,
                    caller=caller,
                    keeps_tokens=False,
                    is_background=True,
                )
            except RateLimited as limit:
                seconds = (limit.details or {}).get("retry_after_seconds", _MIN_PAUSE_SECONDS)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(seconds, _MIN_PAUSE_SECONDS)):
                        await self._stopped.wait()
            except ShuttingDown:
                self.stop()
            else:
                return started
        return None

    def _is_to_be_retried(self, group: _Group, cell: CellKey, end: End, began: float) -> bool:
        """Tell whether an answer that failed is asked for again; a server may be given up."""
        if end.error is None or end.error.code not in _RETRIED:
            return False
        if end.error.code == "model_failed" and end.timings.queued_ms is None:
            # The start failed. All that waited for it failed with it, and are one failure.
            if began >= group.last_failure:
                group.failed_starts += 1
                group.last_failure = time.monotonic()
            if group.failed_starts >= STARTS:
                group.error = end.error
            return True
        group.attempts[cell] += 1
        return group.attempts[cell] < ATTEMPTS

    def _keep(self, cell: CellKey, answer: RunAnswer) -> None:
        self._plan.done.add(cell)
        self._log.keep(answer)


MakeDriver = Callable[[Plan, Log], Driver]
"""Make what asks for one run, or for one judge."""


def _end(group: _Group, task: asyncio.Task[None]) -> None:
    group.tasks.discard(task)
    group.wake.set()
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("an answer of a run broke", exc_info=error)
        group.error = group.error or ErrorInfo.of(SidestreamError("internal error"))
