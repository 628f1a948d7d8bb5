"""Requests to remote servers to load and unload models.

There is one request at a time for each model; the error of the last one is shown until the next.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from server.core.errors import SidestreamError
from server.core.protocol import ModelError
from server.dialects.base import Upstream
from server.models.lifecycle.state import as_sidestream_error, model_error

logger = logging.getLogger(__name__)

LoadState = Literal["loading", "stopping"]


class Loads:
    """Request loads and unloads; `on_change` is called with the model's id."""

    def __init__(self, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change
        self._tasks: dict[str, tuple[LoadState, asyncio.Task[None]]] = {}
        self._errors: dict[str, ModelError] = {}

    def state(self, model_id: str) -> LoadState | None:
        """Return the request that is under way for a model, None if none is."""
        under_way = self._tasks.get(model_id)
        return None if under_way is None else under_way[0]

    def error(self, model_id: str) -> ModelError | None:
        """Return the error of the last request, None if it succeeded."""
        return self._errors.get(model_id)

    def request(
        self, model_id: str, state: LoadState, upstreams: Sequence[Upstream], name: str
    ) -> None:
        """Ask the model's servers to load or to unload the model of that name."""
        if self.state(model_id) == state:
            return
        if model_id in self._tasks:
            self._tasks[model_id][1].cancel()
        task = asyncio.create_task(
            self._run(model_id, state, upstreams, name), name=f"{state} {model_id}"
        )
        self._tasks[model_id] = (state, task)
        self._errors.pop(model_id, None)
        self._on_change(model_id)

    async def close(self) -> None:
        """Cancel the requests; servers finish the loads that they have begun."""
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(
        self, model_id: str, state: LoadState, upstreams: Sequence[Upstream], name: str
    ) -> None:
        try:
            verbs = [one.load if state == "loading" else one.unload for one in upstreams]
            await asyncio.gather(*(verb(name) for verb in verbs))
        except Exception as error:
            if not isinstance(error, SidestreamError):
                logger.exception("%s %s broke", state, model_id)
            self._errors[model_id] = model_error(as_sidestream_error(error))
        finally:
            known = self._tasks.get(model_id)
            if known is not None and known[1] is asyncio.current_task():
                del self._tasks[model_id]
                self._on_change(model_id)
