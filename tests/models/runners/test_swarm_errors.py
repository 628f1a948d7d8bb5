"""A swarm that cannot be asked, told by the words that engines have said (Docker 20.10)."""

import aiodocker
import pytest

from server.models.runners.containers.errors import DockerRefused
from server.models.runners.swarm.errors import SwarmNotReady, asking

WORKER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state."
)


async def told(status: int, message: str) -> None:
    """Have an engine answer with that error."""
    async with asking("list the tasks", within_seconds=5):
        raise aiodocker.DockerError(status, message)


@pytest.mark.parametrize(
    ("status", "message", "words"),
    [
        (503, WORKER, "This node is not a swarm manager"),
        (503, "This node is not part of a swarm", "not part of a swarm"),
        # Two of three managers are gone.
        (
            500,
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
            "context deadline exceeded",
        ),
        (
            500,
            "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that"
            " too few managers are online.",
            "does not have a leader",
        ),
        (503, "Swarm is encrypted and needs to be unlocked before it can be used.", "unlocked"),
    ],
)
async def test_a_swarm_that_is_not_ready_is_told_in_its_own_words(
    status: int, message: str, words: str
) -> None:
    with pytest.raises(SwarmNotReady) as failed:
        await told(status, message)
    assert (failed.value.details or {})["cause"] == "swarm_not_ready"
    assert words in failed.value.message
    assert "docker node ls" in (failed.value.hint or "")


async def test_another_refusal_is_told_as_one() -> None:
    with pytest.raises(DockerRefused):
        await told(500, "rpc error: code = Unknown desc = update out of sequence")
