"""What is counted of answers, by model: once for each answer, when it has ended.

Nothing is counted per token. What happened between the first token and the last is read from
the answer's end, which knows how many there were and how long they took.
"""

from collections import Counter
from typing import Final

from server.core.histogram import Histogram
from server.core.protocol import End

# From an answer out of the cache to a large model that has to be fetched first.
WAIT_BOUNDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
# A token takes a millisecond on the fastest machines, and a second on those that swap.
TOKEN_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0)


class AnswerFigures:
    """Count the answers of one model."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How many ended for each reason, with the error's code or an empty text."""
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cached = 0
        self.queue_seconds = Histogram(WAIT_BOUNDS)
        """From the question until the model server was given it, its start included."""
        self.first_token_seconds = Histogram(WAIT_BOUNDS)
        self.total_seconds = Histogram(WAIT_BOUNDS)
        self.token_seconds = Histogram(TOKEN_BOUNDS)
        """From a token to the next: each answer's mean, counted once per token."""

    def add(self, end: End) -> None:
        """Count an answer that has ended."""
        timings = end.timings
        self.outcomes[end.finish_reason, end.error.code if end.error else ""] += 1
        self.total_seconds.observe(timings.total_ms / 1000)
        if timings.queued_ms is not None:
            self.queue_seconds.observe(timings.queued_ms / 1000)
        if end.cached:
            # Nothing was computed, so nothing is said of what computing takes.
            self.cached += 1
            return
        self.prompt_tokens += (end.usage.prompt_tokens or 0) if timings.queued_ms is not None else 0
        self.completion_tokens += end.usage.completion_tokens
        if timings.ttft_ms is not None:
            self.first_token_seconds.observe(timings.ttft_ms / 1000)
        if timings.tokens_per_second and end.usage.completion_tokens > 1:
            self.token_seconds.observe(
                1 / timings.tokens_per_second, end.usage.completion_tokens - 1
            )


class Figures:
    """Count answers by model; there are as many models as the settings name."""

    def __init__(self) -> None:
        self.by_model: dict[str, AnswerFigures] = {}

    def add(self, model_id: str, end: End) -> None:
        """Count an answer that has ended."""
        figures = self.by_model.get(model_id)
        if figures is None:
            figures = self.by_model[model_id] = AnswerFigures()
        figures.add(end)
