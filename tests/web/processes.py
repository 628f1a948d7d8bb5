"""A gateway process with fakes as its children, for the tests of its start and of its end."""

import asyncio

from tests.support.gateway import Gateway
from tests.support.ports import free_ports

CEILING_SECONDS = 30
PROGRAM = "tests.support.fake_engines"


def settings(weights: str = "fake", *, engines: str = "", model: str = "") -> str:
    """Return settings with one model `m` whose server is that fake."""
    first, last = free_ports(3)
    return (
        f"[engines]\nports = {first}-{last}\ndrain_timeout = 0\n{engines}\n"
        f"[model m]\nweights = {weights}\n{model}\n"
    )


async def until_exit(running: Gateway) -> int:
    """Return the code with which the gateway ends."""
    async with asyncio.timeout(CEILING_SECONDS):
        return await running.process.wait()
