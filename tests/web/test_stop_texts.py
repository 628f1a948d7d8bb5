"""Wherever a stop text ends, the answer ends there, and so does the work at the model server."""

from typing import Any

import pytest

from tests.web.conftest import StartWithFake
from tests.web.speaking import speaking

# The fake writes "st", "op" with more behind it, and then waits for somebody to take the rest.
TEXT = "stopper and much more"
STOP = "op"


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/v1/completions", {"prompt": "x", "stop": STOP}, "st"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}, "st"),
        ("/generate", {"inputs": "x", "parameters": {"stop": [STOP]}}, "stop"),
    ],
)
async def test_over_http(
    before_fake: StartWithFake, path: str, body: dict[str, Any], text: str, is_streamed: bool
) -> None:
    gateway, fake = await before_fake(text=TEXT, hold_after=2)
    if path.startswith("/v1"):
        body = {**body, "stop": STOP, "stream": is_streamed}
    elif is_streamed:
        path += "_stream"
    reply = await gateway.post(path, {**body, "model": "m"})
    await fake.state.reaches(cancelled=1)
    assert reply.status == 200
    if path.startswith("/generate"):
        last = reply.events[-1] if is_streamed else reply.json
        assert last["generated_text"] == text
        assert last["details"]["finish_reason"] == "stop_sequence"
        return
    chunks = reply.events[:-1] if is_streamed else [reply.json]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    words = [c.get("delta", c.get("message", c)) for c in choices]
    assert "".join(w.get("content", w.get("text", "")) for w in words) == text
    assert choices[-1]["finish_reason"] == "stop"


async def test_over_a_socket(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(text=TEXT, hold_after=2)
    async with speaking(gateway) as client:
        (generation,) = (
            await client.say(
                type="generate",
                targets=[{"model": "m"}],
                prompt="x",
                parameters={"stop": [STOP, "never"]},
            )
        )["generations"]
        end = await client.end(generation)
        assert end["finish_reason"] == "stop"
        texts = [event["text"] for event in client.events if event["type"] == "delta"]
        assert "".join(texts) == "stop"
        await fake.state.reaches(cancelled=1)


async def test_a_stop_text_of_the_settings_is_left_out_of_openais_form_too(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(text=TEXT, model={"parameters": {"stop": [" much"]}})
    reply = await gateway.post("/v1/completions", {"model": "m", "prompt": "x"})
    assert reply.json["choices"][0]["text"] == "stopper and"
