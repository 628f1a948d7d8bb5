"""Metrics of answers, one set per model, counted once per answer when it has ended.

Nothing is counted per token: the answer's `End` says how many tokens there were and how long they
took.
"""

from collections import Counter
from typing import Final

from server.core.histogram import Histogram
from server.core.protocol import End, Timings

# From an answer out of the cache to a large model that has to be fetched first.
_WAIT_BOUNDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
# A token takes a millisecond on the fastest machines, and a second on those that swap.
_TOKEN_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0)


class ModelMetrics:
    """Count the answers of one model."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How many answers ended for each reason, with the error's code or an empty text."""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.reasoning_tokens = 0
        """Those of the completion tokens that were thinking."""
        self.cached = 0
        self.queue_seconds = Histogram(_WAIT_BOUNDS)
        """From the request until the model server got it, its start included."""
        self.starting_seconds = Histogram(_WAIT_BOUNDS)
        """The wait for a server that had to be started, of those answers that waited for one."""
        self.first_token_seconds = Histogram(_WAIT_BOUNDS)
        self.warm_first_token_seconds = Histogram(_WAIT_BOUNDS)
        """As above, of the answers that waited neither for a start nor for a model to load."""
        self.first_reasoning_seconds = Histogram(_WAIT_BOUNDS)
        self.first_answer_seconds = Histogram(_WAIT_BOUNDS)
        """To the first token of the answer itself, behind what was thought."""
        self.total_seconds = Histogram(_WAIT_BOUNDS)
        self.token_seconds = Histogram(_TOKEN_BOUNDS)
        """From a token to the next: each answer's mean, counted once per token."""

    def add(self, end: End) -> None:
        """Count an answer that has ended."""
        timings = end.timings
        self.outcomes[end.finish_reason, end.error.code if end.error else ""] += 1
        self.total_seconds.observe(timings.total_ms / 1000)
        if timings.queued_ms is not None:
            self.queue_seconds.observe(timings.queued_ms / 1000)
        if timings.starting_ms is not None:
            self.starting_seconds.observe(timings.starting_ms / 1000)
        if end.cached:
            # Nothing was computed: tokens and their times say nothing about the model server.
            self.cached += 1
            return
        self.prompt_tokens += (end.usage.prompt_tokens or 0) if timings.queued_ms is not None else 0
        self.completion_tokens += end.usage.completion_tokens
        self.reasoning_tokens += end.usage.reasoning_tokens or 0
        self._add_first_tokens(timings)
        if timings.tokens_per_second and end.usage.completion_tokens > 1:
            self.token_seconds.observe(
                1 / timings.tokens_per_second, end.usage.completion_tokens - 1
            )

    def _add_first_tokens(self, timings: Timings) -> None:
        answer_ms = timings.answer_ms
        if timings.ttft_ms is not None:
            self.first_token_seconds.observe(timings.ttft_ms / 1000)
            if timings.starting_ms is None and timings.load_ms is None:
                self.warm_first_token_seconds.observe(timings.ttft_ms / 1000)
            if timings.reasoning_ms is None and answer_ms is None:
                answer_ms = timings.ttft_ms
        if timings.reasoning_ms is not None:
            self.first_reasoning_seconds.observe(timings.reasoning_ms / 1000)
        if answer_ms is not None:
            self.first_answer_seconds.observe(answer_ms / 1000)
