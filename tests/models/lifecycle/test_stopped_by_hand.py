"""A server that somebody stops through its engine stays stopped until it is requested again."""

import asyncio

import pytest

from server.core.errors import ModelFailed
from tests.support.fake_fleet import fake_fleet

ASKED = {"a": {"runner": "docker", "model_id": "x"}}


@pytest.mark.parametrize("code", [0, 143, 137])
async def test_a_server_that_somebody_stopped_stays_stopped_until_it_is_asked_for(
    code: int,
) -> None:
    """Regression: it was there again within a second, whatever `docker stop` was meant for."""
    async with fake_fleet(models=ASKED, restarts=5) as s:
        await s.use()
        s.runner.stop_by_hand("a", code)
        error = (await s.state("stopped")).error
        assert error is not None
        assert error.message == "the model server was stopped by somebody else"
        assert not s.runner.servers
        assert s.runner.starts == 1
        assert "failed" not in s.states()
        await s.use()
        assert s.runner.starts == 2
        assert s.fleet.snapshot("a").error is None


async def test_a_server_that_ends_without_being_told_to_is_started_again() -> None:
    async with fake_fleet(models=ASKED, restarts=5) as s:
        await s.use()
        s.runner.crash("a", 143)
        await s.state("failed")
        await s.state("ready")
        assert s.runner.starts == 2


async def test_waiting_requests_fail_when_their_server_is_stopped() -> None:
    async with fake_fleet(models=ASKED, restarts=5) as s:
        s.runner.loading.close()
        user = asyncio.create_task(s.use())
        await s.runner.loading.reached()
        s.runner.stop_by_hand("a", 0)
        with pytest.raises(ModelFailed, match="stopped by somebody else"):
            await user
        assert (await s.state("stopped")).error is not None
