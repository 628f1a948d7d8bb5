"""When a crashed server is started again by itself, and when it is given up."""

from server.core.protocol import ModelError
from server.models.lifecycle.restarts import Restarts


def test_at_once_then_ever_later_then_no_more() -> None:
    restarts = Restarts(limit=3)
    pauses = [restarts.after_crash(was_up_seconds=1) for _ in range(4)]
    assert pauses == [0, 10, 20, None]


def test_a_server_that_was_up_for_long_begins_anew() -> None:
    restarts = Restarts(limit=2)
    restarts.after_crash(was_up_seconds=1)
    restarts.after_crash(was_up_seconds=1)
    assert restarts.after_crash(was_up_seconds=3600) == 0
    assert restarts.after_crash(was_up_seconds=1) == 10


def test_a_stop_in_order_begins_anew() -> None:
    restarts = Restarts(limit=1)
    restarts.after_crash(was_up_seconds=1)
    restarts.forget()
    assert restarts.after_crash(was_up_seconds=1) == 0


def test_no_restarts_are_allowed_at_all() -> None:
    assert Restarts(limit=0).after_crash(was_up_seconds=1) is None


def test_giving_up_names_the_number_of_restarts() -> None:
    error = Restarts(limit=2).given_up(ModelError("model_failed", "it broke", "mend it"))
    assert error == ModelError("model_failed", "it broke (given up after 2 restarts)", "mend it")
