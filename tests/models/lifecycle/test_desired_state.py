"""Every request for a model server gets an outcome, whatever is requested in between.

Each test sets the order of events itself, so that the race it names is certain.
"""

import asyncio

import pytest

from server.models.lifecycle.desired_state import DesiredState

CEILING_SECONDS = 5


@pytest.fixture
def desired() -> DesiredState:
    """Return the desired state of a server that nobody has asked for."""
    return DesiredState(is_wanted=False)


async def outcome(desired: DesiredState, ticket: int) -> bool:
    """Return what `wait_for_outcome` does; a ticket that is forgotten fails the test."""
    async with asyncio.timeout(CEILING_SECONDS):
        return await desired.wait_for_outcome(ticket)


async def test_requests_before_the_outcome_wait_for_one_attempt(
    desired: DesiredState,
) -> None:
    tickets = [desired.request_start(), desired.request_start()]
    desired.begin_attempt()
    tickets.append(desired.request_start())
    assert tickets == [1, 1, 1]
    waits = [asyncio.create_task(outcome(desired, ticket)) for ticket in tickets]
    await asyncio.sleep(0)
    desired.settle_attempt()
    assert await asyncio.gather(*waits) == [True, True, True]


async def test_a_request_after_the_outcome_need_not_wait(desired: DesiredState) -> None:
    desired.request_start()
    desired.begin_attempt()
    desired.settle_attempt()
    assert await outcome(desired, desired.request_start())


async def test_a_request_after_a_failure_waits_for_the_next_attempt(desired: DesiredState) -> None:
    desired.request_start()
    desired.begin_attempt()
    desired.close_attempt()
    ticket = desired.request_start()
    assert ticket == 2
    desired.end_attempt()
    wait = asyncio.create_task(outcome(desired, ticket))
    await asyncio.sleep(0)
    assert not wait.done()
    assert desired.is_wanted
    desired.begin_attempt()
    desired.settle_attempt()
    assert await wait


async def test_a_stop_before_the_attempt_begins_releases_the_waiters(
    desired: DesiredState,
) -> None:
    """Regression: they waited until somebody else started the model."""
    wait = asyncio.create_task(outcome(desired, desired.request_start()))
    await asyncio.sleep(0)
    desired.request_stop()
    assert await wait is False
    assert not desired.is_wanted


async def test_a_second_stop_releases_who_came_after_the_first(
    desired: DesiredState,
) -> None:
    """Regression: the same, with a server that is still being stopped."""
    desired.request_start()
    desired.begin_attempt()
    desired.settle_attempt()
    desired.request_stop()
    wait = asyncio.create_task(outcome(desired, desired.request_start()))
    await asyncio.sleep(0)
    desired.request_stop()
    assert await wait is False
    desired.end_attempt()
    assert not desired.is_wanted


async def test_a_stop_followed_at_once_by_a_start_is_a_start(desired: DesiredState) -> None:
    wait = asyncio.create_task(outcome(desired, desired.request_start()))
    await asyncio.sleep(0)
    desired.request_stop()
    desired.request_start()
    desired.begin_attempt()
    desired.settle_attempt()
    assert await wait


async def test_a_server_that_dies_while_it_is_stopped_leaves_later_requests(
    desired: DesiredState,
) -> None:
    """Regression: its failure withdrew the request for the next one."""
    desired.request_start()
    desired.begin_attempt()
    desired.settle_attempt()
    desired.request_stop()
    ticket = desired.request_start()
    desired.close_attempt()
    desired.end_attempt()
    assert desired.is_wanted
    desired.begin_attempt()
    desired.settle_attempt()
    assert await outcome(desired, ticket)


async def test_a_stop_is_over_when_nothing_is_left(desired: DesiredState) -> None:
    desired.request_start()
    desired.begin_attempt()
    desired.request_stop()
    gone = asyncio.create_task(desired.wait_until_ended())
    await asyncio.sleep(0)
    assert not gone.done()
    desired.end_attempt()
    async with asyncio.timeout(CEILING_SECONDS):
        await gone


async def test_a_stopped_server_counts_as_ended(desired: DesiredState) -> None:
    async with asyncio.timeout(CEILING_SECONDS):
        await desired.wait_until_ended()


async def test_a_pause_ends_by_itself_or_with_the_first_request(desired: DesiredState) -> None:
    assert await desired.is_unchanged_for(0)
    for request in (desired.request_start, desired.request_stop):
        pause = asyncio.create_task(desired.is_unchanged_for(CEILING_SECONDS * 100))
        await asyncio.sleep(0)
        request()
        async with asyncio.timeout(CEILING_SECONDS):
            assert not await pause
        desired.request_stop()
