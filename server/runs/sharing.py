"""Runs that others may read and vote on: with whom one is shared, and what a reader sees of it.

Rules:

1. A run is shared by its owner: with every key, with some, or with nobody, as it is at first.
2. Others read it and vote. They change, judge and delete nothing.
3. Kept are ids of keys: a later key of the same name is somebody else. Shown are names.
4. Lines of a model server's log are told to operators only, as everywhere.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from server.access.principal import Principal
from server.core.errors import InvalidCommand, UnknownRun
from server.core.protocol import ErrorInfo
from server.runs.shapes import Run, RunAnswer
from server.runs.store import EVERYBODY

Find = Callable[[str], Principal | None]
"""Find the holder of a key, by its id or its name."""

MAX_READERS: Final = 1000


def readers_of(
    shared_with: Sequence[str], known: Iterable[str], owner: str, named: Find, holder: Find
) -> list[str]:
    """Return the ids of the keys of these names, or `*` alone.

    Ids are taken as well, and those in `known` also when their key is gone. Raises
    `InvalidCommand` for a name that no valid key has.
    """
    if EVERYBODY in shared_with:
        return [EVERYBODY]
    kept = frozenset(known)
    readers: dict[str, None] = {}
    for place, name in enumerate(shared_with):
        found = named(name) or holder(name)
        if found is not None:
            readers[found.id] = None
        elif name in kept:
            readers[name] = None
        else:
            raise InvalidCommand(
                f"there is no key {name[:80]!r} - at `$.shared_with[{place}]`",
                hint="name keys as `python3 run.py key list` does, or `*` for all of them",
            )
    readers.pop(owner, None)
    return list(readers)


def seen_by(run: Run, reader: str, holder: Find) -> Run:
    """Return a run as a reader sees it, from a view that has ids in `shared_with`.

    Raises `UnknownRun` for a reader who may not see it.
    """
    is_mine = reader == run.owner
    if not is_mine and reader not in run.shared_with and EVERYBODY not in run.shared_with:
        raise UnknownRun(f"there is no run {run.id!r}")
    names = sorted(_name(one, holder) for one in run.shared_with) if is_mine else []
    seen = msgspec.structs.replace(
        run, owner_name=_name(run.owner, holder), is_mine=is_mine, shared_with=names
    )
    if may_read_logs(reader, holder):
        return seen
    targets = [
        msgspec.structs.replace(target, error=without_log(target.error)) for target in run.targets
    ]
    return msgspec.structs.replace(seen, targets=targets, error=without_log(run.error))


def may_read_logs(reader: str, holder: Find) -> bool:
    """Tell whether a reader is an operator, to whom lines of a model server's log are told."""
    found = holder(reader)
    return found is not None and found.role == "operator"


def answer_without_log(answer: RunAnswer) -> RunAnswer:
    """Return an answer whose error has no lines of a model server's log."""
    if answer.error is None:
        return answer
    return msgspec.structs.replace(answer, error=without_log(answer.error))


def without_log(error: ErrorInfo | None) -> ErrorInfo | None:
    """Return an error without the lines of a model server's log."""
    if error is None or not error.details or "log" not in error.details:
        return error
    details = {name: value for name, value in error.details.items() if name != "log"}
    return msgspec.structs.replace(error, details=details or None)


def _name(key: str, holder: Find) -> str:
    found = holder(key)
    return key if found is None else found.name
