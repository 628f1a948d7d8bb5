"""What wakes one who looks at a prompt of a run: the run, answers that come and go, their text."""

import asyncio

from server.core.generation import Generation
from server.runs.live_run import LiveRun
from server.runs.shapes import CellKey, Run, RunAnswer


class PromptWatch:
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
            self._kept[key_of(kept)] = kept
        self.changed.set()

    def _wake(self, _: object) -> None:
        self.changed.set()


def key_of(answer: RunAnswer) -> CellKey:
    """Return where an answer stands."""
    return answer.prompt, answer.target, answer.repeat
