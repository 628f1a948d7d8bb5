"""Estimate strengths out of votes in a process of its own: resampling takes seconds.

It gets `{"rankings": [[[prompt, first, second, score], …], …]}` and answers a list of
strengths, with their intervals, for each.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from server.evaluation.statistics.intervals import BOOTSTRAP_SAMPLES
from server.evaluation.statistics.strengths import Vote, estimate_strengths
from server.workers.fences import arguments, serve

# Blocks times resamples: a few seconds, and some tens of megabytes.
_MOST_DRAWN: Final = 2_000_000
_FEWEST_SAMPLES: Final = 200
# Answers that are relayed go first.
_NICENESS: Final = 10


def rankings_of(request: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """Return the strengths that each list of votes comes to; fewer resamples for very many."""
    return [
        [
            asdict(one)
            for one in estimate_strengths(
                [Vote(*vote) for vote in votes], samples=samples_for(len({one[0] for one in votes}))
            )
        ]
        for votes in request["rankings"]
    ]


def samples_for(prompts: int) -> int:
    """Return how many resamples of so many prompts are drawn."""
    return max(_FEWEST_SAMPLES, min(BOOTSTRAP_SAMPLES, _MOST_DRAWN // max(1, prompts)))


def main() -> None:
    """Answer frames until the input ends; the argument is the seconds that each may take."""
    os.nice(_NICENESS)
    serve(rankings_of, float(arguments()[0]))
