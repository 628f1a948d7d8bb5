"""Prompt sets and runs, for every transport.

Rules:

1. A run goes on without anybody who looks at it, and is taken up again when the gateway starts.
2. A run asks with the rights of the key that began it. Without that key it is paused.
3. What changes a run waits until the answers being written are complete, and are stored.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from server.access.principal import Caller, Principal
from server.chat.generation_service import GenerationService
from server.chat.storing import engine_of
from server.core.errors import (
    Contradiction,
    InvalidCommand,
    RunLimit,
    SidestreamError,
    StorageFailed,
    Unauthorized,
)
from server.core.protocol import ErrorInfo
from server.evaluation.problems import Problem, invalid
from server.models.fleet import Fleet
from server.runs.answer_writer import AnswerWriter
from server.runs.driver import Driver, Plan
from server.runs.following import RunFollowing, Watcher
from server.runs.judging import RunJudging
from server.runs.live_run import LiveRun
from server.runs.metrics import RunMetrics
from server.runs.questions import RunQuestions
from server.runs.reading import ReadQuestions, RunReader
from server.runs.servers import ServerUse
from server.runs.shapes import (
    MAX_TARGETS,
    Run,
    RunExtension,
    RunGiven,
    RunListing,
    RunState,
    Target,
)
from server.runs.sharing import readers_of
from server.runs.store import Store, StoredRun, StoredTarget
from server.runs.votes import RunVoting

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunLimits:
    """How much a run may have, and how many answers of a server it asks for at once."""

    answers: int
    max_concurrent: int


class RunService:
    """Begin runs, carry them out, and tell how far they are."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        generations: GenerationService,
        holder: Callable[[str], Principal | None],
        read_questions: ReadQuestions,
        limits: RunLimits,
        named: Callable[[str], Principal | None] = lambda _: None,
        commands: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self.store = store
        self._fleet = fleet
        self._generations = generations
        self._holder = holder
        self._named = named
        self._commands = commands
        self._read_questions = read_questions
        self._limits = limits
        self._servers = ServerUse(fleet)
        self.metrics = RunMetrics()
        self._writer = AnswerWriter(store.answers, self._tell_all)
        self._live: dict[str, LiveRun] = {}
        self.reading = RunReader(store, self._writer, read_questions, self._live, holder)
        self.following = RunFollowing(store, self.reading, self._live, lambda: self.is_closed)
        self.voting = RunVoting(store, self.reading)
        self.judging = RunJudging(
            store,
            self.reading,
            fleet,
            generations,
            self._servers,
            self._caller,
            self.metrics,
            max_concurrent=limits.max_concurrent,
        )
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._storing: set[asyncio.Task[None]] = set()
        self.is_closed = False

    async def take_up(self) -> None:
        """Go on with the runs that the last gateway left under way."""
        for run in await self.store.unfinished():
            logger.info("run %s goes on", run.id)
            await self._begin(run)
        await self.judging.take_up()

    def refuse(self) -> None:
        """Ask nothing more; answers being written go on."""
        self.is_closed = True
        for live in self._live.values():
            live.stop()
        self.judging.refuse()

    async def close(self, *, grace_seconds: float) -> None:
        """Let the answers being written end for a while, and interrupt the rest.

        Runs are taken up at the next start.
        """
        self.refuse()
        if tasks := [live.task for live in self._live.values() if live.task is not None]:
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await self.judging.close(grace_seconds=grace_seconds)
        await self.reading.reports.close()
        await self._writer.close()
        if self._storing:
            await asyncio.wait(self._storing)
        self._servers.close()
        self.following.close()
        await self.store.close()

    # --- runs -------------------------------------------------------------------------------

    async def create(self, principal: Principal, given: RunGiven) -> Run:
        """Begin a run.

        Raises `UnknownPromptSet`, `UnknownModel`, `RunLimit`, `StorageFailed`, or what a target
        cannot be asked with, such as `InvalidParameters`.
        """
        owner = principal.id
        summary = await self.store.sets.get(owner, given.prompt_set)
        version = given.version or summary.version
        questions = await self._questions(owner, given.prompt_set, version)
        self._check(principal, given.targets, questions, given.repeats, len(given.targets))
        run = await self.store.add_run(
            owner,
            name=given.name or summary.name,
            set_id=summary.id,
            version=version,
            targets=given.targets,
            repeats=given.repeats,
        )
        await self._begin(run)
        return await self.reading.view_of(run)

    async def browse(self, reader: str, *, before: str, limit: int) -> RunListing:
        """Return the runs that somebody may see, the latest first."""
        runs = await self.store.runs(reader, before=before, limit=limit + 1)
        views = [await self.reading.view_of(run, reader) for run in runs[:limit]]
        return RunListing(views, runs[limit - 1].id if len(runs) > limit else None)

    async def get(self, reader: str, run_id: str) -> Run:
        """Return a run; raises `UnknownRun`."""
        return await self.reading.view_of(await self.store.run_seen_by(reader, run_id), reader)

    async def pause(self, owner: str, run_id: str) -> Run:
        """Ask nothing more, and return when the answers being written are complete."""
        return await self._halt(owner, run_id, "paused", at_once=False)

    async def cancel(self, owner: str, run_id: str) -> Run:
        """Cancel the answers under way, and ask nothing more; it can be continued."""
        return await self._halt(owner, run_id, "cancelled", at_once=True)

    async def go_on(self, principal: Principal, run_id: str, *, retries_failed: bool) -> Run:
        """Ask what is still to be asked, and with `retries_failed` also what failed."""
        async with self._changing(run_id):
            return await self._go_on(principal, run_id, retries_failed=retries_failed)

    async def _go_on(self, principal: Principal, run_id: str, *, retries_failed: bool) -> Run:
        run = await self.store.run(principal.id, run_id)
        if live := self._live.get(run_id):
            if self.is_closed or not live.is_ending:
                return await self.reading.view_of(run)
            # It asks nothing more: without this wait, nobody would ask what it leaves.
            await self._until_over(live)
            run = await self.store.run(principal.id, run_id)
        if retries_failed:
            await self.store.answers.forget_failed(run.number)
        await self.store.set_state(run.number, "running", None)
        await self._begin(replace(run, state="running", error=None))
        return await self.get(principal.id, run_id)

    async def extend(self, principal: Principal, run_id: str, more: RunExtension) -> Run:
        """Give a run more to ask, and go on with it.

        Raises `Contradiction` where other prompts were asked already, `RunLimit`, or what `create`
        does.
        """
        owner = principal.id
        async with self._changing(run_id):
            run = await self.store.run(owner, run_id)
            version, repeats = more.version or run.version, more.repeats or run.repeats
            questions = before = await self.reading.questions_of(run)
            if version != run.version:
                questions = await self._questions(owner, run.prompt_set, version)
                # In a thread: each prompt is filled into its template.
                await asyncio.to_thread(_check_continues, before, questions)
            if repeats < run.repeats:
                raise Contradiction(f"every prompt is asked {run.repeats} times already")
            width = len(run.targets) + len(more.targets)
            self._check(principal, more.targets, questions, repeats, width)
            await self._end(run_id, at_once=False)
            try:
                await self.store.extend(
                    owner, run_id, version=version, repeats=repeats, targets=more.targets
                )
                return await self._go_on(principal, run_id, retries_failed=False)
            except StorageFailed:
                await self._begin_again(owner, run_id)
                raise

    async def rename(self, owner: str, run_id: str, name: str) -> Run:
        """Give a run another name; raises `UnknownRun`."""
        run = await self.store.rename(owner, run_id, name)
        if live := self._live.get(run_id):
            live.run = replace(live.run, name=name)
        shown = await self.reading.view_with_ids(run)
        self.following.tell(shown)
        return self.reading.seen_by(shown, owner)

    async def share(self, owner: str, run_id: str, shared_with: Sequence[str]) -> Run:
        """Let the holders of these keys, and nobody else, read a run and vote on it.

        Raises `UnknownRun`, `Forbidden`, or `InvalidCommand` for a key that is not there.
        """
        async with self._changing(run_id):
            before = await self.store.run(owner, run_id)
            readers = readers_of(shared_with, before.readers, owner, self._named, self._holder)
            run = await self.store.share(owner, run_id, readers)
            if live := self._live.get(run_id):
                live.run = replace(live.run, readers=run.readers)
            shown = await self.reading.view_with_ids(run)
            self.following.tell(shown, before=before)
        return self.reading.seen_by(shown, owner)

    async def remove(self, owner: str, run_id: str) -> None:
        """Delete a run with its answers; raises `UnknownRun`."""
        run = await self.store.run(owner, run_id)
        self._interrupt(run_id)
        async with self._changing(run_id):
            await self._end(run_id, at_once=True)
            await self.judging.end(run_id)
            await self.store.remove_run(owner, run_id)
            self._writer.forget(run.number)
            self.following.tell_removed(run)

    def subscribe(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` with every changed run; return a function that unsubscribes.

        It gets views with ids, which `reading.seen_by` makes views for one reader of.
        """
        return self.following.subscribe(watcher)

    @property
    def waiting_answers(self) -> int:
        """Return how many answers wait to be stored."""
        return self._writer.waiting

    async def until_ended(self, owner: str, run_id: str) -> Run:
        """Wait until a run is no longer under way; raises `UnknownRun`."""
        live = self._live.get(run_id)
        if live is not None and live.run.owner == owner and live.task is not None:
            await asyncio.wait([live.task])
        return await self.get(owner, run_id)

    # --- inside -----------------------------------------------------------------------------

    def _changing(self, run_id: str) -> asyncio.Lock:
        """Return a lock: one change of a run after the other."""
        return self._locks.setdefault(run_id, asyncio.Lock())

    async def _questions(self, owner: str, set_id: str, version: str) -> RunQuestions:
        """Return a version of the owner's set; raises `UnknownPromptSet`."""
        body = await self.store.sets.body(owner, set_id, version)

        async def load() -> str:
            return body

        return await self._read_questions(version, load)

    def _check(
        self,
        principal: Principal,
        targets: Sequence[Target],
        questions: RunQuestions,
        repeats: int,
        width: int,
    ) -> None:
        if width > MAX_TARGETS:
            raise RunLimit(f"the run would have {width} targets; {MAX_TARGETS} are taken")
        answers = len(questions) * repeats * width
        if answers > self._limits.answers:
            raise RunLimit(
                f"the run would have {answers} answers; {self._limits.answers} are taken",
                hint="take fewer prompts, targets or repeats, or raise `max_answers` in [runs]",
            )
        if not questions:
            raise InvalidCommand("the prompt set is empty")
        if unknown := sorted(questions.commands - self._commands()):
            raise invalid([Problem(f"the settings have no section [check {unknown[0][:80]}]")])
        for place, target in enumerate(targets):
            try:
                self._generations.prepare(
                    target.model,
                    questions.messages(0, target.system),
                    parameters=[target.parameters],
                    system=target.system,
                    principal=principal,
                )
            except SidestreamError as error:
                error.details = {**(error.details or {}), "target": place}
                raise

    async def _begin(self, run: StoredRun) -> None:
        """Carry a run out in a task of its own."""
        counts = await self.store.answers.counts(run.number)
        live = self._live[run.id] = LiveRun(
            run,
            counts,
            self._writer,
            self.following.tell_soon,
            self._store_target,
            lambda model: engine_of(self._fleet, model),
            self.metrics,
        )
        live.task = asyncio.create_task(self._carry_out(live), name=f"run {run.id}")

        def forget(_: asyncio.Task[None]) -> None:
            if self._live.get(run.id) is live:
                del self._live[run.id]

        live.task.add_done_callback(forget)
        self.following.tell_live(live)

    async def _carry_out(self, live: LiveRun) -> None:
        run = live.run
        state: RunState = "running"
        error: ErrorInfo | None = None
        try:
            self._caller(run.owner)
            questions = await self.reading.questions_of(run)
            plan = Plan(
                run.id,
                [one.target for one in run.targets],
                run.repeats,
                questions,
                await self.store.answers.answered(run.number),
                lambda: self._caller(run.owner),
            )
            live.driver = Driver(
                plan,
                live,
                self._fleet,
                self._generations,
                self._servers,
                max_concurrent=self._limits.max_concurrent,
            )
            if live.is_stopping:
                live.driver.stop()
            is_complete = await live.driver.run()
            if live.driver.error is not None:
                state, error = "paused", live.driver.error
            elif not live.driver.is_stopped:
                state = "done" if is_complete else "incomplete"
        except SidestreamError as problem:
            state, error = "paused", ErrorInfo.of(problem)
        except Exception:
            logger.exception("run %s broke", run.id)
            state, error = "paused", ErrorInfo.of(SidestreamError("internal error"))
        # It is not over before all is stored: what is lost then would never be asked again.
        is_stored = await self._writer.until_stored(unless=lambda: live.is_stopping)
        if is_stored and state != "running":
            live.run = replace(live.run, state=state, error=error)
            await self._store_state(live.run)
        self.following.tell_live(live)

    def _caller(self, owner: str) -> Caller:
        """Return who asks for a run, with the rights of now; raises `Unauthorized`."""
        principal = self._holder(owner)
        if principal is None:
            raise Unauthorized(
                "the key that began the run is no longer valid",
                hint="continue it with a valid key of the same id, or begin it anew",
            )
        return Caller(principal)

    async def _store_state(self, run: StoredRun) -> None:
        try:
            await self.store.set_state(run.number, run.state, run.error)
        except StorageFailed as error:
            logger.error("run %s is over, which cannot be stored: %s", run.id, error)

    async def _halt(self, owner: str, run_id: str, state: RunState, *, at_once: bool) -> Run:
        await self.store.run(owner, run_id)
        if at_once:
            # Not in turn: a pause may be waiting for long answers.
            self._interrupt(run_id)
        async with self._changing(run_id):
            await self._end(run_id, at_once=at_once)
            changed = await self.store.run(owner, run_id)
            if changed.state != "done":
                try:
                    await self.store.set_state(changed.number, state, None)
                except StorageFailed:
                    await self._begin_again(owner, run_id)
                    raise
                changed = replace(changed, state=state, error=None)
            shown = await self.reading.view_with_ids(changed)
            self.following.tell(shown)
            return self.reading.seen_by(shown, owner)

    async def _begin_again(self, owner: str, run_id: str) -> None:
        """Go on with a run that was ended to change it, and is still under way as it is stored."""
        run = await self.store.run(owner, run_id)
        if run.state == "running" and run_id not in self._live:
            await self._begin(run)

    async def _end(self, run_id: str, *, at_once: bool) -> None:
        """End a run's task, if it has one, and have what it asked stored."""
        live = self._live.get(run_id)
        if live is None:
            return
        if at_once:
            self._interrupt(run_id)
        else:
            live.stop()
        await self._until_over(live)

    async def _until_over(self, live: LiveRun) -> None:
        """Wait until a run's task has ended, and what it asked is stored."""
        if live.task is not None:
            await asyncio.wait([live.task])
        if self._live.get(live.run.id) is live:
            del self._live[live.run.id]
        await self._writer.flush()

    def _interrupt(self, run_id: str) -> None:
        """Cancel a run's task; one that ends already is left to it."""
        live = self._live.get(run_id)
        if live is not None and live.task is not None and not live.task.cancelling():
            live.task.cancel()

    def _tell_all(self) -> None:
        for live in list(self._live.values()):
            self.following.tell_live(live)

    def _store_target(self, live: LiveRun, place: int, target: StoredTarget) -> None:
        async def store() -> None:
            try:
                await self.store.set_target(live.run.number, place, target)
            except StorageFailed as error:
                logger.error("run %s: how far a target is cannot be stored: %s", live.run.id, error)

        task = asyncio.create_task(store(), name=f"target of {live.run.id}")
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)


def _check_continues(before: RunQuestions, after: RunQuestions) -> None:
    """Raise `Contradiction` unless the first prompts of `after` are those of `before`."""
    is_shorter = len(after) < len(before)
    if is_shorter or any(
        before.messages(place) != after.messages(place) for place in range(len(before))
    ):
        raise Contradiction(
            "prompts that were asked already have changed since",
            hint="begin a new run for the new version; add prompts behind the others to extend one",
        )
