"""Prompt sets are read and written in a thread and in processes alike."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from server.core.errors import InvalidCommand, InvalidPromptSet, StorageFailed
from server.evaluation.files.building import Common, PromptLimits
from server.runs import sets
from server.runs.set_reading import ExportForm, SetGiven
from server.runs.sets import SetLibrary
from server.runs.store import Store, StoreLimits

TABLE = b"prompt,expected\nFrance?,Paris\nPeru?,Lima\n"


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[SetLibrary]:
    """A library on a new file."""
    store = await Store.open(tmp_path / "runs", StoreLimits(100, 100, 1 << 30))
    library = SetLibrary(store, PromptLimits())
    yield library
    await library.close()
    await store.close()


@pytest.fixture(params=["thread", "process"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where sets are read."""
    monkeypatch.setattr(sets, "FEW_BYTES", 0 if request.param == "process" else 1 << 20)
    return str(request.param)


async def written(library: SetLibrary, set_id: str, form: Literal["json", "csv", "jsonl"]) -> bytes:
    """Return a set as it is given out."""
    pieces = library.written("me", set_id, "", form)
    return b"".join([piece async for piece in pieces])


async def test_a_set_comes_out_as_it_went_in(library: SetLibrary, where: str) -> None:
    kept = await library.add_file("me", TABLE, "csv", Common(name="Capitals"))
    assert (kept.name, kept.prompts) == ("Capitals", 2)
    whole = await library.whole("me", kept.id, "")
    assert msgspec.json.decode(await written(library, kept.id, "json")) == msgspec.to_builtins(
        whole
    )
    forms: tuple[ExportForm, ...] = ("csv", "jsonl")
    for form in forms:
        again = await library.add_file("me", await written(library, kept.id, form), form, Common())
        assert again.version == kept.version
    given = SetGiven([{"prompt": "France?", "expected": "Paris"}, "Ünter?"], name="N", tags=["t"])
    other = await library.add("me", given)
    assert (other.name, other.tags, other.prompts) == ("N", ["t"], 2)
    replaced = await library.replace_by_body("me", other.id, b'{"prompts": ["One?"]}')
    assert (replaced.name, replaced.prompts) == ("N", 1)


async def test_what_is_wrong_is_told_with_its_place(library: SetLibrary, where: str) -> None:
    with pytest.raises(InvalidPromptSet) as wrong:
        await library.add_file("me", TABLE + b"Chad?,N'Djamena,more\n", "csv", Common())
    assert wrong.value.details is not None
    (problem,) = wrong.value.details["problems"]
    assert (problem["row"], problem["column"]) == (4, "expected")
    for body in (b"[]", b"{", b'{"prompts": [1]}', b'{"prompts": ["\\ud800"]}', b"\xff"):
        with pytest.raises(InvalidCommand):
            await library.add_body("me", body)
    with pytest.raises(InvalidPromptSet, match="there are no prompts"):
        await library.add_body("me", b'{"prompts": []}')
    assert await library.browse("me") == []


async def test_a_set_that_takes_too_much_memory_is_refused(
    library: SetLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen million bytes that become hundreds of millions."""
    monkeypatch.setattr(sets, "FEW_BYTES", 0)
    bomb = b'{"prompts": [{"messages": [' + b"{}," * 5_000_000 + b"{}]}]}"
    with pytest.raises((InvalidPromptSet, StorageFailed)):
        await library.add_body("me", bomb)
    assert await library.browse("me") == []


async def test_nothing_is_read_once_it_is_closed(
    library: SetLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "FEW_BYTES", 0)
    await library.close()
    with pytest.raises(StorageFailed, match="stopping"):
        await library.add_file("me", TABLE, "csv", Common())
