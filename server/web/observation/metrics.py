"""`GET /metrics`: everything that is counted, ours and that of the model servers that are up.

A scrape touches no model that is not up, and waits for one that is slow no longer than
`server.models.engine_figures` says. Text in Prometheus' own form, whatever is asked for:
TGI's counters have names that the other form, OpenMetrics, does not allow.
"""

from collections.abc import Callable, Iterator
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from server.core.exposition import merge_expositions
from server.web.entry.gate import CALLER
from server.web.http.operations import TEXT, Operation, Reply
from server.web.keys import DESK, FLEET, LOOP_LAG, SESSIONS, SOCKETS, TALLY
from server.web.observation.figures import answer_families, server_families, service_families

# Families of these names are ours, whatever a model server calls its own.
_RESERVED: Final = ("sidestream_", "process_", "python_")


class _Families(Collector):
    """What one scrape has found."""

    def __init__(
        self,
        app: web.Application,
        engine_texts: dict[str, str | None],
        sees: Callable[[str], bool],
    ) -> None:
        self._app = app
        self._engine_texts = engine_texts
        self._sees = sees

    def collect(self) -> Iterator[Metric]:
        """Give all families that are ours."""
        app, sees = self._app, self._sees
        yield from service_families(
            app[TALLY],
            app[LOOP_LAG].seconds,
            sockets=len(app[SOCKETS]),
            sessions=len(app[SESSIONS]),
        )
        models = [model for model in app[FLEET].snapshots() if sees(model.id)]
        figures = app[DESK].figures.by_model
        yield from answer_families(models, {name: figures[name] for name in figures if sees(name)})
        servers = [server for server in app[FLEET].servers() if sees(server.spec.id)]
        yield from server_families(servers, self._engine_texts)


async def metrics(request: web.Request) -> web.StreamResponse:
    """Answer `GET /metrics`."""
    sees = request[CALLER].principal.sees
    engines = await request.app[FLEET].engine_figures()
    texts = {name: text for name, text in engines.items() if sees(name)}
    registry = CollectorRegistry()
    registry.register(_Families(request.app, texts, sees))
    ProcessCollector(registry=registry)
    known = {name: text for name, text in texts.items() if text is not None}
    body = (
        generate_latest(registry)
        + merge_expositions(known, label="model", reserved=_RESERVED).encode()
    )
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


OPERATIONS: Final = (
    Operation(
        "GET",
        "/metrics",
        metrics,
        "The service",
        "Tell what is counted, in Prometheus' text; of model servers that are up their own figures "
        "too. Wakes no model.",
        Reply("The figures.", {TEXT: str}),
    ),
)
