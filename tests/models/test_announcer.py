"""A change is told to everybody, its numbers as often as can be afforded."""

import asyncio

import pytest

from server.core.protocol import Model
from server.models.announcer import Announcer


class Stage:
    """Models that are only a count of how many answers run."""

    def __init__(self) -> None:
        self.running = dict.fromkeys("ab", 0)
        self.announcer = Announcer(self._snapshot)
        self.told: list[str] = []
        self._changed = asyncio.Event()

    def _snapshot(self, model_id: str) -> Model:
        running = self.running[model_id]
        return Model(model_id, "", "", "", "", "ready", None, None, running, 0, {}, {}, {})

    def listen(self, model: Model) -> None:
        self.told.append(f"{model.id}{model.running}")
        self._changed.set()

    def run(self, model_id: str) -> None:
        self.running[model_id] += 1
        self.announcer.tell_soon(model_id)

    async def next(self) -> None:
        """Return when something more has been told."""
        self._changed.clear()
        async with asyncio.timeout(10):
            await self._changed.wait()

    async def until_quiet(self) -> None:
        """Return when the pause after the last telling is over."""
        assert self.announcer._pause is not None
        over = asyncio.Event()
        asyncio.get_running_loop().call_at(self.announcer._pause.when() + 0.001, over.set)
        await over.wait()


async def test_the_first_change_is_told_at_once_and_those_behind_it_together() -> None:
    stage = Stage()
    stage.announcer.subscribe(stage.listen)
    for _ in range(5):
        stage.run("a")
    stage.run("b")
    assert stage.told == ["a1"]
    await stage.next()
    assert stage.told == ["a1", "a5", "b1"]


async def test_a_change_after_a_quiet_time_is_told_at_once() -> None:
    stage = Stage()
    stage.announcer.subscribe(stage.listen)
    stage.run("a")
    stage.run("a")
    await stage.next()
    await stage.until_quiet()
    stage.run("a")
    assert stage.told == ["a1", "a2", "a3"]


async def test_a_state_does_not_wait_and_brings_the_numbers_with_it() -> None:
    stage = Stage()
    stage.announcer.subscribe(stage.listen)
    stage.run("a")
    stage.run("a")
    stage.announcer.tell("a")
    assert stage.told == ["a1", "a2"]
    stage.run("b")
    await stage.next()
    assert stage.told == ["a1", "a2", "b1"], "nothing is told twice"


async def test_the_more_are_to_be_told_the_longer_the_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    loop = asyncio.get_running_loop()
    original = loop.call_later

    def call_later(delay: float, *rest: object) -> asyncio.TimerHandle:
        pauses.append(delay)
        return original(delay, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_later", call_later)
    for listeners in (1, 200):
        stage = Stage()
        for _ in range(listeners):
            stage.announcer.subscribe(stage.listen)
        stage.run("a")
        assert len(stage.told) == listeners
        stage.announcer.close()
    assert pauses[1] == pytest.approx(200 * pauses[0])


async def test_who_has_left_is_told_nothing() -> None:
    stage = Stage()
    unsubscribe = stage.announcer.subscribe(stage.listen)
    stage.announcer.subscribe(stage.listen)
    unsubscribe()
    unsubscribe()
    stage.run("a")
    assert stage.told == ["a1"]
    stage.announcer.close()
    stage.run("b")
    assert stage.told == ["a1"]
