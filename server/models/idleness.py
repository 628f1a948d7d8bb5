"""When a model server of ours is stopped because nobody has used it for a while."""

import asyncio

from server.models.deployment import Deployment


class Idleness:
    """Hold a clock for each server whose settings limit how long it may be idle."""

    def __init__(self) -> None:
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def watch(self, deployment: Deployment, *, is_idle: bool) -> None:
        """Set the clock by which an idle server is stopped; its use sets it anew."""
        root_id, settings = deployment.spec.id, deployment.spec.settings
        timer = self._timers.pop(root_id, None)
        if timer is not None:
            timer.cancel()
        seconds = settings.idle_timeout
        if seconds and not settings.pinned and is_idle:
            self._timers[root_id] = asyncio.get_running_loop().call_later(
                seconds, deployment.unwant
            )

    def close(self) -> None:
        """Stop no server any more."""
        for timer in self._timers.values():
            timer.cancel()
