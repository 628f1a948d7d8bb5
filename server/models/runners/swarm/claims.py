"""Who may change an instance's services: what the lock says, judged without I/O.

Rules:

1. The lock is taken over from another run once its version has stayed the same for
   `PATIENCE_SECONDS` by the watcher's own clock. Clocks of different machines are never compared.
2. That time counts only while the swarm answers: it begins anew after each look that failed or took
   long, since the holder may have been unable to renew the lock as well.
3. What an earlier run with the same state folder has left is taken at once, as the folder is used
   by one process at a time. A run that lost the lock is no earlier one's successor any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from server.core.docker_engine import LABEL_INSTANCE

RENEW_SECONDS: Final = 2.0
"""How often a holder renews the lock."""
PATIENCE_SECONDS: Final = 10.0
"""How long a lock that is not renewed is another's."""

_LABEL_STATE: Final = "sidestream.lock.state"
_LABEL_RUN: Final = "sidestream.lock.run"
_LABEL_HOST: Final = "sidestream.lock.host"


@dataclass(frozen=True)
class Holder:
    """One run of a gateway: the id of its state folder, its own id, and its machine's name."""

    state: str
    run: str
    host: str

    def labels(self, instance: str) -> dict[str, str]:
        """Return the labels of a lock that this run holds."""
        return {
            LABEL_INSTANCE: instance,
            _LABEL_STATE: self.state,
            _LABEL_RUN: self.run,
            _LABEL_HOST: self.host,
        }


@dataclass(frozen=True)
class Claim:
    """The lock as it was seen: who holds it, in which version."""

    holder: Holder
    version: int


class Verdict(Enum):
    """What a look at the lock means for this run."""

    FREE = "free"
    """Nobody holds it."""
    OURS = "ours"
    LEFT = "left"
    """Whoever held it is gone: it may be taken over."""
    UNSURE = "unsure"
    """Another run holds it, and it is not known yet whether that one still runs."""
    TAKEN = "taken"
    """Another run holds it, and has renewed it."""


class Judge:
    """Judge one look at the lock after the other, for one run."""

    def __init__(self, us: Holder) -> None:
        self.us = us
        self._seen: Claim | None = None
        self._since = 0.0
        self._is_renewed = False
        self._has_held = False

    def judge(self, claim: Claim | None, *, asked: float, answered: float) -> Verdict:
        """Return what a claim means that was `asked` for and `answered` at these seconds."""
        if claim is None:
            self._seen = None
            return Verdict.FREE
        if claim.holder.run == self.us.run:
            self.took()
            return Verdict.OURS
        if claim.holder.state == self.us.state and not self._has_held:
            return Verdict.LEFT
        known = self._seen
        if known is None or known.holder.run != claim.holder.run:
            self._is_renewed = False
        elif known.version == claim.version and asked - self._since >= PATIENCE_SECONDS:
            return Verdict.LEFT
        elif known.version != claim.version:
            self._is_renewed = True
        if known != claim or answered - asked > RENEW_SECONDS:
            self._seen, self._since = claim, answered
        return Verdict.TAKEN if self._is_renewed or self._has_held else Verdict.UNSURE

    def took(self) -> None:
        """Note that this run has made, renewed or taken the lock."""
        self._seen, self._has_held = None, True

    def could_not_look(self, *, now: float) -> None:
        """Note that the swarm did not answer until `now`."""
        self._since = now


def read_claim(shown: Mapping[str, Any]) -> Claim:
    """Parse a lock as the manager lists it."""
    labels = shown["Spec"].get("Labels") or {}
    holder = Holder(*(labels.get(label, "") for label in (_LABEL_STATE, _LABEL_RUN, _LABEL_HOST)))
    return Claim(holder, shown["Version"]["Index"])
