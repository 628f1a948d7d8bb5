"""Look at a model of the hub before it is added: its files, and whether they fit here."""

import asyncio
import re
from collections.abc import Collection
from typing import Any, Final

import msgspec

from server.hub.asking import HubPlace, ask_for_metadata, ask_for_repository, hub_place
from server.hub.errors import NoGGUF, UnknownRepository
from server.hub.machine import Machine, missing_bytes, this_machine
from server.hub.naming import HubModel
from server.hub.needs import memory_bytes
from server.hub.variants import Variant, choose
from server.weights.gguf import trained_context

_MOST_SHOWN: Final = 200
_MOST_ID_CHARACTERS: Final = 80


class Candidate(msgspec.Struct, frozen=True):
    """One quantization of a model: its first file, and what it takes.

    `download_bytes` is what is not in the hub's cache yet, `memory_bytes` an estimate of weights
    and context together; `problem` says why it does not fit.
    """

    file: str
    quantization: str
    files: int
    size_bytes: int
    download_bytes: int
    memory_bytes: int
    fits: bool
    problem: str | None = None


class HubLook(msgspec.Struct, frozen=True):
    """What a repository of the hub has, and which of its files fit this machine.

    `chosen` is the candidate that is taken by default. `is_estimate_rough` tells that
    the model's own figures could not be read. Figures of this machine are null where it does not
    tell them.
    """

    repo: str
    revision: str
    id: str
    chosen: str
    candidates: list[Candidate]
    slots: int
    context_tokens: int
    is_estimate_rough: bool
    memory_total_bytes: int | None
    memory_budget_bytes: int | None
    disk_free_bytes: int | None
    cache: str

    def candidate(self, file: str = "") -> Candidate:
        """Return the candidate of that file, or the chosen one; raises `UnknownRepository`."""
        wanted = file or self.chosen
        for one in self.candidates:
            if one.file == wanted:
                return one
        raise UnknownRepository(
            f"the repository {self.repo} has no file {wanted[:120]!r} that can be run",
            hint=f"there are {', '.join(one.file for one in self.candidates[:5])}",
        )


async def look_at_hub(
    model: HubModel,
    *,
    slots: int,
    context_tokens: int,
    budget_bytes: int,
    taken_ids: Collection[str],
    place: HubPlace | None = None,
) -> HubLook:
    """Ask the hub for a model, and this machine for what it has.

    `taken_ids` are those of other models. Raises `HubError`. Cancelling ends it.
    """
    place = place or await hub_place()
    repository = await ask_for_repository(place, model)
    variants = _wanted(repository.variants, model)
    metadata = await ask_for_metadata(place, model, variants[0])
    trained = trained_context(metadata)
    # The engine gives no more context than the model was trained to hold.
    held = min(context_tokens, trained) if trained else context_tokens

    def judge() -> HubLook:
        machine = this_machine(place.cache, budget_bytes)
        judged = {
            one.file: _candidate(place.cache, model.repo, one, metadata, slots * held, machine)
            for one in variants
        }
        chosen = choose(variants, lambda one: judged[one.file][0].fits)
        return HubLook(
            repo=model.repo,
            revision=model.revision,
            id=free_id(model.repo, chosen.quantization, taken_ids),
            chosen=chosen.file,
            candidates=[candidate for candidate, _ in judged.values()],
            slots=slots,
            context_tokens=held,
            is_estimate_rough=not all(is_known for _, is_known in judged.values()),
            memory_total_bytes=machine.memory,
            memory_budget_bytes=machine.budget,
            disk_free_bytes=machine.disk,
            cache=place.cache,
        )

    return await asyncio.to_thread(judge)


def _wanted(variants: tuple[Variant, ...], model: HubModel) -> list[Variant]:
    """Return those that were named, the smallest first."""
    if model.file:
        named = [one for one in variants if any(f.name == model.file for f in one.files)]
        if not named:
            raise UnknownRepository(
                f"the repository {model.repo} has no file {model.file[:120]!r} that can be run",
                hint=f"there are {', '.join(one.file for one in variants[:5])}",
            )
        return named
    if model.quantization:
        wanted = model.quantization.upper()
        named = [one for one in variants if one.quantization == wanted]
        if not named:
            there = dict.fromkeys(filter(None, (one.quantization for one in variants)))
            raise NoGGUF(
                f"the repository {model.repo} has no {wanted[:40]}",
                hint=f"there are {', '.join(there) or 'none'}",
            )
        return named
    return list(variants)[:_MOST_SHOWN]


def _candidate(
    cache: str,
    repo: str,
    variant: Variant,
    metadata: dict[str, Any] | None,
    tokens: int,
    machine: Machine,
) -> tuple[Candidate, bool]:
    memory, is_known = memory_bytes(variant.size_bytes, metadata, tokens=tokens)
    missing = missing_bytes(cache, repo, variant)
    problem = machine.problem(memory, missing)
    candidate = Candidate(
        file=variant.file,
        quantization=variant.quantization,
        files=len(variant.files),
        size_bytes=variant.size_bytes,
        download_bytes=missing,
        memory_bytes=memory,
        fits=not problem,
        problem=problem or None,
    )
    return candidate, is_known


def free_id(repo: str, quantization: str, taken_ids: Collection[str]) -> str:
    """Return an id after a repository's name that no other model has."""
    plain = re.sub(r"[-_.]gguf$", "", repo.partition("/")[2], flags=re.IGNORECASE).lower()
    plain = re.sub(r"[^a-z0-9._-]+", "-", plain).strip("-._")[:_MOST_ID_CHARACTERS] or "model"
    taken = {one.casefold() for one in taken_ids}
    named = f"{plain}-{quantization.lower()}" if quantization else plain
    names = [plain, named, *(f"{named}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name.casefold() not in taken)
