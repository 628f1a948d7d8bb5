"""Wait for what a container says or does."""

import asyncio

import aiohttp

from server.core.protocol import Progress
from server.models.runners.base import Observation, Replica, Runner
from tests.docker.engine import INSTANCE

CEILING_SECONDS = 60
A, B = Replica(INSTANCE, "a"), Replica(INSTANCE, "b")
NAME_A, NAME_B = f"sidestream-{INSTANCE}-a", f"sidestream-{INSTANCE}-b"


def silent(progress: Progress) -> None:
    """Hear nothing of the progress."""


async def says(runner: Runner, replica: Replica, text: str) -> list[str]:
    """Follow the log up to the line that holds `text`, and return it so far."""
    seen: list[str] = []
    async with asyncio.timeout(CEILING_SECONDS):
        async for line in runner.logs(replica, tail=1000, follow=True):
            seen.append(line.text)
            if text in line.text:
                return seen
    raise AssertionError(f"no {text!r} in {seen}")


async def ends(runner: Runner, replica: Replica) -> Observation:
    """Return how the server ended, once it has."""
    async with asyncio.timeout(CEILING_SECONDS):
        return await runner.wait(replica)


async def answers(url: str, path: str = "/health") -> int:
    """Return the status with which the server answers.

    TGI says "Connected" just before it is, and an engine's proxy takes connections for nobody.
    """
    async with asyncio.timeout(CEILING_SECONDS), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(url + path) as response:
                    return response.status
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
