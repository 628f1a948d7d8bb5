"""Who wants a model server gets an answer, whatever the others ask for in between.

Each test sets the order of events itself, so that the race it names is certain.
"""

import asyncio

import pytest

from server.models.demand import Demand

CEILING_SECONDS = 5


@pytest.fixture
def demand() -> Demand:
    """Return the demand for a server that nobody wants yet."""
    return Demand(is_wanted=False)


async def outcome(demand: Demand, ticket: int) -> bool:
    """Return what `until_settled` does; a ticket that is forgotten fails the test."""
    async with asyncio.timeout(CEILING_SECONDS):
        return await demand.until_settled(ticket)


async def test_all_who_want_it_before_it_is_settled_wait_for_one_attempt(demand: Demand) -> None:
    tickets = [demand.want(), demand.want()]
    demand.begin()
    tickets.append(demand.want())
    assert tickets == [1, 1, 1]
    waits = [asyncio.create_task(outcome(demand, ticket)) for ticket in tickets]
    await asyncio.sleep(0)
    demand.settle()
    assert await asyncio.gather(*waits) == [True, True, True]


async def test_who_comes_when_it_is_settled_need_not_wait(demand: Demand) -> None:
    demand.want()
    demand.begin()
    demand.settle()
    assert await outcome(demand, demand.want())


async def test_who_comes_after_a_failure_waits_for_the_next_attempt(demand: Demand) -> None:
    demand.want()
    demand.begin()
    demand.withdraw()
    ticket = demand.want()
    assert ticket == 2
    demand.finish()
    wait = asyncio.create_task(outcome(demand, ticket))
    await asyncio.sleep(0)
    assert not wait.done()
    assert demand.is_wanted
    demand.begin()
    demand.settle()
    assert await wait


async def test_a_stop_before_the_attempt_begins_lets_go_of_those_who_wait(demand: Demand) -> None:
    """Regression: they waited until somebody else started the model."""
    wait = asyncio.create_task(outcome(demand, demand.want()))
    await asyncio.sleep(0)
    demand.unwant()
    assert await wait is False
    assert not demand.is_wanted


async def test_a_second_stop_lets_go_of_those_who_came_after_the_first(demand: Demand) -> None:
    """Regression: the same, with a server that is still being stopped."""
    demand.want()
    demand.begin()
    demand.settle()
    demand.unwant()
    wait = asyncio.create_task(outcome(demand, demand.want()))
    await asyncio.sleep(0)
    demand.unwant()
    assert await wait is False
    demand.finish()
    assert not demand.is_wanted


async def test_a_stop_and_a_start_in_one_breath_are_a_start(demand: Demand) -> None:
    wait = asyncio.create_task(outcome(demand, demand.want()))
    await asyncio.sleep(0)
    demand.unwant()
    demand.want()
    demand.begin()
    demand.settle()
    assert await wait


async def test_a_server_that_dies_while_it_is_stopped_takes_no_later_wish_along(
    demand: Demand,
) -> None:
    """Regression: its failure withdrew the wish of who had asked for the next one."""
    demand.want()
    demand.begin()
    demand.settle()
    demand.unwant()
    ticket = demand.want()
    demand.withdraw()
    demand.finish()
    assert demand.is_wanted
    demand.begin()
    demand.settle()
    assert await outcome(demand, ticket)


async def test_a_stop_is_over_when_nothing_is_left(demand: Demand) -> None:
    demand.want()
    demand.begin()
    demand.unwant()
    gone = asyncio.create_task(demand.until_gone())
    await asyncio.sleep(0)
    assert not gone.done()
    demand.finish()
    async with asyncio.timeout(CEILING_SECONDS):
        await gone


async def test_what_does_not_run_is_gone(demand: Demand) -> None:
    async with asyncio.timeout(CEILING_SECONDS):
        await demand.until_gone()


async def test_a_pause_ends_by_itself_or_with_the_first_wish(demand: Demand) -> None:
    assert await demand.is_left_alone_for(0)
    for wish in (demand.want, demand.unwant):
        pause = asyncio.create_task(demand.is_left_alone_for(CEILING_SECONDS * 100))
        await asyncio.sleep(0)
        wish()
        async with asyncio.timeout(CEILING_SECONDS):
            assert not await pause
        demand.unwant()
