"""When a server without a place is asked again: ever later, never too late, and not in vain."""

from itertools import pairwise

import pytest

from server.core.errors import EngineLimited, EngineOverloaded
from server.core.retries import FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS, Retries

BUSY = EngineOverloaded("busy")


def test_pauses_double_up_to_a_bound() -> None:
    retries = Retries(now=0, timeout_seconds=1000)
    pauses = [retries.after(BUSY, now=0, chance=1.0) for _ in range(10)]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS)
    assert all(after in (before * 2, LAST_PAUSE_SECONDS) for before, after in pairwise(pauses))


def test_chance_takes_up_to_half_of_a_pause_away() -> None:
    retries = Retries(now=0, timeout_seconds=1000)
    assert retries.after(BUSY, now=0, chance=0.0) == FIRST_PAUSE_SECONDS / 2


def test_retries_wait_at_least_as_long_as_the_server_asks() -> None:
    retries = Retries(now=0, timeout_seconds=1000)
    for seconds in (60.0, 0.0):
        limited = EngineLimited("later", retry_after_seconds=seconds)
        assert retries.after(limited, now=0, chance=1.0) == max(seconds, 2 * FIRST_PAUSE_SECONDS)


def test_retries_after_the_deadline_are_refused_at_once() -> None:
    retries = Retries(now=100, timeout_seconds=50)
    limited = EngineLimited("later", retry_after_seconds=20)
    assert retries.after(limited, now=130, chance=1.0) == 20
    assert retries.left(130) == 20
    with pytest.raises(EngineLimited) as refused:
        retries.after(limited, now=131, chance=1.0)
    assert refused.value is limited
    assert "`queue_timeout`" in (limited.hint or "")
    assert retries.left(200) == 0


@pytest.mark.parametrize("hint", [None, "pay"])
def test_final_refusals_are_not_retried(hint: str | None) -> None:
    limited = EngineLimited("a day's share", retry_after_seconds=1, is_final=True, hint=hint)
    with pytest.raises(EngineLimited) as refused:
        Retries(now=0, timeout_seconds=1000).after(limited, now=0, chance=1.0)
    assert refused.value.hint is not None
    assert (refused.value.hint == "pay") is (hint == "pay")
