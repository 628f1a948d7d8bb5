"""A key: how it is made, what is stored of it, and what it allows.

Only the SHA-256 of a key is stored. Slow hashes protect passwords, which can be guessed; a key has
256 random bits, which nobody finds by trying. With a fast hash a check costs next to nothing, and
wrong keys cannot keep the server busy.
"""

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

from server.access.principal import Principal
from server.core.protocol import Role

# So that a key is recognised as one in a log or a repository.
_PREFIX: Final = "sidestream_"
_RANDOM_BYTES: Final = 32

_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}(?!\n)$")]
_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stored key; times are seconds since the epoch."""

    name: _Name
    digest: _Digest
    role: Role
    models: tuple[str, ...] | None
    created_at: float
    expires_at: float | None

    @property
    def id(self) -> str:
        """Return the id of this key; a later key of the same name has another one."""
        return self.digest[:16]

    @property
    def principal(self) -> Principal:
        """Return the key's holder."""
        models = None if self.models is None else frozenset(self.models)
        return Principal(self.id, self.name, self.role, models)

    def is_valid(self, now: float) -> bool:
        """Tell whether the key has not expired at `now`."""
        return self.expires_at is None or now < self.expires_at


def make_secret() -> str:
    """Return the secret of a new key, which is shown once."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(secret: str) -> str:
    """Return the digest of a secret, as it is stored."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def parse_expiry(text: str, now: float) -> float:
    """Return the time of expiry for a lifetime (`30d`) or a last day (`2027-01-31`).

    The last day ends at midnight UTC. Raises `ValueError` for anything else, and for the past.
    """
    lifetime = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    try:
        if lifetime:
            ends = datetime.fromtimestamp(now, UTC)
            ends += timedelta(**{_UNITS[lifetime[2]]: int(lifetime[1])})
        else:
            ends = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise ValueError(
            f"expected a time such as 30d, 12h or 90m, or a date such as 2027-01-31, found {text!r}"
        ) from None
    if ends.timestamp() <= now:
        raise ValueError(f"{text} is past already")
    return ends.timestamp()
