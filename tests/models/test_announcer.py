"""Changes are announced at once, numbers as often as the number of subscribers allows."""

import asyncio

import pytest

from server.core.protocol import Model
from server.models.announcer import Announcer


class CountedModels:
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
    models = CountedModels()
    models.announcer.subscribe(models.listen)
    for _ in range(5):
        models.run("a")
    models.run("b")
    assert models.told == ["a1"]
    await models.next()
    assert models.told == ["a1", "a5", "b1"]


async def test_a_change_after_a_quiet_time_is_told_at_once() -> None:
    models = CountedModels()
    models.announcer.subscribe(models.listen)
    models.run("a")
    models.run("a")
    await models.next()
    await models.until_quiet()
    models.run("a")
    assert models.told == ["a1", "a2", "a3"]


async def test_a_state_does_not_wait_and_brings_the_numbers_with_it() -> None:
    models = CountedModels()
    models.announcer.subscribe(models.listen)
    models.run("a")
    models.run("a")
    models.announcer.tell("a")
    assert models.told == ["a1", "a2"]
    models.run("b")
    await models.next()
    assert models.told == ["a1", "a2", "b1"], "nothing is told twice"


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
        models = CountedModels()
        for _ in range(listeners):
            models.announcer.subscribe(models.listen)
        models.run("a")
        assert len(models.told) == listeners
        models.announcer.close()
    assert pauses[1] == pytest.approx(200 * pauses[0])


async def test_a_removed_listener_is_told_nothing() -> None:
    models = CountedModels()
    unsubscribe = models.announcer.subscribe(models.listen)
    models.announcer.subscribe(models.listen)
    unsubscribe()
    unsubscribe()
    models.run("a")
    assert models.told == ["a1"]
    models.announcer.close()
    models.run("b")
    assert models.told == ["a1"]
