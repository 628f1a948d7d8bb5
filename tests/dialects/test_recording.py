"""A server is recorded by a command, and what it wrote is what the tests replay."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from server.dialects.base import Endpoint
from server.dialects.detection import ROUTES, Seen, recognise
from server.dialects.http.client import Reply, Timeouts
from server.dialects.openai.flavour import MODELS
from server.dialects.openai.flavours import FLAVOURS
from server.dialects.openai.upstream import OpenAIUpstream
from tests.fakes.openai import recorded, serve
from tests.fakes.openai_options import like
from tests.support.answers import answered, ask

ROOT = Path(__file__).parents[2]


async def recorded_lines(*arguments: str) -> list[dict[str, Any]]:
    """Run the command as the documentation has it."""
    command = ("-m", "tests.support.record", *arguments, "--server", "lmdeploy", "--version", "1")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    written, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in written.splitlines()]


async def test_looks_at_a_server_cost_it_nothing_and_show_who_it_is() -> None:
    async with serve(like("lmdeploy")) as fake:
        lines = await recorded_lines("looks", fake.url)
        assert set(fake.state.routes) == {"GET /v1/models", *(f"GET {route}" for route in ROUTES)}
    replies = {
        MODELS if line["path"] == "/v1/models" else line["path"]: Reply(
            line["status"], line["headers"], line["body"].encode()
        )
        for line in lines
    }
    assert recognise(Seen("http://127.0.0.1", replies)) == "lmdeploy"


async def test_an_exchange_is_replayed_as_it_was() -> None:
    question = {"model": "fake-model", "stream": True, "messages": []}
    async with serve(like("lmdeploy", text="Hello — 東京.")) as fake:
        (line,) = await recorded_lines(
            "exchange",
            fake.url + "/v1/chat/completions",
            *("--case", "chat stream", "--body", json.dumps(question)),
        )
    assert (line["server"], line["case"], line["request"]["body"]) == (
        "lmdeploy",
        "chat stream",
        question,
    )
    async with serve(recorded(line)) as fake:
        endpoint = Endpoint(fake.url, dialect="openai", model="fake-model")
        upstream = OpenAIUpstream(endpoint, FLAVOURS["lmdeploy"], Timeouts())
        assert (await answered(upstream, ask())).text == "Hello — 東京."
        await upstream.close()
