"""Follow the engine's events about the gateway's containers.

Rules:

1. The stream is read in its own task and reopened with back-off whenever it ends.
2. An event only notifies; each waiter inspects its container itself. A new stream notifies too,
   because anything may have happened before it. So a missed event does no harm.
3. The state of a container is dropped when it starts again or is removed; a list of containers at
   the beginning of the next stream finds a removal that was missed.
4. If a stream is silent, the engine is probed, because an engine that hangs is silent, too.
"""

import asyncio
import json
import logging
import random
import re
from typing import Final

from server.core.docker_engine import LABEL_INSTANCE
from server.core.errors import ModelFailed
from server.models.runners.containers.client import CALL_SECONDS, DockerEngine
from server.models.runners.containers.errors import DockerUnreachable, calling
from server.models.state_changed import StateChanged

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS: Final = 0.1
_LAST_PAUSE_SECONDS: Final = 5.0
_QUIET_SECONDS: Final = 15.0
_NOTED: Final = re.compile(rb'"(?:oom|kill|start|destroy)"')


class Events:
    """Notify waiters of every event about one instance's containers."""

    def __init__(self, engine: DockerEngine, instance: str) -> None:
        self._engine = engine
        self._filters = json.dumps(
            {"type": ["container"], "label": [f"{LABEL_INSTANCE}={instance}"]}
        )
        self._task: asyncio.Task[None] | None = None
        self.changed = StateChanged()
        self.count = 0
        self.is_connected = False
        self.trouble = ""
        """Why the engine was not connected at the last try; empty while it is."""
        self.out_of_memory: set[str] = set()
        """Ids of containers whose memory ran out; the engine may report that late or never."""
        self.sent_signals: dict[str, set[int]] = {}
        """The signals that the engine was asked to send, by the container's id."""

    def listen(self) -> None:
        """Start to listen; does nothing if it listens already."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="docker events")

    async def after(self, count: int) -> None:
        """Wait until the number of notifications is more than `count`."""
        await self.changed.wait_for(lambda: self.count > count)

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
                reason = trouble = "the engine ended it"
            except ModelFailed as error:
                reason = error.message
                trouble = error.reason if isinstance(error, DockerUnreachable) else reason
            except Exception as error:
                # Every wait for the end of a container depends on this task.
                logger.exception("the events of the Docker engine cannot be followed")
                reason = trouble = str(error)
            if self.is_connected:
                logger.warning("the events of the Docker engine stopped: %s", reason)
                pause = _FIRST_PAUSE_SECONDS
            self.is_connected, self.trouble = False, trouble
            self._happened()
            # With jitter, so that not all gateways connect at once to an engine that comes back.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LAST_PAUSE_SECONDS)

    async def _follow(self) -> None:
        async with self._engine.stream(
            "tell its events", "GET", "events", {"filters": self._filters}
        ) as chunks:
            await self._engine.ping()
            await self._forget_removed()
            self.is_connected, self.trouble = True, ""
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
            # `docker stop` sends one, too. Podman does not say which signal it was.
            number = event["Actor"].get("Attributes", {}).get("signal", "")
            if number.isdecimal():
                self.sent_signals.setdefault(container, set()).add(int(number))
        elif action in {"start", "destroy"}:
            self._forget(container)

    async def _forget_removed(self) -> None:
        """Drop the state of containers that were removed while no stream was open."""
        known = self.out_of_memory | self.sent_signals.keys()
        if not known:
            return
        async with calling("list containers", within_seconds=CALL_SECONDS):
            docker = await self._engine.docker()
            there = {one.id for one in await docker.containers.list(all=True)}
        for container in known - there:
            self._forget(container)

    def _forget(self, container: str) -> None:
        self.out_of_memory.discard(container)
        self.sent_signals.pop(container, None)

    def _happened(self) -> None:
        self.count += 1
        self.changed.notify_all()
