"""One answer of one model: an append-only log of deltas behind a small state machine.

Rules:

1. The log only grows, and delta number n never changes. Each reader has a cursor of its own;
   the log never waits for readers.
2. `end` happens once, from any state, and nothing happens after it.
3. Watchers are told *that* something changed, not what: they read when they are ready,
   and see several changes as one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Literal

from server.core.deltas import ANSWER, Deltas, Joined, Label
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

# Which states may follow which; a state may be entered again with another notice. A server that is
# overloaded, or is restarted, sends a generation back to the queue as long as no token was written.
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
        "_first_answer_ms",
        "_first_delta_ms",
        "_first_reasoning_ms",
        "_last_delta_ms",
        "_load_ms",
        "_loads_since_ms",
        "_mark_count",
        "_running_ms",
        "_starting_ms",
        "_starts_since_ms",
        "_tokens",
        "_watchers",
        "context_tokens",
        "deltas",
        "end_event",
        "id",
        "keeps_tokens",
        "max_concurrent",
        "max_new_tokens",
        "model",
        "notice",
        "position",
        "prompt_tokens",
        "queue_timeout",
        "reason_if_cancelled",
        "reasoning_count",
        "revision",
        "seq",
        "state",
        "turns_left_out",
    )

    def __init__(
        self, generation_id: str, model: str, *, now_ms: float, keeps_tokens: bool = False
    ) -> None:
        self.id = generation_id
        self.model = model
        self.keeps_tokens = keeps_tokens
        self.state: LogState = "queued"
        self.position: int | None = None
        # More about the reason for the state, where there is any.
        self.notice: Notice | None = None
        # How many answers its server writes at once, and how many seconds it may wait for its turn.
        self.max_concurrent: int | None = None
        self.queue_timeout: float | None = None
        self.reason_if_cancelled: FinishReason = "cancelled"
        self.revision = 0
        # How many deltas have been produced, and how many of them are thinking.
        self.seq = 0
        self.reasoning_count = 0
        self.end_event: End | None = None
        self.prompt_tokens: int | None = None
        # What prompt and answer have to fit into.
        self.context_tokens: int | None = None
        # How many of the oldest turns the model was not asked with.
        self.turns_left_out = 0
        # The greatest length, once it is known: the rest of the context may be less than was
        # asked for.
        self.max_new_tokens: int | None = None
        self.deltas = Deltas()
        self._tokens: list[TokenInfo] = []
        self._watchers: tuple[Watcher, ...] = ()
        self._created_ms = now_ms
        self._running_ms: float | None = None
        self._first_delta_ms: float | None = None
        self._first_answer_ms: float | None = None
        self._first_reasoning_ms: float | None = None
        self._mark_count = 0
        self._starts_since_ms: float | None = None
        self._starting_ms: float | None = None
        self._loads_since_ms: float | None = None
        self._load_ms: float | None = None
        self._last_delta_ms = now_ms

    @property
    def retained_chars(self) -> int:
        """Return the memory that the answer takes, in characters; token details count as some."""
        return len(self.text) + _CHARS_PER_TOKEN * len(self._tokens)

    @property
    def token_count(self) -> int:
        """Return how many deltas there are without marks: tokens, where the server counts none."""
        return self.seq - self._mark_count

    @property
    def has_ended(self) -> bool:
        """Tell whether the last event has happened."""
        return self.end_event is not None

    @property
    def text(self) -> str:
        """Return all text so far, of every kind, with the marks between them."""
        return self.deltas.text()

    def info(self, *, now_ms: float) -> GenerationInfo:
        """Describe the generation as `hello` lists it; `now_ms` is for the times so far."""
        end = self.end_event
        finish_reason = end.finish_reason if end else None
        timings = None if end else self.timings_so_far(now_ms)
        return GenerationInfo(
            self.id, self.model, self.state, self.seq, finish_reason, timings=timings
        )

    def timings_so_far(self, now_ms: float) -> Timings:
        """Return what is measured of an answer that goes on, waits that last included."""
        return self._timings(
            now_ms,
            self.token_count,
            load_ms=_with_rest(self._load_ms, self._loads_since_ms, now_ms),
            starting_ms=_with_rest(self._starting_ms, self._starts_since_ms, now_ms),
        )

    def state_event(self) -> State | None:
        """Return the event for the present state, none once the generation has ended."""
        if self.state == "ended":
            return None
        is_queued = self.state == "queued"
        return State(
            self.id,
            self.state,
            self.position,
            self.notice,
            self.prompt_tokens,
            self.context_tokens,
            self.max_concurrent if is_queued else None,
            self.queue_timeout if is_queued else None,
        )

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
            self._count_start(is_starting=state == "starting", now_ms=now_ms)
        self._count_load(notice, now_ms)
        self.state = state
        self.position = position
        self.notice = notice
        self.revision += 1
        self._tell()

    def count_prompt(self, tokens: int) -> None:
        """Set how many tokens the prompt has; readers that have no text yet are told."""
        self.prompt_tokens = tokens
        if self.state == "running" and not self.seq:
            self.revision += 1
            self._tell()

    def append(
        self,
        texts: list[str],
        tokens: list[TokenInfo],
        *,
        now_ms: float,
        label: Label = ANSWER,
    ) -> None:
        """Add deltas of one label that arrived together: once per token.

        `tokens`, which are ignored unless the log keeps tokens, has one for each of `texts`.

        Raises `ValueError` unless the generation is running.
        """
        if self.state != "running":
            raise ValueError(f"{self.id}: a delta cannot arrive while {self.state}")
        if self._first_delta_ms is None:
            self._first_delta_ms = now_ms
        self._last_delta_ms = now_ms
        if label is not ANSWER:
            self._note(label, len(texts), now_ms)
        elif self._first_answer_ms is None:
            self._first_answer_ms = now_ms
        self.deltas.append(texts, label)
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
        reasoning_tokens: int | None = None,
    ) -> None:
        """Close the log.

        If the server did not count tokens, each delta counts as one, and the prompt has the count
        made beforehand. `unseen_tokens` of those counted came before the first delta and are in
        none. Raises `ValueError` when the generation has ended already.
        """
        self._check_move("ended")
        spoken = self.token_count
        counted = spoken if completion_tokens is None else completion_tokens
        thoughts = self.reasoning_count
        if not reasoning_tokens and thoughts:
            # vLLM counts none in an answer that ends while the model thinks.
            reasoning_tokens = round(counted * thoughts / spoken)
        self.deltas.seal()
        self.state = "ended"
        self.position = None
        self._count_load(None, now_ms)
        self._count_start(is_starting=False, now_ms=now_ms)
        self.notice = None
        self.revision += 1
        usage = Usage(
            self.prompt_tokens if prompt_tokens is None else prompt_tokens,
            counted,
            estimated=completion_tokens is None and self.seq > 0,
            reasoning_tokens=reasoning_tokens,
            context_tokens=self.context_tokens,
        )
        self.end_event = End(
            self.id,
            self.seq,
            finish_reason,
            usage,
            self._timings(
                now_ms,
                counted - unseen_tokens,
                load_ms=self._load_ms,
                starting_ms=self._starting_ms,
            ),
            error,
            is_cached,
            list(notices),
            dict(details or {}),
            answered_by,
            cost,
        )
        self._tell()

    # --- reading: any number of outboxes ----------------------------------------------------

    def text_since(self, cursor: int, *, max_chars: int, kinds: Collection[str] = ()) -> Joined:
        """Return the joined deltas after `cursor`; see `Deltas.since`."""
        return self.deltas.since(cursor, max_chars=max_chars, kinds=kinds)

    def tokens_between(self, cursor: int, stop: int) -> list[TokenInfo] | None:
        """Return the tokens of the deltas after `cursor` up to `stop`, None if it keeps none."""
        return self._tokens[cursor:stop] if self.keeps_tokens else None

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` on every change from now on."""
        self._watchers = (*self._watchers, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Call `watcher` no more."""
        self._watchers = tuple(other for other in self._watchers if other != watcher)

    # --- inside -----------------------------------------------------------------------------

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher(self)

    def _check_move(self, state: LogState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"{self.id}: cannot go from {self.state} to {state}")

    def _count_load(self, notice: Notice | None, now_ms: float) -> None:
        """Measure how long the model server loads the model, as far as notices tell."""
        self._load_ms = _with_rest(self._load_ms, self._loads_since_ms, now_ms)
        is_loading = notice is not None and notice.code == "server_loads"
        self._loads_since_ms = now_ms if is_loading else None

    def _count_start(self, *, is_starting: bool, now_ms: float) -> None:
        """Measure how long the answer waits for its server to start."""
        self._starting_ms = _with_rest(self._starting_ms, self._starts_since_ms, now_ms)
        self._starts_since_ms = now_ms if is_starting else None

    def _note(self, label: Label, count: int, now_ms: float) -> None:
        """Note what comes that is not the answer itself."""
        if label.is_mark:
            self._mark_count += count
        elif label.kind == "reasoning":
            self.reasoning_count += count
            if self._first_reasoning_ms is None:
                self._first_reasoning_ms = now_ms

    def _timings(
        self,
        now_ms: float,
        seen_tokens: int,
        *,
        load_ms: float | None,
        starting_ms: float | None,
    ) -> Timings:
        first = self._first_delta_ms
        decode_ms = self._last_delta_ms - first if first is not None else 0.0
        # The first delta belongs to the prefill: where a delta is a token, n of them span n - 1
        # decode steps; where it is several, so many are in the first one.
        spoken = self.token_count
        per_delta = round(seen_tokens / spoken) if spoken else 0
        rate = 1000 * (seen_tokens - max(per_delta, 1)) / decode_ms if decode_ms > 0 else None
        return Timings(
            queued_ms=_since(self._created_ms, self._running_ms),
            ttft_ms=_since(self._created_ms, first),
            total_ms=round(now_ms - self._created_ms, 3),
            tokens_per_second=round(rate, 3) if rate is not None and rate > 0 else None,
            load_ms=_rounded(load_ms),
            starting_ms=_rounded(starting_ms),
            reasoning_ms=_since(self._created_ms, self._first_reasoning_ms),
            answer_ms=_since(self._created_ms, self._first_answer_ms)
            if self._first_answer_ms != first
            else None,
        )


def _with_rest(spent_ms: float | None, since_ms: float | None, now_ms: float) -> float | None:
    """Return a time that was spent, with what is being spent since a moment, if it is."""
    return spent_ms if since_ms is None else (spent_ms or 0.0) + now_ms - since_ms


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)


def _since(start_ms: float, moment_ms: float | None) -> float | None:
    return None if moment_ms is None else round(moment_ms - start_ms, 3)
