"""A client that reads slowly loses nothing and holds up nobody; one that does not read is gone."""

import json
from typing import Any

import aiohttp
import pytest

from server.web.http import event_stream
from tests.fakes.tgi_answers import answer
from tests.web.conftest import StartWithFake

PROMPT = "Once upon a time"


def ask(tokens: int) -> dict[str, Any]:
    parameters = {"max_new_tokens": tokens, "top_n_tokens": 5}
    return {"model": "m", "inputs": PROMPT, "parameters": parameters}


async def test_text_written_during_a_pause_of_the_reader_comes_later(
    before_fake: StartWithFake,
) -> None:
    gateway, fake = await before_fake(max_total_tokens=5_000)
    async with gateway.open("/generate_stream", ask(3_000)) as response:
        # The model server is read to its end, and its slot is free, long before the client reads.
        await fake.state.reaches(served=1)
        events = (await response.read()).decode().split("\n\n")[:-1]
    assert len(events) == 3_000
    whole = answer(fake.options, PROMPT, {"max_new_tokens": 3_000})
    assert json.loads(events[-1].removeprefix("data: "))["generated_text"] == whole.generated_text


async def test_a_client_that_stopped_reading_is_let_go(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_TIMEOUT_SECONDS", 0.1)
    # With five alternatives for each token, more than the kernel lets its buffers grow to.
    gateway, fake = await before_fake(max_total_tokens=60_000)
    async with gateway.open("/generate_stream", ask(40_000)) as response:
        await fake.state.reaches(started=1)
        await gateway.until(lambda model: model.running == 0, ceiling_seconds=60)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
