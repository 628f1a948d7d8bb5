"""The gateway as a process, killed in the middle of a run: it goes on where it was."""

import json
from pathlib import Path
from typing import Any

import aiohttp

from tests.conftest import StartFake
from tests.support.gateway import Gateway, gateway

PROMPTS, TARGETS = 12, 2


async def request(running: Gateway, method: str, path: str, body: Any = None) -> Any:
    """Make a request that works, and return its answer."""
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"http://{running.address}{path}", json=body) as response,
    ):
        assert response.status < 300, await response.text()
        return await response.json()


async def until(running: Gateway, run: str, answers: int) -> dict[str, Any]:
    """Follow a run until it has so many answers; return it."""
    address = f"http://{running.address}/runs/{run}/events"
    async with aiohttp.ClientSession() as http, http.get(address) as followed:
        async for line in followed.content:
            if not line.startswith(b"data: "):
                continue
            state: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
            if state["answered"] >= answers:
                return state
    raise AssertionError("the run ended before")


async def test_a_killed_gateway_goes_on_with_its_run_and_asks_nothing_twice(
    tmp_path: Path, fake_tgi: StartFake
) -> None:
    fake = await fake_tgi(answer_tokens=3, delay_ms=2)
    settings = f"[model m]\nrunner = remote\nurl = {fake.url}\nmax_concurrent = 1\n"
    async with gateway(settings, tmp_path, instance="runs") as running:
        given = {"prompts": [f"Prompt {number}?" for number in range(PROMPTS)]}
        kept = await request(running, "POST", "/prompt-sets", given)
        targets = [{"model": "m"}, {"model": "m", "parameters": {"temperature": 0.5}}]
        wanted = {"prompt_set": kept["id"], "targets": targets}
        run = (await request(running, "POST", "/runs", wanted))["id"]
        await until(running, run, 5)
        await running.kill()
    asked_before = len(fake.state.requests)
    assert 5 <= asked_before < PROMPTS * TARGETS
    async with gateway(settings, tmp_path, instance="runs") as running:
        first = await request(running, "GET", f"/runs/{run}")
        ended = await until(running, run, PROMPTS * TARGETS)
        assert ended["total"] == PROMPTS * TARGETS
        results = await request(running, "GET", f"/runs/{run}/results")
    assert [one["figures"]["answered"] for one in results["targets"]] == [PROMPTS] * TARGETS
    # One was being written when it was killed, and one may have waited to be stored.
    assert first["answered"] >= 4
    assert len(fake.state.requests) - PROMPTS * TARGETS <= 2
