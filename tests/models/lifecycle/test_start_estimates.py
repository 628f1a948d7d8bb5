"""Estimates for phases without progress, from the times of the last start."""

from server.core.protocol import Progress
from server.models.lifecycle.start_estimates import StartEstimates

LOADING = Progress("loading", None, "loading")


def known_estimates() -> StartEstimates:
    """Return the estimates for a model that took 2 s to start and 10 s to load."""
    estimates = StartEstimates()
    estimates.begin()
    estimates.estimate(Progress("starting"), 100.0)
    estimates.estimate(LOADING, 102.0)
    estimates.finish(112.0)
    estimates.begin()
    return estimates


def test_a_first_start_has_no_base_for_an_estimate() -> None:
    estimates = StartEstimates()
    estimates.begin()
    shown = estimates.estimate(LOADING, 5.0)
    assert (shown.fraction, shown.eta_seconds) == (None, None)


def test_the_last_start_is_the_base_for_the_next() -> None:
    estimates = known_estimates()
    estimates.estimate(LOADING, 200.0)
    shown = estimates.estimate(LOADING, 204.0)
    assert (shown.fraction, shown.eta_seconds) == (0.4, 6.0)


def test_a_guess_that_ran_out_waits_below_the_end() -> None:
    estimates = known_estimates()
    estimates.estimate(LOADING, 200.0)
    shown = estimates.estimate(LOADING, 260.0)
    assert shown.fraction == 0.95
    assert shown.eta_seconds is None


def test_reported_progress_goes_before_estimates_and_never_falls() -> None:
    estimates = known_estimates()
    estimates.estimate(LOADING, 200.0)
    assert estimates.estimate(LOADING, 205.0).fraction == 0.5
    real = Progress("loading", 0.25, "1 of 4 loaded")
    assert estimates.estimate(real, 206.0).fraction == 0.5
    real = Progress("loading", 0.75, "3 of 4 loaded")
    assert estimates.estimate(real, 207.0).fraction == 0.75


def test_an_attempt_that_failed_teaches_nothing() -> None:
    estimates = known_estimates()
    estimates.estimate(LOADING, 300.0)
    estimates.begin()
    estimates.estimate(LOADING, 400.0)
    assert estimates.estimate(LOADING, 405.0).fraction == 0.5


def test_how_long_others_took_to_make_room_is_no_base_for_an_estimate() -> None:
    estimates = StartEstimates()
    estimates.begin()
    waiting = Progress("waiting", None, "waiting for room")
    estimates.estimate(waiting, 10.0)
    estimates.estimate(LOADING, 50.0)
    estimates.finish(60.0)
    estimates.begin()
    assert estimates.estimate(waiting, 105.0) == waiting
