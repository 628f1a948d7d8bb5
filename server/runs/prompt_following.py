"""Tell those who look at one prompt of a run what is written of its answers.

Rules:

1. Nothing is copied or kept for prompts that nobody looks at. A look reads what a generation has
   beyond the reader's cursor, so that a slow reader gets in one delta what was written meanwhile.
2. What is complete is read from the file when a reader comes, and when the run is taken up anew.
   Between the two, the run itself hands on what it keeps.
3. An answer that is neither complete nor under way, though it was told of, is asked again.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from server.core.generation import Generation
from server.runs.answer_writer import AnswerWriter
from server.runs.following import RunFollowing
from server.runs.live_run import LiveRun
from server.runs.prompt_events import (
    AnswerComplete,
    AnswerDelta,
    AnswerSnapshot,
    AnswerState,
    PromptEnd,
    PromptEvent,
)
from server.runs.reading import RunReader, prompt_of
from server.runs.shapes import CellKey, Run, RunAnswer
from server.runs.sharing import answer_without_log
from server.runs.store import Store

# Text that comes 20 times a second seems to flow.
_PAUSE_SECONDS: Final = 0.05
# A delta of a slow reader stays of a size that any client takes.
_MAX_DELTA_CHARS: Final = 64 * 1024
_KINDS: Final = ("reasoning", "tool_call")


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
        watch, told = _Watch(run_id, prompt_of(stored, number)), _Told()
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

    def _is_over(self, run: Run, watch: "_Watch") -> bool:
        if self._is_closed():
            return self._runs.has_ended or watch.is_over
        return run.state != "running"

    async def _run(self, reader: str, watch: "_Watch") -> Run:
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
        self, number: int, run: Run, reader: str, watch: "_Watch", told: "_Told"
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
        return {_key(one): one for one in (*stored, *waiting)}


class _Watch:
    """What wakes one reader: the run, answers that come and go, and their text."""

    def __init__(self, run_id: str, prompt: int) -> None:
        self.run_id = run_id
        self.prompt = prompt
        self.changed = asyncio.Event()
        self.latest: Run | None = None
        self.is_doubtful = True
        """Whether the run may be gone, for the reader."""
        self.is_attached = False
        self._kept: dict[CellKey, RunAnswer] = {}
        self._live: LiveRun | None = None
        self._generations: dict[CellKey, Generation] = {}

    def note_run(self, run: Run) -> None:
        """Take a run as it is now."""
        if run.id == self.run_id:
            self.latest = run
            self.changed.set()

    def note_removed(self, run_id: str) -> None:
        """Have it looked at whether a run is still there for the reader."""
        if run_id == self.run_id:
            self.is_doubtful = True
            self.changed.set()

    @property
    def is_over(self) -> bool:
        """Tell whether nothing is asked in the run, by what is known of it."""
        task = None if self._live is None else self._live.task
        return task is None or task.done()

    def attach(self, live: LiveRun | None) -> bool:
        """Be told by this one from now on; tell whether it is another than before."""
        if self.is_attached and live is self._live:
            return False
        self._detach()
        self.is_attached, self._live = True, live
        if live is not None:
            live.watch(self.prompt, self._note)
            if live.task is not None:
                live.task.add_done_callback(self._wake)
        return True

    def asking(self) -> dict[CellKey, Generation]:
        """Return the answers that are under way, and be woken by their text from now on."""
        # What a task leaves that was cancelled is not under way any more.
        live = {} if self._live is None or self.is_over else self._live.live
        asking = {key: one for key, one in live.items() if key[0] == self.prompt}
        for key, generation in list(self._generations.items()):
            if asking.get(key) is not generation:
                generation.unwatch(self._wake)
                del self._generations[key]
        for key, generation in asking.items():
            if key not in self._generations:
                self._generations[key] = generation
                generation.watch(self._wake)
        return asking

    def take_kept(self) -> dict[CellKey, RunAnswer]:
        """Return the answers that were kept since this was asked last."""
        kept, self._kept = self._kept, {}
        return kept

    def close(self) -> None:
        """Be told nothing more."""
        self._detach()

    def _detach(self) -> None:
        for generation in self._generations.values():
            generation.unwatch(self._wake)
        self._generations.clear()
        # What is complete is read anew.
        self._kept.clear()
        if self._live is not None:
            self._live.unwatch(self.prompt, self._note)
            if self._live.task is not None:
                self._live.task.remove_done_callback(self._wake)
            self._live = None

    def _note(self, kept: RunAnswer | None) -> None:
        if kept is not None:
            self._kept[_key(kept)] = kept
        self.changed.set()

    def _wake(self, _: object) -> None:
        self.changed.set()


@dataclass
class _Place:
    """How much of an answer under way was told."""

    generation: Generation
    cursor: int
    state: str


@dataclass
class _Told:
    """What one reader was told; `complete` has when the answers that are complete ended."""

    complete: dict[CellKey, float] = field(default_factory=dict)
    _places: dict[CellKey, _Place] = field(default_factory=dict)
    _waiting: set[CellKey] = field(default_factory=set)

    def look(
        self,
        asking: Mapping[CellKey, Generation],
        known: Mapping[CellKey, RunAnswer] | None,
        kept: Mapping[CellKey, RunAnswer],
    ) -> list[PromptEvent]:
        """Return what is new.

        `known` are all complete answers but the last, `kept`, or None where that is not known anew.
        """
        return [
            *self._completed({**(known or {}), **kept}),
            *self._asked_again(asking, None if known is None else {*known, *kept}),
            *self._written(asking),
        ]

    def waiting(self, prompt: int, targets: int, repeats: int) -> list[PromptEvent]:
        """Return what nothing was told of yet: a client that knew of it drops what it knew."""
        keys = {(prompt, target, repeat) for target in range(targets) for repeat in range(repeats)}
        new = sorted(keys - self._waiting - self.complete.keys() - self._places.keys())
        self._waiting.update(new)
        return [AnswerSnapshot(target, repeat, "waiting") for _, target, repeat in new]

    def _completed(self, answers: Mapping[CellKey, RunAnswer]) -> Iterator[PromptEvent]:
        for key in sorted(answers):
            answer = answers[key]
            if self.complete.get(key) != answer.ended:
                self.complete[key] = answer.ended
                self._places.pop(key, None)
                self._waiting.discard(key)
                yield AnswerComplete(answer)

    def _asked_again(
        self, asking: Mapping[CellKey, Generation], known: set[CellKey] | None
    ) -> Iterator[PromptEvent]:
        lost = [key for key in self._places if key not in asking]
        if known is not None:
            lost += [key for key in self.complete if key not in known and key not in asking]
        for key in lost:
            self._places.pop(key, None)
            self.complete.pop(key, None)
            self._waiting.add(key)
            yield AnswerSnapshot(key[1], key[2], "waiting")

    def _written(self, asking: Mapping[CellKey, Generation]) -> Iterator[PromptEvent]:
        for key, generation in asking.items():
            place = self._places.get(key)
            if place is None or place.generation is not generation:
                self.complete.pop(key, None)
                self._waiting.discard(key)
                self._places[key] = _Place(generation, generation.seq, generation.state)
                yield _snapshot(key, generation)
                continue
            is_begun = place.state != generation.state
            if is_begun and generation.state != "ended":
                yield AnswerState(key[1], key[2], generation.state)
            yield from _deltas(key, place)
            if is_begun and generation.state == "ended":
                yield AnswerState(key[1], key[2], "ended")
            place.state = generation.state


def _snapshot(key: CellKey, generation: Generation) -> AnswerSnapshot:
    texts: dict[str, list[str]] = {"answer": [], "reasoning": []}
    for part in generation.deltas.runs():
        if not part.label.is_mark and part.label.kind in texts:
            texts[part.label.kind].append(part.text)
    text, reasoning = ("".join(several) for several in texts.values())
    return AnswerSnapshot(key[1], key[2], generation.state, text, reasoning)


def _deltas(key: CellKey, place: _Place) -> Iterator[AnswerDelta]:
    generation = place.generation
    while place.cursor < generation.seq:
        text, place.cursor, label = generation.text_since(
            place.cursor, max_chars=_MAX_DELTA_CHARS, kinds=_KINDS
        )
        # Calls of tools are no part of the answers that are kept.
        if text and label.kind != "tool_call":
            yield AnswerDelta(key[1], key[2], text, label.kind)


def _key(answer: RunAnswer) -> CellKey:
    return answer.prompt, answer.target, answer.repeat


def _without_log(event: PromptEvent) -> PromptEvent:
    if isinstance(event, AnswerComplete):
        return AnswerComplete(answer_without_log(event.answer))
    return event
