"""Replicas under everything at once: whatever happens in whatever order, it settles and adds up."""

import asyncio
import random
from typing import Any

import pytest

from server.core.errors import SidestreamError
from server.core.placement import Capacity
from server.core.protocol import Model
from tests.support.fake_fleet import FakeFleet, FakeRunner, fake_fleet
from tests.support.specs import catalog

OTHER = {"b": {"weights": "x"}}
LIMITS: dict[str, Any] = {"grow": 0.02, "shrink": 0.05, "restarts": 2, "drain": 0.3}


def several(chance: random.Random) -> dict[str, dict[str, Any]]:
    """Return settings of `a`: any number of replicas, with one of two contexts."""
    least = chance.randint(1, 3)
    most = chance.randint(least, 4)
    context = chance.choice([512, 1024])
    own = {"weights": "x", "max_concurrent": 2, "context_tokens": context}
    return {"a": {**own, "replicas": (least, most)}}


class Random:
    """Somebody who does anything, and people who ask meanwhile."""

    def __init__(self, s: FakeFleet, chance: random.Random) -> None:
        self.s = s
        self.chance = chance
        self.people: list[asyncio.Task[None]] = []

    async def ask(self) -> None:
        """Wait for a turn, and write an answer."""
        try:
            async with self.s.fleet.lease(self.chance.choice("aaab")) as lease:
                with lease.waits():
                    await asyncio.sleep(self.chance.random() * 0.05)
                async with lease.replicas.choose(lease) as chosen:
                    await asyncio.sleep(self.chance.random() * 0.1)
                    if self.chance.random() < 0.2:
                        lease.replicas.doubt(chosen)
        except SidestreamError:
            return

    async def act(self) -> None:
        """Do one thing at random."""
        fleet, chance = self.s.fleet, self.chance
        what = chance.choice(["start", "stop", "restart", "change", "crash", "ask", "ask", "leave"])
        running = [one for one in self.s.runner.servers.values() if one.exit_code is None]
        if what in ("start", "stop", "restart"):
            getattr(fleet, what)(chance.choice("aaab"))
        elif what == "change":
            fleet.change(catalog(**OTHER, **several(chance)))
        elif what == "crash" and running:
            server = chance.choice(running)
            server.exit_code = 3
            server.changed.notify_all()
        elif what == "ask":
            count = chance.randint(1, 6)
            self.people += [asyncio.create_task(self.ask()) for _ in range(count)]
        elif what == "leave" and self.people:
            chance.choice(self.people).cancel()
        await asyncio.sleep(chance.choice([0, 0, 0.001, 0.01, 0.03]))


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_it_settles_and_adds_up(seed: int) -> None:
    chance = random.Random(seed)
    runner = FakeRunner()
    room = Capacity(max_running=chance.choice([0, 2, 3]))
    async with fake_fleet(
        runner, models=several(chance) | OTHER, capacity=room, stop_grace=0.1, **LIMITS
    ) as s:
        somebody = Random(s, chance)
        for _ in range(chance.randint(20, 50)):
            await somebody.act()
        await asyncio.wait_for(asyncio.gather(*somebody.people, return_exceptions=True), 20)
        broken = [
            task.exception()
            for task in somebody.people
            if not task.cancelled() and task.exception() is not None
        ]
        assert broken == []
        assert [+crew.choice.answers for crew in s.fleet.servers()] == [{}, {}]
        # A stop holds whatever was under way, and nothing is left of it.
        for model_id in "ab":
            s.fleet.stop(model_id)
            await s.sees(is_down, model_id)
        assert not runner.servers
        s.fleet.change(catalog(**OTHER, a={"weights": "x", "replicas": (2, 2)}))
        s.fleet.start("a")
        await s.sees(
            lambda model: [one.state for one in model.replicas or ()] == ["ready", "ready"]
        )
        assert sorted(key.number for key in runner.servers) == [1, 2]


def is_down(model: Model) -> bool:
    """Tell whether nothing of a model runs, nor is about to."""
    states = {model.state, *(one.state for one in model.replicas or ())}
    return states <= {"stopped", "failed"}
