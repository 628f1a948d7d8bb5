"""Changes of the page's own settings file while the gateway runs: applied, or undone.

An entry is written and the settings are read again, so that the settings in force are those after a
restart. Changes are made one at a time. Cancelling a caller does not cancel its change.
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
"""Read the settings again and apply them; return why that is not possible."""

_MEND: Final = "mend that, then try again"


class Additions:
    """Make changes of the page's file, one after the other."""

    def __init__(self) -> None:
        self._file: Path | None = None
        self._reload: Reload = list
        self._alone = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()

    def set_file(self, settings_file: Path, reload: Reload) -> None:
        """Set the settings file, which the page's file lies beside, and how both are read."""
        self._file, self._reload = settings_file, reload

    async def close(self) -> None:
        """Wait for changes that are under way."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def make(self, change: Callable[[Path], Awaitable[T]]) -> T:
        """Make a change; return or raise what it returns or raises.

        Cancelling leaves it under way. Raises `Contradiction` without a settings file.
        """
        file = self._file
        if file is None:
            raise Contradiction("this gateway has no settings file to write beside")

        async def alone() -> T:
            async with self._alone:
                return await change(file)

        # Tasks that it starts, such as requests to servers, do not inherit the caller's trace.
        task = asyncio.create_task(alone(), name="change of what was added", context=Context())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def read(self, read: Callable[[Path], T]) -> T:
        """Return what is in the file; raises `StorageFailed`, `Contradiction` without a file."""
        if self._file is None:
            raise Contradiction("this gateway has no settings file to write beside")
        return await in_file(read, self._file)

    async def put_in_force(
        self, undo: Callable[[], object], check: Callable[[], Sequence[str]] = list
    ) -> None:
        """Read the settings again; undo the change if they are invalid or `check` finds problems.

        Raises `Contradiction`, and `StorageFailed` if it cannot be undone.
        """
        problems = list(self._reload()) or list(check())
        if problems:
            await in_file(undo)
            raise Contradiction(f"the settings cannot be used: {'; '.join(problems)}", hint=_MEND)


async def in_file(act: Callable[..., T], *arguments: object) -> T:
    """Return the result of reading or writing the file.

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
