"""The table of states and events: whole, without dead ends, and checked at every change."""

from typing import get_args

import pytest

from server.core.protocol import ModelState
from server.models.lifecycle.state import EVENTS, TRANSITIONS, Event, next_state
from tests.support.fake_fleet import fake_fleet

STATES = get_args(ModelState)


def test_the_table_has_every_state_and_event() -> None:
    assert set(TRANSITIONS) == set(STATES)
    assert set(EVENTS) == set(get_args(Event))
    assert {state for state, _ in EVENTS.values()} == set(STATES)


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_left_and_leads_to_ready_and_to_stopped(state: ModelState) -> None:
    reached, todo = set[str](), [state]
    while todo:
        follows = set(TRANSITIONS[todo.pop()].values()) - reached
        reached |= follows
        todo += follows
    assert reached == set(STATES)


def test_an_event_leads_to_its_state_or_leaves_a_stop_alone() -> None:
    for state, row in TRANSITIONS.items():
        for event, follows in row.items():
            assert follows == EVENTS[event][0] or state == follows == "stopping"


def test_a_transition_that_the_table_lacks_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert next_state("stopped", "start") == "starting"
    assert not caplog.records
    assert next_state("stopped", "ready") == "ready"
    assert [record.message for record in caplog.records] == [
        "bug: a model server that is stopped cannot get the event ready"
    ]


async def test_a_fleet_in_tests_fails_on_such_a_transition() -> None:
    with pytest.raises(AssertionError, match="bug: a model server that is stopped"):
        async with fake_fleet() as s:
            s.fleet.servers()[0][1]._publish("ready")
