"""The lists of models of remote servers, as they were last read.

Rules:

1. A list is read when its server becomes ready, when it may have changed, and at intervals. The
   request costs the server nothing.
2. A list that cannot be read changes nothing: the models stay, and so does the time when the
   server was last seen. A model is removed only when a list is read that lacks it.
3. Lists are stored in a file, so that the models of an unreachable server survive a restart. A
   server at another address is another server.
4. No answer of a server ends its reader.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from server.core.errors import EngineTimeout, SidestreamError
from server.dialects.base import ServedModel, Upstream
from server.models.lifecycle.state import as_sidestream_error

logger = logging.getLogger(__name__)

# A list of a few thousand models is some 500 KB.
_MAX_FILE_BYTES: Final = 16 << 20
# Other users must not see the addresses and models of servers.
_MODE: Final = 0o600
# Events that may change a list, such as an answer, often come several at a time.
_PAUSE_SECONDS: Final = 0.5
# Bounds a server that sends its list byte by byte.
_READ_SECONDS: Final = 60.0
# The time when a server was last seen is stored to the minute.
_STORE_SECONDS: Final = 60.0


class ServerList(msgspec.Struct, frozen=True):
    """The models that one server listed at `seen`, in seconds since the epoch."""

    url: str
    models: list[ServedModel]
    seen: float
    left_out: int = 0
    """How many of its models do not generate text."""


class ServerLists:
    """Hold the lists of all servers, and store them in a file."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lists: dict[str, ServerList] = {} if file is None else _read(file)
        self._stored = dict(self._lists)
        self._was_stored = True

    def models(self, urls: Mapping[str, str]) -> dict[str, list[ServedModel]]:
        """Return the models of the servers with these addresses, by the servers' names."""
        lists = {name: self.get(name, url) for name, url in urls.items()}
        return {name: known.models for name, known in lists.items() if known is not None}

    def get(self, name: str, url: str) -> ServerList | None:
        """Return a server's last list; None if none was read at that address."""
        known = self._lists.get(name)
        return known if known is not None and known.url == url else None

    def take(self, name: str, url: str, models: list[ServedModel]) -> bool:
        """Replace a server's list; return whether its models have changed."""
        known = self.get(name, url)
        left_out = sum(model.kind != "text" for model in models)
        self._lists[name] = ServerList(url, models, time.time(), left_out)
        return known is None or known.models != models

    def store(self, *, is_last: bool = False) -> None:
        """Write the lists if the models of one have changed, or its time has by at least a minute.

        `is_last` also writes times that changed by less.
        """
        if self._file is None or not self._is_to_be_stored(0.0 if is_last else _STORE_SECONDS):
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._file.with_suffix(".models-partial")
            partial.touch(_MODE)
            partial.write_bytes(msgspec.json.encode(self._lists))
            partial.replace(self._file)
            self._was_stored = True
        except (OSError, ValueError) as error:
            # A restart reads the lists again; only unreachable servers then lack their models.
            if self._was_stored:
                logger.warning("the lists of models cannot be stored: %s", error)
            self._was_stored = False
        self._stored = dict(self._lists)

    def _is_to_be_stored(self, seconds: float) -> bool:
        if _names(self._lists) != _names(self._stored):
            return True
        known = self._stored
        return any(one.seen > known[name].seen + seconds for name, one in self._lists.items())


class ListReader:
    """Read one server's list at intervals while it is ready."""

    def __init__(
        self,
        name: str,
        wait_until_ready: Callable[[], Awaitable[Upstream]],
        on_list: Callable[[list[ServedModel]], None],
        on_problem: Callable[[SidestreamError], None],
        *,
        interval_seconds: float,
    ) -> None:
        self._name = name
        self._wait_until_ready = wait_until_ready
        self._on_list = on_list
        self._on_problem = on_problem
        self._interval_seconds = interval_seconds
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"list of {name}")

    def look_soon(self) -> None:
        """Read the list soon, because it may have changed."""
        self._changed.set()

    def stop(self) -> None:
        """Stop reading, without waiting for the task to end."""
        self._task.cancel()

    async def close(self) -> None:
        """Stop reading."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                upstream = await self._wait_until_ready()
                self._changed.clear()
                self._on_list(await _read_list(upstream))
            except SidestreamError as error:
                logger.info("the list of %s cannot be read: %s", self._name, error)
                self._on_problem(error)
            except Exception as error:
                logger.exception("reading the list of %s broke", self._name)
                self._on_problem(as_sidestream_error(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_seconds):
                    await self._changed.wait()
                await asyncio.sleep(_PAUSE_SECONDS)


async def _read_list(upstream: Upstream) -> list[ServedModel]:
    try:
        async with asyncio.timeout(_READ_SECONDS):
            return await upstream.models()
    except TimeoutError:
        raise EngineTimeout(
            f"the list of models had not come to its end after {_READ_SECONDS:g} s"
        ) from None


def _names(lists: Mapping[str, ServerList]) -> dict[str, tuple[str, list[str]]]:
    return {name: (known.url, [m.name for m in known.models]) for name, known in lists.items()}


def _read(file: Path) -> dict[str, ServerList]:
    """Return the lists of an earlier run; empty if the file is missing or cannot be read."""
    try:
        with file.open("rb") as stored:
            text = stored.read(_MAX_FILE_BYTES)
        return msgspec.json.decode(text, type=dict[str, ServerList])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("the lists of models of an earlier run are of no use: %s", error)
        return {}
