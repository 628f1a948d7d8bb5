"""One judge that is under way."""

import asyncio
from dataclasses import dataclass

from server.runs.driver import Driver
from server.runs.judge_store import StoredJudge


@dataclass(eq=False)
class LiveJudge:
    """A judge that is under way; `judged` counts its judgements that are stored."""

    stored: StoredJudge
    judged: int
    is_stopping: bool = False
    driver: Driver | None = None
    task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Have nothing more asked, also if the driver has yet to be made."""
        self.is_stopping = True
        if self.driver is not None:
            self.driver.stop()
