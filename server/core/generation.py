"""One answer of one model: an append-only log of deltas behind a small state machine.

Rules:

1. The log only grows, and delta number n never changes. Whoever reads keeps a cursor;
   the log does not know its readers and never waits for them.
2. `end` happens once, from any state, and is the last thing that happens.
3. Watchers are told *that* something changed, not what: they look when they are ready,
   and by then several changes may be one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from server.core.deltas import Deltas
from server.core.protocol import (
    Cost,
    End,
    ErrorInfo,
    FinishReason,
    GenerationInfo,
    GenerationState,
    Notice,
    State,
    Timings,
    TokenInfo,
    Usage,
)

LogState = Literal["queued", "starting", "running", "ended"]

# What may follow what; a state may be entered again with other words about it. An engine that
# answers "overloaded", or that is started anew, sends a generation back to the queue as long as no
# token has been written.
TRANSITIONS: Final[dict[LogState, frozenset[LogState]]] = {
    "queued": frozenset({"queued", "starting", "running", "ended"}),
    "starting": frozenset({"queued", "starting", "running", "ended"}),
    "running": frozenset({"queued", "running", "ended"}),
    "ended": frozenset(),
}

# A token's number, probability and alternatives take about as much memory.
_CHARS_PER_TOKEN: Final = 200

Watcher = Callable[["Generation"], None]


class Generation:
    """Record what one model answers to one prompt.

    `now_ms` arguments are milliseconds on the server's monotonic clock; the log itself
    reads no clock.
    """

    __slots__ = (
        "_created_ms",
        "_first_delta_ms",
        "_last_delta_ms",
        "_load_ms",
        "_loads_since_ms",
        "_running_ms",
        "_tokens",
        "_watchers",
        "deltas",
        "end_event",
        "id",
        "keeps_tokens",
        "max_new_tokens",
        "model",
        "notice",
        "position",
        "prompt_tokens",
        "reason_if_cancelled",
        "revision",
        "seq",
        "state",
    )

    def __init__(
        self, generation_id: str, model: str, *, now_ms: float, keeps_tokens: bool = False
    ) -> None:
        self.id = generation_id
        self.model = model
        self.keeps_tokens = keeps_tokens
        self.state: LogState = "queued"
        self.position: int | None = None
        # Why the state is as it is, where there is more to say than the state does.
        self.notice: Notice | None = None
        self.reason_if_cancelled: FinishReason = "cancelled"
        self.revision = 0
        # How many deltas have been produced.
        self.seq = 0
        self.end_event: End | None = None
        self.prompt_tokens: int | None = None
        # How long it may become, once that is known: what the context leaves may be less than
        # what was asked for.
        self.max_new_tokens: int | None = None
        self.deltas = Deltas()
        self._tokens: list[TokenInfo] = []
        self._watchers: tuple[Watcher, ...] = ()
        self._created_ms = now_ms
        self._running_ms: float | None = None
        self._first_delta_ms: float | None = None
        self._loads_since_ms: float | None = None
        self._load_ms: float | None = None
        self._last_delta_ms = now_ms

    @property
    def kept_chars(self) -> int:
        """Return what it takes to keep the answer, a token's details as so many characters."""
        return len(self.text) + _CHARS_PER_TOKEN * len(self._tokens)

    @property
    def has_ended(self) -> bool:
        """Tell whether the last event has happened."""
        return self.end_event is not None

    @property
    def text(self) -> str:
        """Return the whole answer so far."""
        return self.deltas.text()

    def info(self) -> GenerationInfo:
        """Describe the generation as `hello` lists it."""
        finish_reason = self.end_event.finish_reason if self.end_event else None
        return GenerationInfo(self.id, self.model, self.state, self.seq, finish_reason)

    def state_event(self) -> State | None:
        """Return the event for the present state, none once the generation has ended."""
        if self.state == "ended":
            return None
        return State(self.id, self.state, self.position, self.notice)

    # --- writing: one relay task ------------------------------------------------------------

    def move_to(
        self,
        state: GenerationState,
        *,
        now_ms: float,
        position: int | None = None,
        notice: Notice | None = None,
    ) -> None:
        """Enter a state before or at the first token.

        Raises `ValueError` for a move the transition table does not have.
        """
        self._check_move(state)
        if self.seq:
            raise ValueError(f"{self.id}: cannot be {state} after its first delta")
        if (state, position, notice) == (self.state, self.position, self.notice):
            return
        if state != self.state:
            self._running_ms = now_ms if state == "running" else None
        self._count_load(notice, now_ms)
        self.state = state
        self.position = position
        self.notice = notice
        self.revision += 1
        self._tell()

    def append(self, texts: list[str], tokens: list[TokenInfo], *, now_ms: float) -> None:
        """Add deltas that arrived together: once per token.

        `tokens`, looked at only where they are kept, has one for each of `texts`.

        Raises `ValueError` unless the generation is running.
        """
        if self.state != "running":
            raise ValueError(f"{self.id}: a delta cannot arrive while {self.state}")
        if self._first_delta_ms is None:
            self._first_delta_ms = now_ms
        self._last_delta_ms = now_ms
        self.deltas.append(texts)
        self.seq += len(texts)
        if self.keeps_tokens:
            self._tokens += tokens
        for watcher in self._watchers:
            watcher(self)

    def end(
        self,
        finish_reason: FinishReason,
        *,
        now_ms: float,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        error: ErrorInfo | None = None,
        is_cached: bool = False,
        notices: Sequence[Notice] = (),
        details: Mapping[str, Any] | None = None,
        answered_by: str = "",
        cost: Cost | None = None,
        unseen_tokens: int = 0,
    ) -> None:
        """Close the log.

        Where the engine did not count, a delta counts as a token, and the prompt has as many
        as were counted beforehand. `unseen_tokens` of those counted were written before the first
        delta and stand in none. Raises `ValueError` when the generation has ended already.
        """
        self._check_move("ended")
        counted = self.seq if completion_tokens is None else completion_tokens
        self.deltas.seal()
        self.state = "ended"
        self.position = None
        self._count_load(None, now_ms)
        self.notice = None
        self.revision += 1
        usage = Usage(
            self.prompt_tokens if prompt_tokens is None else prompt_tokens,
            counted,
            estimated=completion_tokens is None and self.seq > 0,
        )
        self.end_event = End(
            self.id,
            self.seq,
            finish_reason,
            usage,
            self._timings(now_ms, counted - unseen_tokens),
            error,
            is_cached,
            list(notices),
            dict(details or {}),
            answered_by,
            cost,
        )
        self._tell()

    # --- reading: any number of outboxes ----------------------------------------------------

    def text_since(self, cursor: int, *, max_chars: int) -> tuple[str, int]:
        """Return the joined deltas after `cursor` and the cursor after them.

        Stops before a delta that would exceed `max_chars`, but takes at least one.
        """
        return self.deltas.since(cursor, max_chars=max_chars)

    def tokens_between(self, cursor: int, stop: int) -> list[TokenInfo] | None:
        """Return the tokens of the deltas after `cursor` up to `stop`, if they are kept."""
        return self._tokens[cursor:stop] if self.keeps_tokens else None

    def watch(self, watcher: Watcher) -> None:
        """Have `watcher` called on every change from now on."""
        self._watchers = (*self._watchers, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Stop telling `watcher`."""
        self._watchers = tuple(other for other in self._watchers if other != watcher)

    # --- inside -----------------------------------------------------------------------------

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher(self)

    def _check_move(self, state: LogState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"{self.id}: cannot go from {self.state} to {state}")

    def _count_load(self, notice: Notice | None, now_ms: float) -> None:
        """Count the time in which the model server loads the model, as far as it says so."""
        if self._loads_since_ms is not None:
            self._load_ms = (self._load_ms or 0.0) + now_ms - self._loads_since_ms
        is_loading = notice is not None and notice.code == "server_loads"
        self._loads_since_ms = now_ms if is_loading else None

    def _timings(self, now_ms: float, seen_tokens: int) -> Timings:
        first = self._first_delta_ms
        decode_ms = self._last_delta_ms - first if first is not None else 0.0
        # The first delta belongs to the prefill: where a delta is a token, n of them span n - 1
        # decode steps; where it is several, so many are in the first one.
        per_delta = round(seen_tokens / self.seq) if self.seq else 0
        rate = 1000 * (seen_tokens - max(per_delta, 1)) / decode_ms if decode_ms > 0 else None
        return Timings(
            queued_ms=_since(self._created_ms, self._running_ms),
            ttft_ms=_since(self._created_ms, first),
            total_ms=round(now_ms - self._created_ms, 3),
            tokens_per_second=round(rate, 3) if rate is not None and rate > 0 else None,
            load_ms=None if self._load_ms is None else round(self._load_ms, 3),
        )


def _since(start_ms: float, moment_ms: float | None) -> float | None:
    return None if moment_ms is None else round(moment_ms - start_ms, 3)
