"""Users, stops and crashes in any order: all get an answer, and no model has a second server.

The order is drawn by hypothesis and played step by step, so that a failure comes with the shortest
order that shows it.
"""

import asyncio
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.core.errors import ModelFailed
from server.models.runners.base import Replica
from tests.support.fake_fleet import CEILING_SECONDS, FakeFleet, FakeRunner, fake_fleet

# What happens, and how many steps the others get before the next thing.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["use", "use", "start", "stop", "crash", "give up", "hold", "let go"]),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=14,
)


class Play:
    """One order of events."""

    def __init__(self, s: FakeFleet) -> None:
        self.fleet = s
        self.users: list[asyncio.Task[Any]] = []
        self.held = 0

    def use(self) -> None:
        self.users.append(asyncio.create_task(self._use()))

    async def _use(self) -> str:
        try:
            async with self.fleet.fleet.lease("a"):
                assert Replica("test", "a") in self.fleet.runner.servers, "leased without a server"
                await asyncio.sleep(0)
        except ModelFailed as failure:
            return failure.message
        return "used"

    def start(self) -> None:
        self.fleet.fleet.start("a")

    def stop(self) -> None:
        self.fleet.fleet.stop("a")

    def crash(self) -> None:
        if Replica("test", "a") in self.fleet.runner.servers:
            self.fleet.runner.crash("a", 1)

    def give_up(self) -> None:
        if self.users:
            self.users[-1].cancel()

    def hold(self) -> None:
        gates = (self.fleet.runner.starting, self.fleet.runner.loading, self.fleet.runner.stopping)
        gates[self.held % 3].close()
        self.held += 1

    def let_go(self) -> None:
        runner = self.fleet.runner
        for gate in (runner.starting, runner.loading, runner.stopping):
            gate.open()


async def play(steps: list[tuple[str, int]], restarts: int) -> None:
    """Play the steps, and see that nobody is left waiting at the end."""
    async with fake_fleet(FakeRunner(), restarts=restarts) as s:
        acting = Play(s)
        for what, turns in steps:
            getattr(acting, what.replace(" ", "_"))()
            for _ in range(turns):
                await asyncio.sleep(0)
        acting.let_go()
        if acting.users:
            _, waiting = await asyncio.wait(acting.users, timeout=CEILING_SECONDS)
            assert not waiting, f"left waiting, the model {s.fleet.snapshot('a').state}"
        # Whatever has happened, it can be used; a start that a crash has hit may end first.
        with suppress(ModelFailed):
            await s.use()
        await s.use()
        model = s.fleet.snapshot("a")
        assert (model.state, model.running, model.waiting) == ("ready", 0, 0)
        await asyncio.gather(*acting.users, return_exceptions=True)
        for user in acting.users:
            if not user.cancelled():
                assert user.exception() is None


@settings(max_examples=40)
@given(STEPS, st.sampled_from([0, 5]))
def test_every_waiting_user_gets_an_answer(steps: list[tuple[str, int]], restarts: int) -> None:
    asyncio.run(play(steps, restarts))
