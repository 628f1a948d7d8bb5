"""Encryption: whose certificates are trusted, and what a failed handshake means in words."""

import functools
import ssl
from typing import Final

from server.core.errors import EngineError, EngineLost
from server.dialects.http.origin import Origin

# OpenSSL's numbers: X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH and
# _IP_ADDRESS_MISMATCH (x509_vfy.h). All others mean that nobody we trust has signed it.
_OUT_OF_TIME: Final = {9, 10}
_OF_ANOTHER_HOST: Final = {62, 64}
# What a handshake with a server that speaks plain HTTP is called, by OpenSSL's versions.
_PLAIN: Final = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}


@functools.cache
def system_context() -> ssl.SSLContext:
    """Return how to encrypt, trusting what the system trusts."""
    return _prepared(ssl.create_default_context())


def context_of(ca_file: str) -> ssl.SSLContext:
    """Return how to encrypt, trusting only the certificates in a file.

    Raises `EngineError`, which names the file, for one that cannot be read or has none.
    """
    try:
        return _prepared(ssl.create_default_context(cafile=ca_file))
    except ssl.SSLError:
        raise EngineError(
            f"{ca_file}: has no certificates",
            hint="`ca_file` names a file of certificates in PEM form",
        ) from None
    except OSError as error:
        raise EngineError(
            f"{ca_file}: cannot be read: {error.strerror}",
            hint="`ca_file` names a file of certificates in PEM form",
        ) from None
    except ValueError:
        raise EngineError(f"{ca_file!r} is no name of a file", hint="change `ca_file`") from None


def refusal(error: ssl.SSLError, origin: Origin, what: str) -> EngineError:
    """Return the error for a handshake that failed with `what`, such as "the model server"."""
    if isinstance(error, ssl.SSLCertVerificationError):
        certificate = f"the certificate of {what} at {origin}"
        if error.verify_code in _OUT_OF_TIME:
            return EngineError(f"{certificate} is out of its time: {error.verify_message}")
        if error.verify_code in _OF_ANOTHER_HOST:
            return EngineError(
                f"{certificate} is for another name: {error.verify_message}",
                hint="write the name that the certificate has into `url`",
            )
        return EngineError(
            f"{certificate} is not trusted: {error.verify_message}",
            hint="set `ca_file` to a file with the certificate of whoever signed it (PEM)",
        )
    if error.reason in _PLAIN:
        return EngineError(
            f"{what} at {origin} speaks plain http where its address says https",
            hint="write http:// in `url`",
        )
    return EngineLost(f"no encrypted connection to {what} at {origin}: {error.reason or error}")


def _prepared(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Servers and proxies that could speak HTTP/2 are told not to.
    context.set_alpn_protocols(["http/1.1"])
    return context
