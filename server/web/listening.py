"""How the server listens: TLS, and timeouts of connections.

A connection has `connection_timeout` seconds from its beginning, and from the end of each answer,
to send the whole head of a request: an idle or trickling connection is closed after that.
"""

import ssl
from pathlib import Path
from typing import Final

from aiohttp import web

from server.settings.access import AccessSettings
from server.web.unreadable import Runner

# How long the rest of a refused body is read: closing at once may destroy the answer on its way to
# a client that still sends. aiohttp's own 10 s would let a trickle hold the connection.
_LINGERING_SECONDS: Final = 1.0


class CannotEncrypt(Exception):
    """The certificate and its key cannot be used; the message says why."""


def make_runner(app: web.Application, access: AccessSettings) -> web.AppRunner:
    """Return the runner that serves the application within the settings' limits."""
    return Runner(
        app,
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=access.connection_timeout,
        max_line_size=access.max_header_bytes,
        max_field_size=access.max_header_bytes,
        lingering_time=_LINGERING_SECONDS,
    )


class Certificate:
    """The certificate and its key with which connections are encrypted."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both files; raises `CannotEncrypt`."""
        self._files = certificate, key
        self.context, self._read = _load(certificate, key)

    def renew(self) -> bool:
        """Encrypt new connections with what the files hold now; tell whether that is something new.

        Raises `CannotEncrypt`; then the certificate stays as it was.
        """
        # Into a context apart first: a key that does not fit would leave this one without.
        _, read = _load(*self._files)
        if read == self._read:
            return False
        self.context.load_cert_chain(*self._files, password=_no_password)
        self._read = read
        return True


def certificate_of(access: AccessSettings) -> Certificate | None:
    """Return what encrypts connections, None if nothing is to; raises `CannotEncrypt`."""
    if not access.tls_certificate:
        return None
    return Certificate(Path(access.tls_certificate).expanduser(), Path(access.tls_key).expanduser())


def _load(certificate: Path, key: Path) -> tuple[ssl.SSLContext, list[bytes]]:
    """Return a context with what the files hold, and that; raises `CannotEncrypt`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    read = []
    for path in (certificate, key):
        try:
            read.append(path.read_bytes())
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
    return context, read


class _NeedsPassword(Exception):
    """The key is locked."""


def _no_password() -> str:
    raise _NeedsPassword
