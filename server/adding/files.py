"""A GGUF file of this machine as a model: only the command line may name one."""

import os
from pathlib import Path

from server.adding.deciding import Decision
from server.adding.place import Place
from server.adding.showing import show_file
from server.core.errors import InvalidCommand
from server.hub.errors import DoesNotFit
from server.hub.looking import free_id
from server.hub.machine import this_machine
from server.hub.needs import memory_bytes
from server.hub.variants import quantization_of
from server.models.catalogue.added_models import AddRequest
from server.settings.values import Size
from server.weights.errors import WeightsFailed
from server.weights.gguf import read_beginning, read_model_file, trained_context
from server.weights.shards import parts_of, shard_of

_HEAD_BYTES = 4 << 20
_MEGABYTE = 1 << 20


def is_file(text: str) -> bool:
    """Tell whether a file of that path is there; relative ones are from the caller's folder."""
    return text.lower().endswith(".gguf") and _absolute(Path(text)).is_file()


async def add_file(path: Path, wanted: AddRequest, decision: Decision, place: Place) -> None:
    """Show what a file takes, ask whether it is to be added, and add it.

    Raises `InvalidCommand` for what is no GGUF file, and what adding does.
    """
    path = _absolute(path)
    sizes, metadata = _read(path)
    trained = trained_context(metadata) or wanted.context_tokens
    tokens = wanted.slots * min(wanted.context_tokens, trained)
    memory, _ = memory_bytes(sizes, metadata, tokens=tokens)
    problem = this_machine(str(path.parent), place.settings.engines.memory_budget).problem(
        memory, 0
    )
    show_file(str(path), sizes, memory, problem)
    if problem and not decision.is_forced:
        raise DoesNotFit(f"{path.name} does not fit: it {problem}", hint="--force adds it anyway")
    model_id = wanted.id or _free_id(path, place)
    decision.ask(f"Add it as {model_id}?")
    entry = {
        "name": wanted.title or path.stem,
        "description": f"{path.name} of this machine.",
        "weights": str(path),
        "slots": wanted.slots,
        "context_tokens": wanted.context_tokens,
        "memory": Size(-(-memory // _MEGABYTE) * _MEGABYTE),
    }
    await place.models.add_file(model_id, entry)
    print(f"added {model_id}")


def _read(path: Path) -> tuple[int, dict[str, object]]:
    """Return how large a model is, all its files together, and what the first says of it."""
    if not path.name.lower().endswith(".gguf"):
        raise InvalidCommand(f"{path} is not the path of a .gguf file")
    try:
        parts = [path.with_name(part) for part in parts_of(path.name)]
        sizes = sum(part.stat().st_size for part in parts)
        for part in parts:
            read_model_file(part)
        with path.open("rb") as file:
            return sizes, read_beginning(file.read(_HEAD_BYTES))
    except OSError as error:
        raise InvalidCommand(f"{error.filename or path} cannot be read: {error.strerror}") from None
    except WeightsFailed as error:
        raise InvalidCommand(str(error)) from None


def _free_id(path: Path, place: Place) -> str:
    shard = shard_of(path.name)
    stem = path.stem if shard is None else shard.stem
    return free_id(f"file/{stem}", quantization_of(path.name), place.settings.models)


def _absolute(path: Path) -> Path:
    """Return a path as the caller of run.py means it."""
    return Path(os.environ.get("CALLED_FROM", ""), path.expanduser()).absolute()
