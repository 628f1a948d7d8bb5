"""The right to change an instance's services: a config of the swarm, held by one gateway.

Rules:

1. The lock's labels name its holder (`claims`). Each renewal makes a new version of it, and a
   change counts only for the version that was seen: of two that take it at once, one is refused.
2. Before a service is created or removed the lock is renewed. A gateway that has lost it, or
   cannot ask, changes nothing; its servers and their answers go on.
3. It is released at the end, so that a successor need not wait.
"""

import asyncio
import base64
import json
import logging
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from server.core.errors import ModelFailed
from server.core.files import write_whole
from server.models.runners.containers.errors import (
    CONFLICT,
    NOT_FOUND,
    DockerRefused,
)
from server.models.runners.swarm.claims import (
    RENEW_SECONDS,
    Holder,
    Judge,
    Verdict,
    read_claim,
)
from server.models.runners.swarm.errors import LockedOut
from server.models.runners.swarm.managers import Managers
from server.models.state_changed import StateChanged

logger = logging.getLogger(__name__)

# The end of a gateway waits no longer for a swarm that does not answer.
_RELEASE_SECONDS: Final = 5.0
# What a manager says of a change to a version that is not the newest.
_OVERTAKEN: Final = "out of sequence"


def lock_name(instance: str) -> str:
    """Return the name of the config that is an instance's lock."""
    return f"sidestream-{instance}-lock"


class Lock:
    """Hold the lock of one instance; every method raises the errors in `errors`."""

    def __init__(
        self,
        managers: Managers,
        instance: str,
        state_file: Path | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hold nothing yet; `state_file` has the id of the state folder, None for a new id."""
        self._managers = managers
        self._instance = instance
        self._state_file = state_file
        self._clock = clock
        self._judge: Judge | None = None
        self._looking = asyncio.Lock()
        self._looked = StateChanged()
        self._keeping: asyncio.Task[None] | None = None
        self.lockout: LockedOut | None = None
        """Why nothing may be changed: another gateway holds the lock. None if that is not known."""

    async def confirm(self) -> None:
        """Take or renew the lock; wait while it is not known whether another holder still runs.

        Raises `LockedOut` if another gateway holds it.
        """
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="swarm lock")
        while await self._look() is Verdict.UNSURE:
            await self._looked.wait()
        if self.lockout is not None:
            raise self.lockout

    async def release(self) -> None:
        """Give the lock up if it is ours; if it cannot be given up, it runs out."""
        if self._keeping is None or self._judge is None:
            return
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        self._keeping = None
        try:
            async with asyncio.timeout(_RELEASE_SECONDS), self._looking:
                shown = await self._shown()
                if shown is not None and read_claim(shown).holder == self._judge.us:
                    await self._managers.delete("release the lock", f"configs/{shown['ID']}")
        except (ModelFailed, TimeoutError) as error:
            logger.warning("the lock of the swarm is not released, and runs out: %s", error)

    async def _keep(self) -> None:
        """Renew the lock, or watch whether its holder does."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self._look()
            except ModelFailed as error:
                logger.debug("the lock of the swarm cannot be looked at: %s", error)
            except Exception:
                # Whoever waits for the lock depends on this task.
                logger.exception("the lock of the swarm cannot be looked at")
            self._looked.notify_all()

    async def _look(self) -> Verdict:
        """Look at the lock, and take or renew it if it may be; never UNSURE once it is ours."""
        async with self._looking:
            if self._judge is None:
                state = await asyncio.to_thread(_state_id, self._state_file)
                us = Holder(state, secrets.token_hex(8), socket.gethostname())
                self._judge = Judge(us)
            try:
                return await self._try(self._judge)
            except ModelFailed:
                self._judge.could_not_look(now=self._clock())
                raise

    async def _try(self, judge: Judge) -> Verdict:
        asked = self._clock()
        shown = await self._shown()
        claim = None if shown is None else read_claim(shown)
        verdict = judge.judge(claim, asked=asked, answered=self._clock())
        if claim is not None and verdict is Verdict.TAKEN:
            self._note_lockout(claim.holder)
        if verdict in {Verdict.TAKEN, Verdict.UNSURE}:
            return verdict
        try:
            await self._take(shown, judge.us.labels(self._instance))
        except DockerRefused as refused:
            is_overtaken = _OVERTAKEN in refused.message
            if not is_overtaken and refused.docker_status not in {CONFLICT, NOT_FOUND}:
                raise
            # Somebody else was quicker: the next look tells who.
            return Verdict.UNSURE
        judge.took()
        if self.lockout is not None:
            logger.warning("this gateway controls the services of the swarm again")
            self.lockout = None
        return Verdict.OURS

    async def _take(self, shown: Mapping[str, Any] | None, labels: dict[str, str]) -> None:
        """Make the lock, or change the version that was seen."""
        if shown is None:
            # Something has to be in it.
            data = base64.b64encode(self._instance.encode()).decode()
            body = {"Name": lock_name(self._instance), "Data": data, "Labels": labels}
            await self._managers.create("take the lock", "configs/create", body)
            return
        await self._managers.update(
            "take the lock",
            f"configs/{shown['ID']}",
            shown["Spec"] | {"Labels": labels},
            version=shown["Version"]["Index"],
        )

    async def _shown(self) -> Mapping[str, Any] | None:
        """Return the lock as a manager shows it, None if there is none."""
        name = lock_name(self._instance)
        filters = {"filters": json.dumps({"name": [name]})}
        listed = await self._managers.get("look at the lock", "configs", filters)
        # The filter takes the beginning of a name, too.
        return next((one for one in listed if one["Spec"]["Name"] == name), None)

    def _note_lockout(self, holder: Holder) -> None:
        if self.lockout is None:
            self.lockout = LockedOut(self._instance, holder.host)
            logger.error("%s; this one starts and stops nothing there", self.lockout)


def _state_id(file: Path | None) -> str:
    """Return the id of the state folder, made at the first call; one that cannot be kept is new."""
    made = secrets.token_hex(8)
    if file is None:
        return made
    try:
        with suppress(FileNotFoundError):
            if known := file.read_text().strip():
                return known
        write_whole(file, f"{made}\n".encode())
    except (OSError, UnicodeDecodeError) as error:
        logger.warning("%s cannot be used: %s", file, error)
    return made
