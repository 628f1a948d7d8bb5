"""Prompt sets and runs, for every transport.

Rules:

1. A run goes on without anybody who looks at it, and is taken up again when the gateway starts.
2. A run asks with the rights of the key that began it. Without that key it is paused.
3. What changes a run waits until the answers being written are complete, and are stored.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from weakref import WeakValueDictionary

from server.access.principal import Caller, Principal
from server.chat.generation_service import GenerationService
from server.chat.storing import engine_of
from server.core.errors import Contradiction, StorageFailed, Unauthorized
from server.models.fleet import Fleet
from server.runs.admission import RunAdmission, RunLimits, check_continues
from server.runs.answer_writer import AnswerWriter
from server.runs.driver import Driver
from server.runs.executor import RunExecutor
from server.runs.following import RunFollowing
from server.runs.judging import RunJudging
from server.runs.live_judge import LiveJudge
from server.runs.live_run import LiveRun
from server.runs.metrics import RunMetrics
from server.runs.plan import Log, Plan
from server.runs.prompt_following import PromptFollowing
from server.runs.questions import RunQuestions
from server.runs.reading import ReadQuestions, RunReader
from server.runs.servers import ServerUse
from server.runs.shapes import Run, RunExtension, RunGiven, RunListing, RunState
from server.runs.sharing import readers_of
from server.runs.store import Store
from server.runs.unattended import Unattended
from server.runs.votes import RunVoting

logger = logging.getLogger(__name__)


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
        self._holder = holder
        self._named = named
        self._read_questions = read_questions
        self._admission = RunAdmission(generations, limits, commands)
        self._servers = servers = ServerUse(fleet)
        self.metrics = RunMetrics()
        live: dict[str, LiveRun] = {}
        judges: dict[str, LiveJudge] = {}
        self._writer = AnswerWriter(store.answers, self._tell_all)
        self.reading = RunReader(store, self._writer, read_questions, live, judges, holder)
        self.following = RunFollowing(store, self.reading, live, judges, lambda: self.is_closed)
        self.prompts = PromptFollowing(
            store, self.reading, self.following, live, self._writer, lambda: self.is_closed
        )
        self.voting = RunVoting(store, self.reading, self.following.tell_assessed)

        def make_driver(plan: Plan, log: Log) -> Driver:
            width = limits.max_concurrent
            return Driver(plan, log, fleet, generations, servers, max_concurrent=width)

        self._executor = RunExecutor(
            store,
            self.reading,
            self.following,
            self._writer,
            live,
            make_driver,
            self._caller,
            lambda model: engine_of(fleet, model),
            self.metrics,
        )
        self.judging = RunJudging(
            store,
            self.reading,
            self.following,
            judges,
            generations,
            make_driver,
            self._caller,
            self.metrics,
        )
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unattended = Unattended()
        self.is_closed = False

    async def take_up(self) -> None:
        """Go on with the runs that the last gateway left under way."""
        for run in await self.store.unfinished():
            logger.info("run %s goes on", run.id)
            await self._executor.begin(run)
        await self.judging.take_up()

    def refuse(self) -> None:
        """Ask nothing more; answers being written go on."""
        self.is_closed = True
        self._executor.refuse()
        self.judging.refuse()

    async def end_following(self, *, wait_seconds: float) -> None:
        """Have nobody follow runs and prompts any more; `refuse` and the end of answers go before.

        What comes of those answers is told first, if it comes in time.
        """
        if tasks := [*self._executor.tasks, *self.judging.tasks]:
            await asyncio.wait(tasks, timeout=wait_seconds)
        self.following.end()

    async def close(self, *, grace_seconds: float) -> None:
        """Let the answers being written end for a while, and interrupt the rest.

        Runs are taken up at the next start.
        """
        self.refuse()
        await self._executor.close(grace_seconds=grace_seconds)
        await self.judging.close(grace_seconds=grace_seconds)
        await self._unattended.close()
        await self.reading.reports.close()
        await self._writer.close()
        self._servers.close()
        await self.following.close()
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
        self._admission.check(
            principal,
            given.targets,
            questions,
            repeats=given.repeats,
            width=len(given.targets),
        )
        run = await self.store.add_run(
            owner,
            name=given.name or summary.name,
            set_id=summary.id,
            version=version,
            targets=given.targets,
            repeats=given.repeats,
        )
        await self._executor.begin(run)
        return await self.reading.view_of(run)

    async def browse(self, reader: str, *, before: str, limit: int) -> RunListing:
        """Return the runs that somebody may see, the latest first."""
        runs = await self.store.runs(reader, before=before, limit=limit + 1)
        views = [await self.reading.view_of(run, reader) for run in runs[:limit]]
        return RunListing(views, runs[limit - 1].id if len(runs) > limit else None)

    async def get(self, reader: str, run_id: str) -> Run:
        """Return a run; raises `UnknownRun`."""
        return await self.reading.view_of(await self.store.run_seen_by(reader, run_id), reader)

    async def pause(self, owner: str, run_id: str, *, waits: bool = True) -> Run:
        """Ask nothing more, and return when the answers being written are complete.

        Without `waits` it returns at once. Cancelled, the run is paused all the same.
        """
        await self.store.run(owner, run_id)
        pausing = self._halt(owner, run_id, "paused", at_once=False)
        if waits:
            return await self._unattended.done(pausing, f"pause of {run_id}")
        self._unattended.begin(pausing, f"pause of {run_id}")
        return await self.get(owner, run_id)

    async def cancel(self, owner: str, run_id: str) -> Run:
        """Cancel the answers under way, and ask nothing more; it can be continued."""
        cancelling = self._halt(owner, run_id, "cancelled", at_once=True)
        return await self._unattended.done(cancelling, f"cancel of {run_id}")

    async def go_on(self, principal: Principal, run_id: str, *, retries_failed: bool) -> Run:
        """Ask what is still to be asked, and with `retries_failed` also what failed."""
        async with self._changing(run_id):
            return await self._go_on(principal, run_id, retries_failed=retries_failed)

    async def _go_on(self, principal: Principal, run_id: str, *, retries_failed: bool) -> Run:
        run = await self.store.run(principal.id, run_id)
        if live := self._executor.live(run_id):
            if self.is_closed or not live.is_ending:
                return await self.reading.view_of(run)
            # It asks nothing more: without this wait, nobody would ask what it leaves.
            await self._executor.until_over(live)
            run = await self.store.run(principal.id, run_id)
        if retries_failed:
            await self.store.answers.forget_failed(run.number)
        await self.store.set_state(run.number, "running", None)
        await self._executor.begin(replace(run, state="running", error=None))
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
                await check_continues(before, questions)
            if repeats < run.repeats:
                raise Contradiction(f"every prompt is asked {run.repeats} times already")
            width = len(run.targets) + len(more.targets)
            self._admission.check(principal, more.targets, questions, repeats=repeats, width=width)
            await self._executor.end(run_id, at_once=False)
            try:
                await self.store.extend(
                    owner, run_id, version=version, repeats=repeats, targets=more.targets
                )
                return await self._go_on(principal, run_id, retries_failed=False)
            except StorageFailed:
                await self._executor.begin_again(owner, run_id)
                raise

    async def rename(self, owner: str, run_id: str, name: str) -> Run:
        """Give a run another name; raises `UnknownRun`."""
        run = await self.store.rename(owner, run_id, name)
        if live := self._executor.live(run_id):
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
            if live := self._executor.live(run_id):
                live.run = replace(live.run, readers=run.readers)
            shown = await self.reading.view_with_ids(run)
            self.following.tell(shown, before=before)
        return self.reading.seen_by(shown, owner)

    async def remove(self, owner: str, run_id: str) -> None:
        """Delete a run with its answers; raises `UnknownRun`."""
        run = await self.store.run(owner, run_id)
        self._executor.interrupt(run_id)
        async with self._changing(run_id):
            await self._executor.end(run_id, at_once=True)
            async with self.judging.ended(run_id):
                await self.store.remove_run(owner, run_id)
            self._writer.forget(run.number)
            self.following.tell_removed(run)

    @property
    def waiting_answers(self) -> int:
        """Return how many answers wait to be stored."""
        return self._writer.waiting

    # --- inside -----------------------------------------------------------------------------

    def _tell_all(self) -> None:
        self.following.tell_all_live()

    def _changing(self, run_id: str) -> asyncio.Lock:
        """Return a lock: one change of a run after the other."""
        return self._locks.setdefault(run_id, asyncio.Lock())

    async def _halt(self, owner: str, run_id: str, state: RunState, *, at_once: bool) -> Run:
        await self.store.run(owner, run_id)
        if at_once:
            # Not in turn: a pause may be waiting for long answers.
            self._executor.interrupt(run_id)
        async with self._changing(run_id):
            await self._executor.end(run_id, at_once=at_once)
            changed = await self.store.run(owner, run_id)
            if changed.state != "done":
                try:
                    await self.store.set_state(changed.number, state, None)
                except StorageFailed:
                    await self._executor.begin_again(owner, run_id)
                    raise
                changed = replace(changed, state=state, error=None)
            shown = await self.reading.view_with_ids(changed)
            self.following.tell(shown)
            return self.reading.seen_by(shown, owner)

    async def _questions(self, owner: str, set_id: str, version: str) -> RunQuestions:
        """Return a version of the owner's set; raises `UnknownPromptSet`."""
        body = await self.store.sets.body(owner, set_id, version)

        async def load() -> str:
            return body

        return await self._read_questions(version, load)

    def _caller(self, owner: str) -> Caller:
        """Return who asks for a run, with the rights of now; raises `Unauthorized`."""
        principal = self._holder(owner)
        if principal is None:
            raise Unauthorized(
                "the key that began the run is no longer valid",
                hint="continue it with a valid key of the same id, or begin it anew",
            )
        return Caller(principal)
