"""How the server listens: encrypted or not, and how patient it is with connections.

A connection has `connection_timeout` seconds from its beginning, and from the end of each answer,
until a whole head of a request is there: one that says nothing, or a letter now and then, holds
its place no longer than that.
"""

import ssl
from pathlib import Path
from typing import Final

from aiohttp import web

from server.settings import AccessSettings

# The rest of a refused body is read for so long: to close upon it may take the answer away from who
# still sends. aiohttp's own 10 s would let a trickle hold its place.
_LINGERING_SECONDS: Final = 1.0


class CannotEncrypt(Exception):
    """The certificate and its key cannot be used; the message says why."""


def make_runner(app: web.Application, access: AccessSettings) -> web.AppRunner:
    """Return what serves the application within the settings' limits."""
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=access.connection_timeout,
        max_line_size=access.max_header_bytes,
        max_field_size=access.max_header_bytes,
        lingering_time=_LINGERING_SECONDS,
    )


def tls_context(access: AccessSettings) -> ssl.SSLContext | None:
    """Return what encrypts connections, None if nothing is to; raises `CannotEncrypt`."""
    if not access.tls_certificate:
        return None
    certificate, key = (
        Path(path).expanduser() for path in (access.tls_certificate, access.tls_key)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise CannotEncrypt(f"{path}: cannot be read: {error.strerror}") from None
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except _NeedsPassword:
        raise CannotEncrypt(f"{key}: it is locked with a password, and nobody is here") from None
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise CannotEncrypt(
            f"{certificate} and {key} are no certificate with its key: "
            + reason.replace("_", " ").lower()
        ) from None
    return context


class _NeedsPassword(Exception):
    """The key is locked."""


def _no_password() -> str:
    raise _NeedsPassword
