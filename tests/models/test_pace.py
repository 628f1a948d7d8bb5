"""Estimates for phases that say nothing, from the last start's times."""

from server.core.protocol import Progress
from server.models.pace import Pace

LOADING = Progress("loading", None, "loading")


def known_pace() -> Pace:
    """Return the pace of a model that took 2 s to start and 10 s to load."""
    pace = Pace()
    pace.begin(0.0)
    pace.estimate(Progress("starting"), 100.0)
    pace.estimate(LOADING, 102.0)
    pace.finish(112.0)
    pace.begin(0.0)
    return pace


def test_a_first_start_has_no_base_for_an_estimate() -> None:
    pace = Pace()
    pace.begin(0.0)
    shown = pace.estimate(LOADING, 5.0)
    assert (shown.fraction, shown.eta_seconds) == (None, None)


def test_the_last_start_is_the_base_for_the_next() -> None:
    pace = known_pace()
    pace.estimate(LOADING, 200.0)
    shown = pace.estimate(LOADING, 204.0)
    assert (shown.fraction, shown.eta_seconds) == (0.4, 6.0)


def test_a_guess_that_ran_out_waits_below_the_end() -> None:
    pace = known_pace()
    pace.estimate(LOADING, 200.0)
    shown = pace.estimate(LOADING, 260.0)
    assert shown.fraction == 0.95
    assert shown.eta_seconds is None


def test_what_is_known_is_not_replaced_and_nothing_goes_back() -> None:
    pace = known_pace()
    pace.estimate(LOADING, 200.0)
    assert pace.estimate(LOADING, 205.0).fraction == 0.5
    real = Progress("loading", 0.25, "1 of 4 loaded")
    assert pace.estimate(real, 206.0).fraction == 0.5
    real = Progress("loading", 0.75, "3 of 4 loaded")
    assert pace.estimate(real, 207.0).fraction == 0.75


def test_an_attempt_that_failed_teaches_nothing() -> None:
    pace = known_pace()
    pace.estimate(LOADING, 300.0)
    pace.begin(0.0)
    pace.estimate(LOADING, 400.0)
    assert pace.estimate(LOADING, 405.0).fraction == 0.5


def test_how_long_others_took_to_make_room_is_no_base_for_an_estimate() -> None:
    pace = Pace()
    pace.begin(0.0)
    waiting = Progress("waiting", None, "waiting for room")
    pace.estimate(waiting, 10.0)
    pace.estimate(LOADING, 50.0)
    pace.finish(60.0)
    pace.begin(100.0)
    assert pace.estimate(waiting, 105.0) == waiting
