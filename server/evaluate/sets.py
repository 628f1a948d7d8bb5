"""The prompt set that is asked: a file that is taken in, or one that is kept."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from server.evaluate.asking import Api
from server.evaluate.refused import Refused
from server.evaluate.set_files import form_of, look_words

# What an exported run has behind its prompts.
_OUTCOMES: Final = tuple(
    f'{{"kind":"{kind}"'.encode() for kind in ("answer", "judge", "judgement", "vote")
)
_MAX_SHOWN: Final = 10


class FoundSet(NamedTuple):
    """A set by its id, and whether it was made for this evaluation."""

    id: str
    is_new: bool


async def set_of(name: str, api: Api) -> FoundSet:
    """Return the set that is named; a file is taken in, unless the same is kept by its name.

    What the file was taken for is said on standard error. Raises `Refused`.
    """
    path = Path(os.environ.get("CALLED_FROM", ""), name)
    data = await asyncio.to_thread(lambda: path.read_bytes() if path.is_file() else None)
    sets = (await api.ask("GET", "/prompt-sets"))["sets"]
    if data is None:
        return FoundSet(_kept(name, sets), is_new=False)
    form = form_of(path)
    data = _without_outcomes(data)
    look = await api.ask("PUT", "/prompt-sets/look", data=data, form=form)
    print(f"{path.name}: {look_words(look)}", file=sys.stderr)
    for one in sets:
        if one["name"] == path.stem and one["version"] == look["version"]:
            return FoundSet(one["id"], is_new=False)
    made = await api.ask("PUT", "/prompt-sets", data=data, form=form, name=path.stem)
    return FoundSet(made["id"], is_new=True)


def _kept(name: str, sets: Sequence[Mapping[str, Any]]) -> str:
    """Return the id of the set that has this id or name; raises `Refused`."""
    if any(one["id"] == name for one in sets):
        return name
    namesakes = [one for one in sets if one["name"] == name]
    if not namesakes:
        raise Refused(f"{name!r} is no file, and no prompt set that is kept has that id or name")
    if len(namesakes) > 1:
        lines = [f"  {one['id']}: {one['prompts']} prompts" for one in namesakes[:_MAX_SHOWN]]
        if more := len(namesakes) - _MAX_SHOWN:
            lines += [f"  and {more} more"] if more > 0 else []
        what = f"{len(namesakes)} prompt sets are called {name!r}; name one by its id:"
        raise Refused("\n".join([what, *lines]))
    return str(namesakes[0]["id"])


def _without_outcomes(data: bytes) -> bytes:
    """Leave out answers and judgements of an exported run: more than a gateway may take."""
    head, _, _ = data.partition(b"\n")
    if not head.startswith(b'{"format":"sidestream-run"'):
        return data
    lines = data.split(b"\n")
    return b"\n".join(line for line in lines if not line.startswith(_OUTCOMES))
