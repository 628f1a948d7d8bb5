"""The engine's Prometheus metrics, under TGI's names.

Written by hand because TGI's counters have no `_total` suffix, which the usual client
library insists on. As in TGI, a series appears with its first value, and what is measured
per request is recorded at a successful end only; everything else ends as a failure with
its cause, a client that went away as `dropped`.
"""

import math
from collections import Counter

from server.core.histogram import Histogram

# TGI's own buckets for durations (router/src/server.rs); its hundred linear ones for
# lengths are more than anybody reads, so tokens go by powers of two.
_SECONDS = tuple(0.0001 * 1.5**step for step in range(1, 36))
_TOKENS = tuple(float(2**step) for step in range(16))


class Metrics:
    """Hold everything the engine counts."""

    def __init__(self) -> None:
        self.requests = 0
        self.successes = 0
        self.failures: Counter[str] = Counter()
        self.waiting = 0
        self.request_seconds = Histogram(_SECONDS)
        self.validation_seconds = Histogram(_SECONDS)
        self.queue_seconds = Histogram(_SECONDS)
        self.inference_seconds = Histogram(_SECONDS)
        self.seconds_per_token = Histogram(_SECONDS)
        self.input_tokens = Histogram(_TOKENS)
        self.generated_tokens = Histogram(_TOKENS)
        self.max_new_tokens = Histogram(_TOKENS)

    def render(self, *, busy_slots: int) -> str:
        """Return the text of `/metrics`; `busy_slots` is what llama.cpp says just now."""
        lines = [
            *_single("tgi_queue_size", "gauge", self.waiting),
            *_single("tgi_batch_current_size", "gauge", busy_slots),
        ]
        if self.requests:
            lines += _single("tgi_request_count", "counter", self.requests)
        if self.successes:
            lines += _single("tgi_request_success", "counter", self.successes)
        if self.failures:
            lines.append("# TYPE tgi_request_failure counter")
            lines += [
                f'tgi_request_failure{{err="{cause}"}} {count}'
                for cause, count in sorted(self.failures.items())
            ]
        for name, histogram in (
            ("tgi_request_duration", self.request_seconds),
            ("tgi_request_validation_duration", self.validation_seconds),
            ("tgi_request_queue_duration", self.queue_seconds),
            ("tgi_request_inference_duration", self.inference_seconds),
            ("tgi_request_mean_time_per_token_duration", self.seconds_per_token),
            ("tgi_request_input_length", self.input_tokens),
            ("tgi_request_generated_tokens", self.generated_tokens),
            ("tgi_request_max_new_tokens", self.max_new_tokens),
        ):
            lines += _histogram(name, histogram)
        return "\n".join(lines) + "\n"


def _single(name: str, kind: str, value: int) -> list[str]:
    return [f"# TYPE {name} {kind}", f"{name} {value}"]


def _histogram(name: str, histogram: Histogram) -> list[str]:
    if not histogram.total:
        return []
    lines = [f"# TYPE {name} histogram"]
    for bound, count in histogram.cumulative():
        shown = "+Inf" if bound == math.inf else f"{bound:.6g}"
        lines.append(f'{name}_bucket{{le="{shown}"}} {count}')
    return [*lines, f"{name}_sum {histogram.sum:.9g}", f"{name}_count {histogram.total}"]
