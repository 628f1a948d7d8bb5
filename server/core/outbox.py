"""What one connection still has to send: cursors into logs, a short FIFO, latest-wins states.

Rules:

1. Text of answers is never queued. A connection has a cursor per generation, and `take` reads the
   log from there, so that a slow connection takes no more memory than its cursors.
2. Within a frame the order is: control messages, models, runs, logs, then per generation its
   state, its delta, its end. The answer to a command thus precedes the events it causes.
3. `wake` is called when the outbox stops being empty, and not again before a `take` has emptied
   it.
4. A frame is bounded: the rest stays due, each generation in turn.
"""

from collections import deque
from collections.abc import Callable, Iterable

from server.core.generation import Generation
from server.core.protocol import (
    Delta,
    Event,
    Log,
    LogRecord,
    Model,
    ModelChanged,
    ModelsChanged,
)

# Common WebSocket clients refuse frames over 1 MiB unless told otherwise; JSON can write
# a character in 12 bytes (a surrogate pair as two \\u escapes).
MAX_FRAME_CHARS = 64 * 1024

# With details, a delta of some four characters brings a token of some 100 bytes and up
# to five alternatives of 70.
_DETAILS_FACTOR = 100

# A reader that is slower than the log misses the oldest lines; the protocol allows that.
_MAX_LOG_LINES = 2000

# A run with eight targets is some 3 KB; one with the most there may be, 30 KB.
_MAX_RUNS = 16

# What JSON writes around a line's text.
_LOG_LINE_CHARS = 60


class _Cursor:
    """How far this connection has received one generation."""

    __slots__ = ("generation", "is_due", "outbox", "revision", "seq")

    def __init__(self, outbox: "Outbox", generation: Generation) -> None:
        self.outbox = outbox
        self.generation = generation
        self.seq = 0
        self.revision = -1
        self.is_due = False

    def on_change(self, generation: Generation) -> None:
        """Note that the generation has something new; called once per token."""
        if not self.is_due:
            self.is_due = True
            outbox = self.outbox
            outbox.due.append(self)
            if not outbox.has_due:
                outbox.signal()


class Outbox:
    """Collect the events that are due to one connection, and return them frame by frame."""

    __slots__ = (
        "_control",
        "_cursors",
        "_ended_logs",
        "_logs",
        "_max_frame_chars",
        "_model_list",
        "_models",
        "_runs",
        "_wake",
        "due",
        "has_due",
        "kinds",
    )

    def __init__(self, wake: Callable[[], None], *, max_frame_chars: int = MAX_FRAME_CHARS) -> None:
        self._wake = wake
        self.kinds: frozenset[str] = frozenset()
        """The kinds of text besides the answer that the client knows."""
        self._max_frame_chars = max_frame_chars
        self._control: list[Event] = []
        self._models: dict[str, Model] = {}
        self._model_list: list[Model] | None = None
        self._runs: dict[str, Event] = {}
        self._logs: dict[str, deque[LogRecord]] = {}
        self._ended_logs: set[str] = set()
        self._cursors: dict[str, _Cursor] = {}
        # Of the cursors alone, which add themselves.
        self.due: list[_Cursor] = []
        self.has_due = False
        """Whether `wake` was called and the writer has not emptied the outbox since."""

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is due."""
        return not (
            self._control
            or self._models
            or self._model_list is not None
            or self._runs
            or self._logs
            or self.due
        )

    def put(self, event: Event) -> None:
        """Queue a control message."""
        self._control.append(event)
        self.signal()

    def put_model(self, model: Model) -> None:
        """Queue a model's latest state, in place of an earlier one that was not sent yet."""
        self._models[model.id] = model
        self.signal()

    def put_models(self, models: list[Model]) -> None:
        """Queue the list of all models, in place of all that is queued about models."""
        self._model_list = models
        self._models.clear()
        self.signal()

    def put_run(self, run_id: str, event: Event) -> None:
        """Queue what became of a run, in place of what is queued about it."""
        self._runs[run_id] = event
        self.signal()

    def drop_runs(self) -> None:
        """Drop all that is queued about runs."""
        self._runs.clear()

    def put_log(self, subscription: str, lines: Iterable[LogRecord]) -> None:
        """Queue lines of a log; beyond a limit the oldest are dropped."""
        waiting = self._logs.setdefault(subscription, deque(maxlen=_MAX_LOG_LINES))
        waiting.extend(lines)
        self.signal()

    def end_log(self, subscription: str) -> None:
        """Mark the queued lines of a log as its last."""
        self._ended_logs.add(subscription)
        self.put_log(subscription, ())

    def drop_log(self, subscription: str) -> None:
        """Drop the queued lines of a log."""
        self._logs.pop(subscription, None)
        self._ended_logs.discard(subscription)

    def add_generation(self, generation: Generation, *, seq: int = 0) -> None:
        """Send the deltas of `generation` after number `seq`, those that exist and those to come.

        Adding it again only moves the cursor. Raises `ValueError` when `seq` is more than
        the generation has produced.
        """
        if not 0 <= seq <= generation.seq:
            raise ValueError(f"cursor {seq} of {generation.id} exceeds its {generation.seq}")
        cursor = self._cursors.get(generation.id)
        if cursor is None:
            cursor = self._cursors[generation.id] = _Cursor(self, generation)
            generation.watch(cursor.on_change)
        cursor.seq = seq
        cursor.revision = -1
        cursor.on_change(generation)

    def take(self) -> list[Event]:
        """Return the events of the next frame; empty when nothing is due."""
        events = self._control
        self._control = []
        if self._model_list is not None:
            events.append(ModelsChanged(self._model_list))
            self._model_list = None
        if self._models:
            events.extend(map(ModelChanged, self._models.values()))
            self._models = {}
        for run_id in list(self._runs)[:_MAX_RUNS]:
            events.append(self._runs.pop(run_id))
        if self._logs:
            self._take_logs(events)
        room = self._max_frame_chars
        due, self.due = self.due, []
        unfinished: list[_Cursor] = []
        for cursor in due:
            if room <= 0:
                self.due.append(cursor)
                continue
            room -= self._take_generation(cursor, room, events)
            cursor.is_due = cursor.seq != cursor.generation.seq
            if cursor.is_due:
                unfinished.append(cursor)
        # A generation that did not fit goes on after the others had their turn.
        self.due += unfinished
        self.has_due = not self.is_empty
        return events

    def close(self) -> None:
        """Stop watching every generation, and drop all that is queued."""
        for cursor in self._cursors.values():
            cursor.generation.unwatch(cursor.on_change)
        self._cursors.clear()
        self.due.clear()
        self._control.clear()
        self._models.clear()
        self._model_list = None
        self._runs.clear()
        self._logs.clear()
        self._ended_logs.clear()

    def _take_logs(self, events: list[Event]) -> None:
        room = self._max_frame_chars
        for name in list(self._logs):
            waiting = self._logs.pop(name)
            lines: list[LogRecord] = []
            while waiting and room > 0:
                lines.append(waiting.popleft())
                room -= len(lines[-1].text) + _LOG_LINE_CHARS
            has_ended = name in self._ended_logs and not waiting
            events.append(Log(name, lines, has_ended))
            if has_ended:
                self._ended_logs.discard(name)
            if waiting:
                self._logs[name] = waiting
            if room <= 0:
                break

    def _take_generation(self, cursor: _Cursor, room: int, events: list[Event]) -> int:
        generation = cursor.generation
        if cursor.revision != generation.revision:
            cursor.revision = generation.revision
            # A state says where a generation is before its text; after text it says nothing.
            state = generation.state_event() if cursor.seq == 0 else None
            if state is not None:
                events.append(state)
        taken = 0
        while cursor.seq < generation.seq and taken < room:
            factor, tokens = 1, None
            if generation.keeps_tokens:
                factor = _DETAILS_FACTOR
            text, seq, label = generation.deltas.since(
                cursor.seq, max_chars=(room - taken) // factor, kinds=self.kinds
            )
            if generation.keeps_tokens:
                tokens = generation.tokens_between(cursor.seq, seq)
            events.append(Delta(generation.id, seq, text, tokens, label.kind, label.call))
            cursor.seq = seq
            taken += max(len(text), 1) * factor
            if not self.kinds:
                # What is of one kind is one delta; the rest of it waits for the next frame.
                break
        if generation.end_event is not None and cursor.seq == generation.seq:
            events.append(generation.end_event)
            generation.unwatch(cursor.on_change)
            del self._cursors[generation.id]
        return taken

    def signal(self) -> None:
        """Call `wake`, unless that was done since the last `take` that emptied the outbox."""
        if not self.has_due:
            self.has_due = True
            self._wake()
