"""The deployments of one model's replicas, by number: made, told from those that leave, retired."""

import asyncio
from collections.abc import Callable, Collection, Iterator

from server.models.lifecycle.deployment import Deployment


class Roster:
    """Hold the replicas of one model, also those that are leaving."""

    def __init__(self, make: Callable[[int], Deployment], on_left: Callable[[], None]) -> None:
        """`make` makes the replica of a number; `on_left` is called when one has left."""
        self._make = make
        self._on_left = on_left
        self._all: dict[int, Deployment] = {}
        self._leaving: dict[int, asyncio.Task[None]] = {}
        self._past_crashes = self._past_restarts = 0

    def __iter__(self) -> Iterator[Deployment]:
        return iter(sorted(self._all.values(), key=lambda one: one.number))

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, number: int) -> Deployment:
        return self._all[number]

    def get(self, number: int) -> Deployment | None:
        """Return the replica of that number, None if there is none."""
        return self._all.get(number)

    @property
    def first(self) -> Deployment:
        """Return the replica of the lowest number."""
        return next(iter(self))

    def staying(self) -> list[Deployment]:
        """Return the replicas that are not leaving."""
        return [one for one in self if one.number not in self._leaving]

    @property
    def crashes_seen(self) -> int:
        """Return how many ends of servers nobody asked for, those that left included."""
        return self._past_crashes + sum(one.restarts.crashes_seen for one in self)

    @property
    def restarts_made(self) -> int:
        """Return how many times servers were restarted after a crash; never falls."""
        return self._past_restarts + sum(one.restarts.restarts_made for one in self)

    @property
    def retirements(self) -> list[asyncio.Task[None]]:
        """Return the tasks of the replicas that are leaving."""
        return [*self._leaving.values()]

    def found(self, number: int) -> Deployment:
        """Return the replica of that number, made if there is none."""
        if number not in self._all:
            self._all[number] = self._make(number)
        return self._all[number]

    def resize(self, wanted: Collection[int], *, starts: bool) -> None:
        """Make the replicas that are missing, and have those too many leave.

        With `starts` those that were missing, or were leaving, are started.
        """
        for number in sorted(wanted):
            if number in self._leaving:
                self._leaving.pop(number).cancel()
            elif number not in self._all:
                self._all[number] = self._make(number)
            else:
                continue
            if starts:
                self._all[number].request_start()
        for number in [*self._all]:
            if number not in wanted and number not in self._leaving:
                name = f"retiring {self._all[number].spec.id}"
                self._leaving[number] = asyncio.create_task(self._retire(number), name=name)

    async def _retire(self, number: int) -> None:
        leaving = self._all[number]
        await leaving.remove()
        # From here on, a replica of that number is a new one.
        del self._all[number], self._leaving[number]
        self._past_crashes += leaving.restarts.crashes_seen
        self._past_restarts += leaving.restarts.restarts_made
        await leaving.end()
        self._on_left()
