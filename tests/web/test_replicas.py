"""More servers, fewer servers, other settings: under all of it no answer is lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from server.core.protocol import Model
from server.settings.values import Count
from tests.support.ports import free_ports
from tests.web.conftest import Start
from tests.web.gateway import Gateway, own

ANSWER: dict[str, Any] = {"model": "m", "inputs": "Why?", "parameters": {"max_new_tokens": 8}}
PEOPLE = 9


class Load:
    """People who ask one question after the other until they are told to stop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._goes_on = True
        self.seen: list[tuple[int, Any]] = []
        self._people = [asyncio.create_task(self._ask()) for _ in range(PEOPLE)]

    async def _ask(self) -> None:
        while self._goes_on:
            reply = await self._gateway.post("/generate", ANSWER)
            self.seen.append((reply.status, reply.json))

    async def end(self) -> None:
        """Let the last answers end; all of them are whole."""
        self._goes_on = False
        await asyncio.gather(*self._people)
        texts = {body["generated_text"] for status, body in self.seen if status == 200}
        assert [seen for seen in self.seen if seen[0] != 200] == []
        assert len(texts) == 1
        assert len(self.seen) > PEOPLE


def has_ready(count: int) -> Callable[[Model], bool]:
    """Return a function that tells whether a model has so many replicas, all ready."""

    def is_so(model: Model) -> bool:
        if model.replicas is None:
            return count == 1 and model.state == "ready"
        return [one.state for one in model.replicas] == ["ready"] * count

    return is_so


@pytest.fixture
async def gateway(start_gateway: Start) -> Gateway:
    """Run a model with one to three servers, each of which writes two answers at once."""
    ports = free_ports(8)
    return await start_gateway(
        {"m": own(replicas=Count((1, 3)), max_concurrent=2)},
        *("--delay-ms", "5"),
        engines={
            "ports": (ports[0], ports[-1]),
            "grow_after": 0.05,
            "shrink_after": 1.0,
            "stop_grace": 5.0,
        },
    )


async def test_one_grows_to_three_and_three_to_one_under_load(gateway: Gateway) -> None:
    load = Load(gateway)
    await gateway.until(has_ready(3))
    while len(load.seen) < 4 * PEOPLE:
        await gateway.post("/generate", ANSWER)
    await load.end()
    await gateway.until(has_ready(1))
    assert (await gateway.post("/generate", ANSWER)).status == 200


async def test_a_restart_under_load_loses_no_answer(gateway: Gateway) -> None:
    load = Load(gateway)
    await gateway.until(has_ready(3))
    before = (await gateway.get("/models/m/logs?tail=10000")).text.count("] ready\n")
    restarted = await gateway.post("/models/m/restart?wait=60")
    assert restarted.status == 202
    await gateway.until(has_ready(3))
    await load.end()
    assert (await gateway.get("/models/m/logs?tail=10000")).text.count("] ready\n") >= before + 3
