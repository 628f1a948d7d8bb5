"""Authentication of every request: whose it is, and what ends when a key is revoked.

Credentials are read here for all transports, and the first that is present decides:

1. `Authorization: Bearer KEY`, from tools
2. `?ticket=T`, for `GET /ws` only, from `POST /ws-ticket`: a browser's socket sends no headers
3. the cookie of the page's sign-in, which counts for our own page only

Without keys in the key file credentials are ignored: clients of OpenAI's API always send some.
"""

import asyncio
import logging
import math
import time
from typing import Final

from aiohttp import web

from server.access.attempts import Attempts
from server.access.exposure import is_exposed, is_open_without_keys, key_file_of
from server.access.keyring import Keyring
from server.access.passes import Passes
from server.access.principal import LOCAL, Caller, Principal
from server.access.quota import Quota
from server.chat.session_store import SessionStore
from server.core.errors import RateLimited, Unauthorized
from server.settings.access import networks_of
from server.settings.tables import Settings
from server.web.entry.active_requests import ActiveRequests
from server.web.entry.guard import is_of_our_page
from server.web.entry.peer import PROXIES, peer_of

logger = logging.getLogger(__name__)

# PROTOCOL.md says so.
TICKET_SECONDS: Final = 30.0
# Far more than are issued in that time; some 200 bytes each.
_MOST_TICKETS: Final = 10_000
_MOST_SIGN_INS: Final = 10_000

CALLER = web.RequestKey("caller", Caller)


class Gate:
    """Authenticate requests, and end those of revoked keys."""

    def __init__(
        self, keyring: Keyring, quota: Quota, *, instance: str, sign_in_seconds: float
    ) -> None:
        self.keyring = keyring
        self.quota = quota
        self.active_requests = ActiveRequests()
        self.tickets = Passes(
            lifetime_seconds=TICKET_SECONDS, most=_MOST_TICKETS, clock=time.monotonic
        )
        self.sign_ins = Passes(
            lifetime_seconds=sign_in_seconds, most=_MOST_SIGN_INS, clock=time.monotonic
        )
        # Cookies know no ports: two gateways of one machine would sign each other's users out.
        self.cookie = f"sidestream-{instance}"
        self._attempts = Attempts(time.monotonic)

    def caller(self, request: web.Request) -> Caller:
        """Authenticate a request; raises `Unauthorized`, or `RateLimited` after many failures."""
        address = peer_of(request).address
        if self.keyring.is_open:
            return Caller(LOCAL, address)
        kind, principal = self._principal(request)
        if principal is not None:
            return Caller(principal, address)
        if not kind:
            raise Unauthorized(
                "a key is needed", hint="send `Authorization: Bearer KEY`, or sign in at /sign-in"
            )
        if kind != "sign-in":  # every page left open has a sign-in that expired
            self.check_attempts(address)
            self.fail(address, kind)
        raise Unauthorized(f"the {kind} is wrong, was revoked, or has expired")

    def sign_in(self, request: web.Request, key: str) -> str | None:
        """Return a sign-in token for the holder of `key`, None if the key is not valid.

        Raises `RateLimited` after too many failures, without checking the key.
        """
        address = peer_of(request).address
        self.check_attempts(address)
        principal = self.keyring.find(key)
        if principal is None:
            self.fail(address, "key")
            return None
        logger.info("%s has signed in from %s", principal.name, address)
        return self.sign_ins.issue(principal.id)

    def check_attempts(self, address: str) -> None:
        """Raise `RateLimited` after too many recent failures from this address."""
        seconds = self._attempts.seconds_to_wait(address)
        if seconds > 0:
            raise RateLimited(
                "too many attempts with a wrong key",
                details={"retry_after_seconds": math.ceil(seconds)},
            )

    def fail(self, address: str, kind: str) -> None:
        """Record a failed attempt; the credential itself is never logged."""
        self._attempts.fail(address)
        logger.warning("a wrong or expired %s from %s", kind, address)

    async def follow(self, sessions: SessionStore) -> None:
        """Follow the keys until cancelled, and end requests and sessions of revoked ones."""
        ending: set[asyncio.Task[None]] = set()

        def end() -> None:
            there = self.active_requests.principals | sessions.principals
            over = {principal for principal in there if self.keyring.holder(principal) is None}
            if not over:
                return
            # Not awaited: nothing may delay the next check.
            for work in (self.active_requests.revoke(over), sessions.revoke(over)):
                task = asyncio.create_task(work, name="revoking")
                ending.add(task)
                task.add_done_callback(ending.discard)

        try:
            await self.keyring.follow(end)
        finally:
            if ending:
                await asyncio.wait(ending)

    def _principal(self, request: web.Request) -> tuple[str, Principal | None]:
        """Return the kind of credential, "" if there is none, and its principal if it is valid."""
        authorization = request.headers.get("Authorization")
        if authorization is not None:
            scheme, _, key = authorization.partition(" ")
            return "key", self.keyring.find(key.strip()) if scheme.lower() == "bearer" else None
        if request.path == "/ws" and "ticket" in request.query:
            return "ticket", self._holder(self.tickets.take(request.query["ticket"]))
        cookie = request.cookies.get(self.cookie)
        # A browser sends it also from pages of allowed origins on the same site.
        if cookie is not None and is_of_our_page(request):
            return "sign-in", self._holder(self.sign_ins.key_id(cookie))
        return "", None

    def _holder(self, key_id: str | None) -> Principal | None:
        return None if key_id is None else self.keyring.holder(key_id)


GATE = web.AppKey("gate", Gate)


def install_gate(app: web.Application, settings: Settings) -> None:
    """Create the application's gate from the settings; raises `KeysUnusable`."""
    app[PROXIES] = networks_of(settings.access)
    keyring = Keyring(key_file_of(settings), is_open_without_keys=is_open_without_keys(settings))
    has_strangers = is_exposed(settings)
    app[GATE] = Gate(
        keyring,
        Quota(
            settings.access,
            applies=lambda: has_strangers or keyring.has_keys,
            clock=time.monotonic,
        ),
        instance=settings.server.instance,
        sign_in_seconds=settings.access.sign_in_lifetime,
    )
