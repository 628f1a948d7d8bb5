"""`GET /metrics`: the gateway's metrics and those of the model servers that run.

A scrape starts no model server, and waits for a slow one no longer than
`server.models.metrics` says. The answer is always in Prometheus' text format: TGI's counters
have names that OpenMetrics does not allow.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from server.core.errors import StorageFailed
from server.core.exposition import merge_expositions
from server.models.metrics import ServerKey
from server.web.entry.gate import CALLER
from server.web.http.operations import TEXT, Group, Reply
from server.web.keys import FLEET, GENERATIONS, LOOP_LAG, REQUEST_COUNTERS, RUNS, SESSIONS, SOCKETS
from server.web.metrics.families import (
    answer_families,
    docker_engine_families,
    run_families,
    server_families,
    service_families,
)

# These prefixes are ours, whatever a model server calls its own families.
_RESERVED: Final = ("sidestream_", "process_", "python_")

GROUP: Final = Group("The service")


class _Families(Collector):
    """The families of one scrape."""

    def __init__(
        self,
        app: web.Application,
        engine_texts: dict[ServerKey, str | None],
        sees: Callable[[str], bool],
        run_states: Mapping[str, int] | None,
    ) -> None:
        self._app = app
        self._engine_texts = engine_texts
        self._sees = sees
        self._run_states = run_states

    def collect(self) -> Iterator[Metric]:
        """Yield the gateway's own families."""
        app, sees = self._app, self._sees
        yield from service_families(
            app[REQUEST_COUNTERS],
            app[LOOP_LAG].seconds,
            sockets=len(app[SOCKETS]),
            sessions=len(app[SESSIONS]),
        )
        models = [model for model in app[FLEET].snapshots() if sees(model.id)]
        by_model = app[GENERATIONS].metrics
        yield from answer_families(
            models, {name: by_model[name] for name in by_model if sees(name)}
        )
        servers = [server for server in app[FLEET].servers() if sees(server.spec.id)]
        yield from server_families(servers, self._engine_texts)
        yield from docker_engine_families(app[FLEET].places())
        if runs := app.get(RUNS):
            yield from run_families(runs.metrics, self._run_states, waiting=runs.waiting_answers)


@GROUP.operation("GET", "/metrics", Reply("The figures.", {TEXT: str}))
async def metrics(request: web.Request) -> web.StreamResponse:
    """Tell what is counted, in Prometheus' text.

    Of model servers that are up their own figures too. Wakes no model.
    """
    sees = request[CALLER].principal.sees
    engines = await request.app[FLEET].engine_metrics()
    texts = {key: text for key, text in engines.items() if sees(key.model)}
    registry = CollectorRegistry()
    registry.register(_Families(request.app, texts, sees, await _run_states(request.app)))
    ProcessCollector(registry=registry)
    known: dict[tuple[str, ...], str] = {k: text for k, text in texts.items() if text is not None}
    body = (
        generate_latest(registry)
        + merge_expositions(known, labels=("model", "replica"), reserved=_RESERVED).encode()
    )
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


async def _run_states(app: web.Application) -> Mapping[str, int] | None:
    runs = app.get(RUNS)
    try:
        return None if runs is None else await runs.store.states()
    except StorageFailed:
        # The other figures are wanted all the more.
        return None
