"""Many answers of real servers at once, through the whole gateway, byte for byte.

The gateway is a process of its own, its sockets are read by a client of another make, and what
came over them is held against the very bytes that the server sent for each request, which a proxy
in between has kept.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import KeepLog
from tests.real.asking import events_of
from tests.support.dialogue import Event, dialogue
from tests.support.gateway import gateway
from tests.support.real_servers import RealServer, available, llama_cpp, llama_server, ollama, tgi
from tests.support.recording_proxy import Exchange, recording_proxy

SESSIONS = 20
ROUTES = {
    "/v1/chat/completions",
    "/v1/completions",
    "/api/chat",
    "/api/generate",
    "/generate_stream",
}
"""Where servers are asked for answers."""
SETTINGS = """
[sessions]
max_live_per_owner = 1000
[answers]
max_queue = 1000
[discovery]
enabled = no
"""
# Each differs from its neighbours, so that answers mixed up would show.
KINDS: list[dict[str, Any]] = [
    {"max_new_tokens": 4},
    {"max_new_tokens": 8},
    {"max_new_tokens": 6, "temperature": 0.7, "seed": 7},
]


def of_openai(body: bytes) -> str:
    """Return the text of an answer in OpenAI's form, of a chat or of a text."""
    choices = [choice for event in events_of(body) for choice in event["choices"]]
    return "".join(one.get("text") or one.get("delta", {}).get("content") or "" for one in choices)


def of_ollama(body: bytes) -> str:
    """Return the text of an answer of Ollama, of a chat or of a text."""
    lines = [json.loads(line) for line in body.split(b"\n") if line]
    return "".join(
        one.get("response") or one.get("message", {}).get("content", "") for one in lines
    )


def of_tgi(body: bytes) -> str:
    """Return the text of an answer of TGI's, without what marks the end."""
    tokens = [event["token"] for event in events_of(body)]
    return "".join(token["text"] for token in tokens if not token["special"])


@dataclass(frozen=True)
class Case:
    """A server, how it stands in the settings, and how its answers are read."""

    start: Callable[[], RealServer]
    section: str
    model: str
    text_of: Callable[[bytes], str]
    streams: int = 80
    stop: tuple[str, ...] = (" the",)
    """A stop text for some; not where it may end inside a token, which we cut ourselves then."""


CASES = {
    "llama.cpp": Case(
        lambda: llama_cpp(slots=8, context=256),
        "[model one]\nrunner = remote\nurl = {url}\nmax_concurrent = 100\n",
        "one",
        of_openai,
        streams=40,
    ),
    "llama-server": Case(
        lambda: llama_server(slots=16, context=256),
        "[upstream real]\nurl = {url}/v1\nmodels = *\nmax_concurrent = 200\n",
        "real/smollm2",
        of_openai,
    ),
    "ollama": Case(
        lambda: ollama(environment={"OLLAMA_NUM_PARALLEL": "8", "OLLAMA_CONTEXT_LENGTH": "512"}),
        "[upstream real]\nurl = {url}\nmodels = *\nmax_concurrent = 200\n",
        "real/smollm2:latest",
        of_ollama,
    ),
    "tgi": Case(
        lambda: tgi("--max-concurrent-requests", "200", rate=20),
        "[model one]\nrunner = remote\nurl = {url}\n",
        "one",
        of_tgi,
        streams=200,
        stop=(),
    ),
}


def question(number: int, stop: Sequence[str]) -> dict[str, Any]:
    """Return what to ask: chats and bare texts take turns, and some have a stop text."""
    text = f"[Question {number}] why?"
    asked = {"prompt": text} if number % 2 else {"messages": [{"role": "user", "content": text}]}
    parameters = KINDS[number % len(KINDS)]
    if stop and number % len(KINDS) == 1:
        parameters = {**parameters, "stop": list(stop)}
    return {**asked, "parameters": parameters}


def by_question(exchanges: list[Exchange]) -> dict[int, Exchange]:
    """Return the answers by the number of their question, each of which was asked once."""
    found: dict[int, Exchange] = {}
    for exchange in exchanges:
        if exchange.request.path in ROUTES:
            _, _, rest = exchange.request.body.partition(b"[Question ")
            number = int(rest.partition(b"]")[0])
            assert number not in found
            found[number] = exchange
    return found


async def answers(address: str, case: Case, numbers: Sequence[int]) -> dict[int, tuple[str, Event]]:
    """Ask these questions at once over one socket; return each text with its end."""
    async with dialogue(address) as socket:
        hello = await socket.say(type="hello")
        if all(known["id"] != case.model for known in hello["models"]):
            await socket.until(lambda e: e["type"] == "models" and f"'{case.model}'" in str(e))
        asked = {
            number: (await socket.ask(case.model, **question(number, case.stop)))[0]
            for number in numbers
        }
        ends = {number: await socket.end(generation) for number, generation in asked.items()}
        return {number: (socket.text(asked[number]), end) for number, end in ends.items()}


@pytest.mark.parametrize("name", available(*CASES))
async def test_streams_at_once_are_the_server_s_own(
    name: str, tmp_path: Path, keep_log: KeepLog
) -> None:
    case = CASES[name]
    server = case.start()
    keep_log(name, server.log)
    async with server, recording_proxy(server.url) as proxy:
        settings = SETTINGS + case.section.format(url=proxy.url)
        async with gateway(settings, tmp_path / "gateway") as running:
            keep_log("the gateway", tmp_path / "gateway/server.log")
            parts = await asyncio.gather(
                *(
                    answers(running.address, case, range(first, case.streams, SESSIONS))
                    for first in range(SESSIONS)
                )
            )
        heard = {number: answer for part in parts for number, answer in part.items()}
        sent = by_question(proxy.exchanges())
        assert sent.keys() == heard.keys() == set(range(case.streams))
        for number, (text, end) in heard.items():
            assert end["finish_reason"] in ("stop", "length"), end
            assert sent[number].response.is_whole
            assert text == case.text_of(sent[number].response.body)
        assert len({text for text, _ in heard.values()}) > case.streams // 4
