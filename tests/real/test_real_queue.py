"""How answers wait for real servers: for a model to be loaded, and for a slot to be free again."""

import asyncio

import aiohttp
import pytest

from server.core.protocol import Generate, Message, Notice, State, Target
from tests.chat.conftest import OpenBackend, ask
from tests.conftest import KeepLog
from tests.support.reader import Reader
from tests.support.real_servers import RealServer, available, has, llama_swap

CEILING_SECONDS = 60
LLAMAS = available("llama.cpp", "llama-server")
# To llama-swap's log, whoever answers its first look was started before.
LOADED = "Health check passed"


async def busy(server: RealServer, path: str) -> int:
    """Return how many of the server's slots are at work, as it says."""
    async with aiohttp.ClientSession() as session, session.get(server.url + path) as response:
        assert response.status == 200, await response.text()
        return sum(slot["is_processing"] for slot in await response.json())


async def until_busy(server: RealServer, number: int, path: str = "/slots") -> None:
    """Return once so many slots are at work."""
    async with asyncio.timeout(CEILING_SECONDS):
        while await busy(server, path) != number:  # noqa: ASYNC110  (another process's state)
            await asyncio.sleep(0.02)


def notices(reader: Reader, generation: str) -> list[Notice]:
    """Return what there was to say of a generation's states."""
    return [state.notice for state in reader.of(State, generation) if state.notice is not None]


def codes(reader: Reader, generation: str) -> list[str]:
    """Return the codes of that."""
    return [notice.code for notice in notices(reader, generation)]


@pytest.mark.parametrize("any_process", LLAMAS, indirect=True)
async def test_a_cancel_while_it_writes_frees_the_slot(
    chat_backend: OpenBackend, real_server: RealServer
) -> None:
    o = await chat_backend(models={"a": {"runner": "remote", "url": real_server.url}})
    session, reader = o.session()
    session.generate(ask("a", parameters={"max_new_tokens": 1500}, prompt="Count: 1, 2, 3,"))
    await reader.sees(lambda: reader.seq("g1") >= 3)
    await until_busy(real_server, 1)
    session.cancel(None)
    assert (await reader.end("g1")).finish_reason == "cancelled"
    await until_busy(real_server, 0)


@pytest.mark.parametrize("any_process", LLAMAS, indirect=True)
async def test_a_cancel_while_it_reads_the_prompt_frees_the_slot(
    chat_backend: OpenBackend, real_server: RealServer
) -> None:
    """A part of the prompt that is being computed is not interrupted, but the next is not begun."""
    o = await chat_backend(models={"a": {"runner": "remote", "url": real_server.url}})
    session, reader = o.session()
    session.generate(ask("a", prompt="one two three " * 150))
    await reader.sees(lambda: "prompt_progress" in codes(reader, "g1"))
    assert not reader.seq("g1")
    session.cancel(None)
    end = await reader.end("g1")
    assert (end.finish_reason, end.seq) == ("cancelled", 0)
    await until_busy(real_server, 0)


@pytest.mark.parametrize("any_process", LLAMAS, indirect=True)
async def test_a_cancel_in_our_queue_never_takes_a_slot(
    chat_backend: OpenBackend, real_server: RealServer
) -> None:
    model = {"runner": "remote", "url": real_server.url, "max_concurrent": 1}
    o = await chat_backend(models={"a": model})
    session, reader = o.session()
    session.generate(ask("a", "a", parameters={"max_new_tokens": 1500}, prompt="Count: 1, 2, 3,"))
    await reader.sees(lambda: reader.seq("g1") and reader.of(State, "g2")[-1].position == 1)
    await until_busy(real_server, 1)
    session.cancel(["g2"])
    assert (await reader.end("g2")).finish_reason == "cancelled"
    await until_busy(real_server, 1)
    session.cancel(["g1"])
    assert (await reader.end("g1")).finish_reason == "cancelled"
    await until_busy(real_server, 0)


if has("llama-swap"):

    async def test_two_models_and_four_prompts_make_two_loads_at_most(
        chat_backend: OpenBackend, keep_log: KeepLog
    ) -> None:
        server = llama_swap()
        keep_log("llama-swap", server.log)
        async with server:
            upstream = {"url": server.url, "models": ("one", "two")}
            o = await chat_backend(upstreams={"swap": upstream}, queue_timeout=CEILING_SECONDS)
            session, reader = o.session()
            for number in range(4):
                session.generate(ask("swap/one", "swap/two", prompt=f"Number {number} is"))
            for number in range(1, 9):
                end = await reader.end(f"g{number}")
                assert end.finish_reason in ("stop", "length"), end.error
                assert reader.text(f"g{number}")
            assert server.log().count(LOADED) == 2
            told = {number: codes(reader, f"g{number}") for number in range(1, 9)}
            # All of the model whose turn comes second wait for the one whose turn comes first.
            waited = [number for number, seen in told.items() if "waits_for_model" in seen]
            assert waited in ([1, 3, 5, 7], [2, 4, 6, 8])
            assert any("server_loads" in told[number] for number in waited)

    async def test_a_cancel_while_a_model_is_loaded_leaves_no_slot_busy(
        chat_backend: OpenBackend, keep_log: KeepLog
    ) -> None:
        server = llama_swap(models=("one",), options={"sendLoadingState": True})
        keep_log("llama-swap", server.log)
        async with server:
            upstream = {"url": server.url, "models": ("one",)}
            o = await chat_backend(upstreams={"swap": upstream})
            session, reader = o.session()
            chat = [Message("user", "Count to a thousand.")]
            session.generate(Generate(1, [Target("swap/one")], messages=chat))
            # First that it has to load, which is known beforehand, then its own words.
            await reader.sees(lambda: codes(reader, "g1")[1:2] == ["server_loads"])
            session.cancel(None)
            end = await reader.end("g1")
            assert (end.finish_reason, end.seq) == ("cancelled", 0)
            # To ask this has the model loaded, if it is not by now.
            await until_busy(server, 0, "/upstream/one/slots")
            session.generate(ask("swap/one"))
            assert (await reader.end("g2")).finish_reason in ("stop", "length")
