"""What happens to our containers, told by the engine as it happens.

Rules:

1. The stream runs in a task of our own and is opened again whenever it ends, with back-off.
2. An event only wakes; whoever waits looks for himself. So none can be missed: each new
   stream wakes too, since anything may have happened before it.
3. A stream that has been quiet is probed, for an engine that hangs sends nothing either.
"""

import asyncio
import json
import logging
import random
import re
from typing import Final

from server.core.errors import ModelFailed
from server.models.bell import Bell
from server.models.runners.docker.client import Engine
from server.models.runners.docker.configuration import LABEL_INSTANCE

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS: Final = 0.1
_LAST_PAUSE_SECONDS: Final = 5.0
_QUIET_SECONDS: Final = 15.0
_NOTED: Final = re.compile(rb'"(?:oom|kill|destroy)"')


class Events:
    """Ring a bell for every event of one instance's containers."""

    def __init__(self, engine: Engine, instance: str) -> None:
        self._engine = engine
        self._filters = json.dumps(
            {"type": ["container"], "label": [f"{LABEL_INSTANCE}={instance}"]}
        )
        self._task: asyncio.Task[None] | None = None
        self.bell = Bell()
        self.count = 0
        self.is_connected = False
        self.out_of_memory: set[str] = set()
        """Ids of containers whose memory ran out; the engine may note that late, or not at all."""
        self.sent_signals: dict[str, set[int]] = {}
        """By a container's id the signals that somebody had the engine send to it."""

    def listen(self) -> None:
        """Begin to listen, if that is not done already."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="docker events")

    async def after(self, count: int) -> None:
        """Return once more than `count` things have happened."""
        await self.bell.until(lambda: self.count > count)

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._follow()
                reason = "the engine ended it"
            except ModelFailed as error:
                reason = error.message
            except Exception as error:
                # Whoever waits for a container's end depends on this task.
                logger.exception("the events of the Docker engine cannot be followed")
                reason = str(error)
            if self.is_connected:
                logger.warning("the events of the Docker engine stopped: %s", reason)
                pause = _FIRST_PAUSE_SECONDS
            self.is_connected = False
            self._happened()
            # Jitter: several gateways are not to fall upon an engine that comes back.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LAST_PAUSE_SECONDS)

    async def _follow(self) -> None:
        async with self._engine.stream(
            "tell its events", "GET", "events", {"filters": self._filters}
        ) as chunks:
            await self._engine.ping()
            self.is_connected = True
            self._happened()
            rest = b""
            while True:
                chunk = asyncio.ensure_future(anext(chunks, b""))
                try:
                    while not (await asyncio.wait([chunk], timeout=_QUIET_SECONDS))[0]:
                        await self._engine.ping()
                    if not chunk.result():
                        return
                finally:
                    chunk.cancel()
                    await asyncio.wait([chunk])
                *lines, rest = (rest + chunk.result()).split(b"\n")
                for line in lines:
                    self._note(line)
                self._happened()

    def _note(self, line: bytes) -> None:
        if not _NOTED.search(line):
            return
        event = json.loads(line)
        container, action = event["Actor"]["ID"], event.get("Action")
        if action == "oom":
            self.out_of_memory.add(container)
        elif action == "kill":
            # `docker stop` is one, too. Podman does not say which signal it was.
            number = event["Actor"].get("Attributes", {}).get("signal", "")
            if number.isdecimal():
                self.sent_signals.setdefault(container, set()).add(int(number))
        elif action == "destroy":
            self.out_of_memory.discard(container)
            self.sent_signals.pop(container, None)

    def _happened(self) -> None:
        self.count += 1
        self.bell.ring()
