"""Whether an answer is late because its model is being loaded.

Ollama loads a model when it is asked for, and says nothing meanwhile: not even the head of an
answer comes. `/api/ps` lists what is in memory.

Rules:

1. Most answers begin at once, and cause no look.
2. All waiting answers share one look, at most once a second and `_MAX_LOOKS` times.
3. While a model is being loaded, `/api/ps` itself waits for that. No answer within a second means
   loading as much as an answer without the model.
4. A look that fails in any other way is ignored: the answer itself reports the error.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from server.core.errors import EngineError, EngineTimeout
from server.core.protocol import Notice
from server.dialects.base import OnWait
from server.dialects.ollama.listing import find_loaded
from server.dialects.ollama.wire import LoadedModel

LOOK_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 0.25
_MAX_LOOKS: Final = 600

Look = Callable[[], Awaitable[list[LoadedModel]]]
"""Ask for what is in memory, for `LOOK_SECONDS` at most; raises `EngineError`."""


class LoadWatch:
    """Tell those who wait that the server loads their model."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._looking: asyncio.Task[list[LoadedModel] | EngineError] | None = None

    @asynccontextmanager
    async def telling(
        self, model: str, on_wait: OnWait, *, is_loadable: bool = True
    ) -> AsyncIterator[Callable[[], None]]:
        """Tell `on_wait` when the model is being loaded, until what is given here is called.

        Nothing is told after the end, which waits for nothing, nor of a model that this server
        never has in memory.
        """
        if not is_loadable:
            yield lambda: None
            return
        is_told = False

        def tell() -> None:
            nonlocal is_told
            is_told = True
            on_wait(Notice("server_loads", "the server loads the model"))

        def answered() -> None:
            watching.cancel()
            if is_told:
                on_wait(None)

        watching = asyncio.create_task(self._watch(model, tell), name="watch for loading")
        try:
            yield answered
        finally:
            watching.cancel()

    def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()

    async def _watch(self, model: str, tell: Callable[[], None]) -> None:
        await asyncio.sleep(_GRACE_SECONDS)
        for _ in range(_MAX_LOOKS):
            seen = await self._look_together()
            if isinstance(seen, EngineTimeout):
                return tell()
            if isinstance(seen, EngineError):
                return None
            if find_loaded(seen, model) is None:
                return tell()
            await asyncio.sleep(LOOK_SECONDS)
        return None

    async def _look_together(self) -> list[LoadedModel] | EngineError:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_once(), name="look for loaded models")
        return await asyncio.shield(self._looking)

    async def _look_once(self) -> list[LoadedModel] | EngineError:
        try:
            return await self._look()
        except EngineError as error:
            return error
