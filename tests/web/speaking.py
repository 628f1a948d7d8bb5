"""Speak the protocol to a gateway that runs in the test's own loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.dialogue import Dialogue, dialogue
from tests.web.gateway import Gateway


@asynccontextmanager
async def speaking(gateway: Gateway) -> AsyncIterator[Dialogue]:
    """Connect to a gateway."""
    async with dialogue(gateway.url.removeprefix("http://")) as client:
        yield client


async def ready(client: Dialogue, model: str) -> None:
    """Return once a model is ready, whether that was seen or is told now."""
    result = await client.say(type="start", model=model)
    if result["model"]["state"] != "ready":
        await client.model(model, "ready")
