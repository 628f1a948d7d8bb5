"""Strengths that a process of its own estimates: the same, kept, and given up in time."""

import asyncio

import pytest

from server.core.errors import SidestreamError
from server.evaluation.statistics.strengths import Vote, estimate_strengths
from server.evaluation.statistics.strengths_program import samples_for
from server.evaluation.statistics.strengths_worker import StrengthsWorker
from tests.support.processes import children

VOTES = [(f"{n}", "a", "b", 1.0 if n % 3 else 0.0) for n in range(30)]


async def test_the_process_says_what_is_said_here_and_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = StrengthsWorker()
    before = children()
    asked = []
    ask = worker._ask

    async def counted(request: bytes) -> object:
        asked.append(request)
        return await ask(request)

    monkeypatch.setattr(worker, "_ask", counted)
    several = (worker.estimate([VOTES, []]) for _ in range(3))
    for found in await asyncio.gather(*several):
        assert found == [estimate_strengths([Vote(*vote) for vote in VOTES]), []]
    assert len(asked) == 1
    assert await worker.estimate([[], []]) == [[], []]
    assert children() == before


async def test_what_takes_too_long_is_given_up() -> None:
    before = children()
    with pytest.raises(SidestreamError, match="too many"):
        await StrengthsWorker(seconds=0.001).estimate([VOTES * 100])
    assert children() == before


def test_very_many_prompts_are_drawn_less_often() -> None:
    assert [samples_for(count) for count in (0, 1, 2000, 4000, 10**6)] == [
        *(1000, 1000, 1000, 500, 200),
    ]
