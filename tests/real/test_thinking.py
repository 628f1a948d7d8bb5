"""Thinking of real servers through the gateway: told apart, as one text, and stored.

The gateway is a process of its own. Each answer is read twice, by a client that knows kinds of text
and by one that does not, over one session, and then out of the archive.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from server.client import Client, Generation, Target, connect
from tests.conftest import KeepLog
from tests.real.over_servers import remote, upstream
from tests.support.gateway import gateway
from tests.support.real_servers import RealServer, available, has, llama_swap

CEILING_SECONDS = 60
SETTINGS = "[discovery]\nenabled = no\n"
# Grammar of TGI's: llama.cpp's server is told it in its own form.
THINKS = r"<think>\n[a-z ]{8,30}</think>\n\n[A-Z][a-z]{2,9} [a-z]{2,9}\."
THOUGHT, ANSWER = re.compile("[a-z ]{8,30}"), re.compile(r"[A-Z][a-z]{2,9} [a-z]{2,9}\.")
FORCED = {"grammar": {"type": "regex", "value": THINKS}, "max_new_tokens": 80, "seed": 1}
GBNF = r'root ::= "<think>\n" [a-z ]{8,30} "</think>\n\n" [A-Z] [a-z]{2,9} " " [a-z]{2,9} "."'
CHAT = [{"role": "user", "content": "Why is the sea salty?"}]


@dataclass(frozen=True)
class Heard:
    """One answer: for who knows kinds, for who does not, and as it is stored."""

    apart: Generation
    plain: Generation
    stored: dict[str, Any]


@asynccontextmanager
async def hearing(
    settings: str, folder: Path, target: Target, **asked: Any
) -> AsyncIterator[Heard]:
    """Have a model answer once, and read the answer in every way."""
    async with (
        gateway(SETTINGS + settings, folder) as running,
        aiohttp.ClientSession(f"http://{running.address}") as http,
        connect(f"ws://{running.address}/ws") as client,
    ):
        outline = {"columns": [{"id": "a", "model": target.model}]}
        async with http.post("/conversations", json=outline) as response:
            name = (await response.json())["id"]
        await _listed(client, target.model)
        record = {"conversation": name, "turn": "t"}
        (apart,) = await client.generate(target, record=record, **asked)
        await apart.result()
        # Who comes later reads from the beginning.
        other = connect(f"ws://{running.address}/ws", session=client.session, kinds=())
        found: asyncio.Queue[Generation] = asyncio.Queue()
        other.on("generation", found.put_nowait)
        async with other:
            plain = await found.get()
            await plain.result()
        async with http.get(f"/conversations/{name}") as response:
            (stored,) = (await response.json())["answers"]
        yield Heard(apart, plain, stored)


async def _listed(client: Client, model: str) -> None:
    """Return once the server of a model has told of it."""
    changed = asyncio.Event()
    forget = client.on("model", lambda _: changed.set())
    async with asyncio.timeout(CEILING_SECONDS):
        while model not in client.models:
            await changed.wait()
            changed.clear()
    forget()


def check(heard: Heard) -> None:
    """Make sure that all three tell the same."""
    apart, plain, stored = heard.apart, heard.plain, heard.stored
    assert (stored["text"], stored["reasoning"]) == (apart.text, apart.reasoning)
    assert plain.reasoning == ""
    assert re.fullmatch(
        rf"<think>\s*{re.escape(apart.reasoning)}\s*</think>\s*{re.escape(apart.text)}", plain.text
    )
    assert apart.usage == plain.usage
    assert 0 < (apart.usage.reasoning_tokens or 0) < apart.usage.completion_tokens
    timings = apart.timings
    assert timings.ttft_ms is not None
    assert timings.reasoning_ms is not None
    assert timings.answer_ms is not None
    assert timings.ttft_ms <= timings.reasoning_ms < timings.answer_ms


if has("tgi"):

    @pytest.mark.parametrize("is_chat", [False, True])
    async def test_marks_in_the_text_of_tgi(
        real_tgi: RealServer, tmp_path: Path, is_chat: bool
    ) -> None:
        thought = "Rivers carry salt 😀; 見て。\n\nNot `<think>` again."
        answer = "Because of rivers. In XML: <think>so</think>."
        written = f"<think>\n{thought}\n</think>\n\n{answer}"
        said = f"[[say {written}]]"
        asked: dict[str, Any] = {"prompt": said}
        if is_chat:
            asked = {"question": said}
        model = remote(real_tgi)
        async with hearing(model, tmp_path, Target("m"), **asked) as heard:
            check(heard)
            assert heard.plain.text == written
            assert heard.apart.reasoning == thought + "\n"
            assert heard.apart.text == answer

    async def test_thinking_of_tgi_that_its_length_cuts_off(
        real_tgi: RealServer, tmp_path: Path
    ) -> None:
        prompt = "[[say <think>\nOn and on and on and on and on and on and on]]"
        parameters = {"max_new_tokens": 10}
        async with hearing(
            remote(real_tgi), tmp_path, Target("m"), prompt=prompt, parameters=parameters
        ) as heard:
            assert heard.apart.text == ""
            assert heard.apart.finish_reason == "length"
            assert heard.apart.reasoning
            assert heard.plain.text == "<think>\n" + heard.apart.reasoning
            assert heard.stored["reasoning"] == heard.apart.reasoning


@pytest.mark.parametrize("is_chat", [False, True])
@pytest.mark.parametrize("any_process", available("llama.cpp", "llama-server"), indirect=True)
async def test_a_grammar_has_llama_cpp_think(
    real_server: RealServer, tmp_path: Path, is_chat: bool
) -> None:
    """In a text its marks are read here; in a chat its own parser may have told them apart."""
    asked: dict[str, Any] = {"question": CHAT} if is_chat else {"prompt": "The sea is salty:"}
    target = Target("m", FORCED)
    async with hearing(remote(real_server), tmp_path, target, **asked) as heard:
        check(heard)
        assert THOUGHT.fullmatch(heard.apart.reasoning), heard.apart.reasoning
        assert ANSWER.fullmatch(heard.apart.text), heard.apart.text


if has("llama-swap"):

    async def test_loading_messages_of_llama_swap_are_not_counted_as_thinking(
        keep_log: KeepLog, tmp_path: Path
    ) -> None:
        server = llama_swap(
            models=("one",),
            options={"sendLoadingState": True},
            model_options={"filters": {"setParams": {"grammar": GBNF}}},
        )
        keep_log("llama-swap", server.log)
        async with server:
            section = upstream(server, "models = *")
            target = Target("u/one", {"max_new_tokens": 80})
            async with hearing(section, tmp_path, target, question=CHAT) as heard:
                check(heard)
                assert THOUGHT.fullmatch(heard.apart.reasoning), heard.apart.reasoning
                assert heard.apart.timings.load_ms
