"""Tell those who look at one prompt of a run what is written of its answers.

Rules:

1. Nothing is copied or kept for prompts that nobody looks at. A look reads what a generation has
   beyond the reader's cursor, so that a slow reader gets in one delta what was written meanwhile.
2. What is complete is read from the file when a reader comes, and when the run is taken up anew.
   Between the two, the run itself hands on what it keeps.
3. An answer that is neither complete nor under way, though it was told of, is asked again.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Final

from server.runs.answer_writer import AnswerWriter
from server.runs.following import RunFollowing
from server.runs.live_run import LiveRun
from server.runs.prompt_events import AnswerComplete, PromptEnd, PromptEvent
from server.runs.prompt_told import Told
from server.runs.prompt_watch import PromptWatch, key_of
from server.runs.reading import RunReader, prompt_of
from server.runs.shapes import CellKey, Run, RunAnswer
from server.runs.sharing import answer_without_log
from server.runs.store import Store

# Text that comes 20 times a second seems to flow.
_PAUSE_SECONDS: Final = 0.05


class PromptFollowing:
    """Follow prompts of runs, each on behalf of a reader: the run's owner, or another."""

    def __init__(
        self,
        store: Store,
        reading: RunReader,
        runs: RunFollowing,
        live: Mapping[str, LiveRun],
        writer: AnswerWriter,
        is_closed: Callable[[], bool],
    ) -> None:
        self._store = store
        self._reading = reading
        self._runs = runs
        self._live = live
        self._writer = writer
        self._is_closed = is_closed

    async def follow(
        self, reader: str, run_id: str, number: str, silence_seconds: float
    ) -> AsyncGenerator[Sequence[PromptEvent] | None, None]:
        """Yield what is there of a prompt's answers, and then what is new, several events at once.

        Ends once the run is over, all answers are complete, or the service has closed. Yields None
        after each `silence_seconds` in which nothing else was. Raises `UnknownRun`, also for a
        number that no prompt has, and once the run is deleted or no longer shared with the reader.
        """
        stored = await self._store.run_seen_by(reader, run_id)
        watch, told = PromptWatch(run_id, prompt_of(stored, number)), Told()
        unsubscribe = self._runs.subscribe(
            watch.note_run, watch.note_removed, on_end=watch.changed.set, reader=reader
        )
        now = asyncio.get_running_loop().time
        # It moves only when something was yielded: changes of the run may be none of the prompt.
        due = now() + silence_seconds
        try:
            while True:
                # Before anything is read: what changes meanwhile is seen in the next round.
                watch.changed.clear()
                run = await self._run(reader, watch)
                events = await self._look(stored.number, run, reader, watch, told)
                is_over = self._is_over(run, watch)
                is_complete = len(told.complete) >= len(run.targets) * run.repeats
                if is_over or is_complete:
                    yield [*events, PromptEnd(run.state, is_complete)]
                    return
                if events:
                    yield events
                    due = now() + silence_seconds
                    await asyncio.sleep(_PAUSE_SECONDS)
                elif now() >= due:
                    yield None
                    due = now() + silence_seconds
                while not watch.changed.is_set():
                    try:
                        async with asyncio.timeout_at(due):
                            await watch.changed.wait()
                    except TimeoutError:
                        yield None
                        due = now() + silence_seconds
        finally:
            watch.close()
            unsubscribe()

    def _is_over(self, run: Run, watch: PromptWatch) -> bool:
        if self._is_closed():
            return self._runs.has_ended or watch.is_over
        return run.state != "running"

    async def _run(self, reader: str, watch: PromptWatch) -> Run:
        """Return the run as it is now; raises `UnknownRun`."""
        latest = watch.latest
        # At the end again: it may have gone on. A closed service's file may be closed too.
        is_sure = latest is not None and (latest.state == "running" or self._is_closed())
        if latest is not None and is_sure and not watch.is_doubtful:
            return latest
        watch.is_doubtful = False
        stored = await self._store.run_seen_by(reader, watch.run_id)
        run = await self._reading.view_of(stored, reader)
        if watch.latest is latest:
            watch.latest = run
        return run

    async def _look(
        self, number: int, run: Run, reader: str, watch: PromptWatch, told: Told
    ) -> list[PromptEvent]:
        """Return what is new in the run with this number."""
        known: dict[CellKey, RunAnswer] | None = None
        is_ending = self._is_closed() and watch.is_attached
        if not is_ending and watch.attach(self._live.get(watch.run_id)):
            known = await self._complete(number, watch.prompt)
        events = told.look(watch.asking(), known, watch.take_kept())
        if known is not None:
            events += told.waiting(watch.prompt, len(run.targets), run.repeats)
        return events if self._reading.tells_logs(reader) else list(map(_without_log, events))

    async def _complete(self, number: int, prompt: int) -> dict[CellKey, RunAnswer]:
        """Return the complete answers to a prompt, those that wait to be stored included."""
        # These first: one that is stored meanwhile is then in the file.
        waiting = self._writer.waiting_of(number, prompt)
        stored = await self._store.answers.read(number, prompt, prompt)
        return {key_of(one): one for one in (*stored, *waiting)}


def _without_log(event: PromptEvent) -> PromptEvent:
    if isinstance(event, AnswerComplete):
        return AnswerComplete(answer_without_log(event.answer))
    return event
