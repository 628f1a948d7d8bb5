"""Prometheus' metric families: every name and its help text.

Rules:

1. Code that counts holds plain numbers and does not import Prometheus; a scrape reads them here.
2. Labels take few values: models of the settings, routes of the table, codes of the error
   tree. What a client made up never becomes a label.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar, get_args

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from server import __version__
from server.chat.metrics import ModelMetrics
from server.core.histogram import Histogram
from server.core.protocol import Model, ModelState
from server.models.lifecycle.crew import Crew
from server.models.metrics import ServerKey
from server.runs.metrics import RunMetrics
from server.runs.shapes import RunState
from server.web.metrics.service import RequestCounters

T = TypeVar("T")
Rows = Iterable[tuple[Sequence[str], float]]

_STATES: Final = get_args(ModelState)
_MODEL: Final = ("model",)


def service_families(
    counters: RequestCounters, lag_seconds: Histogram, *, sockets: int, sessions: int
) -> Iterator[Metric]:
    """Yield the metrics of the service itself."""
    yield _gauge("info", "Always 1; says the version.", ("version",), [((__version__,), 1)])
    yield _counter(
        "requests",
        "HTTP requests answered. A WebSocket counts when it closes, with status 101.",
        ("method", "route", "status"),
        counters.requests.items(),
    )
    yield _histogram(
        "request_seconds",
        "Seconds from an HTTP request's arrival until its answer was sent whole.",
        ("route",),
        (((route,), seconds) for route, seconds in counters.request_seconds.items()),
    )
    yield _counter(
        "commands",
        "Commands answered on WebSockets: `ok`, or the error's code.",
        ("command", "outcome"),
        counters.commands.items(),
    )
    yield _gauge("sockets", "WebSockets that are open.", (), [((), sockets)])
    yield _gauge("sessions", "Sessions that are kept.", (), [((), sessions)])
    yield _histogram(
        "event_loop_lag_seconds",
        "Seconds by which the event loop was late, looked at twice a second.",
        (),
        [((), lag_seconds)],
    )


def answer_families(
    models: Sequence[Model], by_model: Mapping[str, ModelMetrics]
) -> Iterator[Metric]:
    """Yield the metrics of answers, by model."""
    yield _gauge(
        "generations_running",
        "Answers that the model is writing.",
        _MODEL,
        (((model.id,), model.running) for model in models),
    )
    yield _gauge(
        "generations_waiting",
        "Answers that wait for the model: in its queue, or for its start.",
        _MODEL,
        (((model.id,), model.waiting) for model in models),
    )
    yield _counter(
        "generations",
        "Answers that have ended: why, and the error's code for those that failed.",
        ("model", "outcome", "code"),
        (
            ((model_id, *outcome), count)
            for model_id, metrics in by_model.items()
            for outcome, count in metrics.outcomes.items()
        ),
    )

    def rows(read: Callable[[ModelMetrics], T]) -> list[tuple[tuple[str], T]]:
        return [((model_id,), read(metrics)) for model_id, metrics in by_model.items()]

    yield _counter(
        "generations_cached",
        "Answers that were given again; their tokens are not counted.",
        _MODEL,
        rows(lambda metrics: metrics.cached),
    )
    yield _counter(
        "prompt_tokens",
        "Tokens of prompts, as the model server counted them.",
        _MODEL,
        rows(lambda metrics: metrics.prompt_tokens),
    )
    yield _counter(
        "completion_tokens",
        "Tokens of answers, as the model server counted them.",
        _MODEL,
        rows(lambda metrics: metrics.completion_tokens),
    )
    yield _counter(
        "reasoning_tokens",
        "Those of the completion tokens that were thinking, by the server's count or by share.",
        _MODEL,
        rows(lambda metrics: metrics.reasoning_tokens),
    )
    yield _histogram(
        "generation_queue_seconds",
        "Seconds from the question until the model server was given it, its start included.",
        _MODEL,
        rows(lambda metrics: metrics.queue_seconds),
    )
    yield _histogram(
        "generation_first_token_seconds",
        "Seconds from the question to the first token.",
        _MODEL,
        rows(lambda metrics: metrics.first_token_seconds),
    )
    yield _histogram(
        "generation_starting_seconds",
        "Seconds that answers waited for a server to start; those that did not are not in it.",
        _MODEL,
        rows(lambda metrics: metrics.starting_seconds),
    )
    yield _histogram(
        "generation_warm_first_token_seconds",
        "Seconds to the first token of answers that waited for no start and no load.",
        _MODEL,
        rows(lambda metrics: metrics.warm_first_token_seconds),
    )
    yield _histogram(
        "generation_first_reasoning_seconds",
        "Seconds from the question to the first token of thinking, where there was any.",
        _MODEL,
        rows(lambda metrics: metrics.first_reasoning_seconds),
    )
    yield _histogram(
        "generation_first_answer_seconds",
        "Seconds from the question to the first token of the answer itself, behind the thinking.",
        _MODEL,
        rows(lambda metrics: metrics.first_answer_seconds),
    )
    yield _histogram(
        "generation_token_seconds",
        "Seconds from a token to the next: each answer's mean, counted once per token.",
        _MODEL,
        rows(lambda metrics: metrics.token_seconds),
    )
    yield _histogram(
        "generation_seconds",
        "Seconds from the question to the answer's end.",
        _MODEL,
        rows(lambda metrics: metrics.total_seconds),
    )


def run_families(
    metrics: RunMetrics, states: Mapping[str, int] | None, *, waiting: int
) -> Iterator[Metric]:
    """Yield the metrics of runs; `states` are None while they cannot be read."""
    if states is not None:
        yield _gauge(
            "runs",
            "Runs that are kept, by the state that they are in.",
            ("state",),
            (((state,), states.get(state, 0)) for state in get_args(RunState)),
        )
    yield _counter(
        "run_answers",
        "Answers of runs that are kept: why each ended, and the error's code if it failed.",
        ("outcome", "code"),
        metrics.answers.items(),
    )
    yield _counter(
        "run_answers_asked_again",
        "Answers of runs that were lost, refused or cut off, and are asked again.",
        (),
        [((), metrics.asked_again)],
    )
    yield _gauge(
        "run_answers_waiting",
        "Answers of runs that wait to be stored. While many do, nothing more is asked.",
        (),
        [((), waiting)],
    )
    yield _counter(
        "judge_answers",
        "Answers of judges: `read`, `unreadable`, or `failed` with the error's code.",
        ("outcome", "code"),
        metrics.judgements.items(),
    )


def docker_engine_families(answering: Mapping[str, bool]) -> Iterator[Metric]:
    """Yield the metrics of Docker engines that have sections of their own."""
    yield _gauge(
        "docker_engine_up",
        "1 while the Docker engine of a [docker NAME] answers, else 0.",
        ("engine",),
        (((name,), float(answers)) for name, answers in answering.items()),
    )


def server_families(
    servers: Sequence[Crew], engine_texts: Mapping[ServerKey, str | None]
) -> Iterator[Metric]:
    """Yield the metrics of model servers; a preset has none, since it shares its base's server."""
    answered = {key.model for key, text in engine_texts.items() if text is not None}
    yield _gauge(
        "model_state",
        "1 for the state that the model server is in, 0 for the others.",
        ("model", "state"),
        (
            ((server.spec.id, state), float(server.status.state == state))
            for server in servers
            for state in _STATES
        ),
    )
    yield _gauge(
        "model_outdated",
        "1 while the model server runs with other settings than today's.",
        _MODEL,
        (((server.spec.id,), float(server.status.is_outdated)) for server in servers),
    )
    yield _counter(
        "model_starts",
        "Starts of the model server that were begun.",
        _MODEL,
        (((server.spec.id,), server.counters.starts) for server in servers),
    )
    yield _histogram(
        "model_start_seconds",
        "Seconds that a start took until the model server was ready; failed ones are not in it.",
        _MODEL,
        (((server.spec.id,), server.counters.seconds) for server in servers),
    )
    yield _counter(
        "model_crashes",
        "Ends of the model server that nobody asked for.",
        _MODEL,
        (((server.spec.id,), server.crashes_seen) for server in servers),
    )
    yield _counter(
        "model_restarts",
        "Restarts of the model server after a crash.",
        _MODEL,
        (((server.spec.id,), server.restarts_made) for server in servers),
    )
    yield _gauge(
        "engine_figures_available",
        "For model servers that are up: 1 if their own figures are in this scrape, 0 if none came.",
        _MODEL,
        (((name,), float(name in answered)) for name in {key.model for key in engine_texts}),
    )
    replicas = [(server.spec.id, one) for server in servers for one in server.statuses]
    yield _gauge(
        "replica_state",
        "1 for the state that a replica is in, 0 for the others; of models with several.",
        ("model", "replica", "state"),
        (
            ((name, str(one.number), state), float(one.status.state == state))
            for name, one in replicas
            for state in _STATES
        ),
    )
    yield _gauge(
        "replica_answers",
        "Answers that a replica is writing.",
        ("model", "replica"),
        (((name, str(one.number)), one.answers) for name, one in replicas),
    )


def _gauge(name: str, about: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = GaugeMetricFamily(f"sidestream_{name}", about, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _counter(name: str, about: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = CounterMetricFamily(f"sidestream_{name}", about, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _histogram(
    name: str, about: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], Histogram]]
) -> Metric:
    family = HistogramMetricFamily(f"sidestream_{name}", about, labels=labels)
    for values, histogram in rows:
        buckets = [(_bound(bound), count) for bound, count in histogram.cumulative()]
        family.add_metric(values, buckets, histogram.sum)
    return family


def _bound(bound: float) -> str:
    return "+Inf" if bound == math.inf else repr(bound)
