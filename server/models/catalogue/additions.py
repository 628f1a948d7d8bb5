"""Change the page's settings file while the gateway runs; undo a change that cannot be applied.

An entry is written and then all settings are reloaded, so that a restart would not change them.
Changes are made one at a time. Cancelling a caller does not cancel its change.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any, Final, TypeVar

from server.core.errors import Contradiction, InvalidCommand, StorageFailed
from server.settings.added import EntryExists, EntryRefused
from server.settings.values import SettingsError

T = TypeVar("T")

Reload = Callable[[], Sequence[str]]
"""Reload the settings; return the problems that prevent it."""

_MEND: Final = "mend that, then try again"


class Additions:
    """Change the page's file, one change at a time."""

    def __init__(self) -> None:
        self._file: Path | None = None
        self._reload: Reload = list
        self._alone = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()

    def set_file(self, settings_file: Path, reload: Reload) -> None:
        """Set the settings file, next to which the page's file lies, and the reload function."""
        self._file, self._reload = settings_file, reload

    async def close(self) -> None:
        """Wait until the changes that have begun are done."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def make(self, change: Callable[[Path], Awaitable[T]]) -> T:
        """Make a change; return or raise what it returns or raises.

        After cancelling, the change goes on. Raises `Contradiction` without a settings file.
        """
        file = self._file
        if file is None:
            raise Contradiction("this gateway has no settings file to write beside")

        async def alone() -> T:
            async with self._alone:
                return await change(file)

        # Its tasks, such as requests to servers, do not inherit the caller's trace.
        task = asyncio.create_task(alone(), name="change of what was added", context=Context())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def read(self, read: Callable[[Path], T]) -> T:
        """Return `read(file)`; raises `StorageFailed`, or `Contradiction` without a file."""
        if self._file is None:
            raise Contradiction("this gateway has no settings file to write beside")
        return await in_file(read, self._file)

    async def put_in_force(
        self, undo: Callable[[], object], check: Callable[[], Sequence[str]] = list
    ) -> None:
        """Reload the settings; undo the change if they are invalid or `check` finds problems.

        Raises `Contradiction`, and `StorageFailed` if it cannot be undone.
        """
        problems = list(self._reload()) or list(check())
        if problems:
            await in_file(undo)
            raise Contradiction(f"the settings cannot be used: {'; '.join(problems)}", hint=_MEND)


async def in_file(act: Callable[..., T], *arguments: object) -> T:
    """Read or write the page's file in a thread, and return the result.

    Raises `StorageFailed`, `Contradiction` for an entry that exists already, and `InvalidCommand`
    for one that is not allowed.
    """
    try:
        return await asyncio.to_thread(act, *arguments)
    except EntryExists as error:
        raise Contradiction("; ".join(error.problems)) from None
    except EntryRefused as error:
        raise InvalidCommand("; ".join(error.problems)) from None
    except SettingsError as error:
        raise StorageFailed("; ".join(error.problems), hint=_MEND) from None
