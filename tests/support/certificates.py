"""Certificates for servers on loopback, signed by an authority that only a test knows."""

import ssl
import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
OWN_NAMES = "DNS:localhost,IP:127.0.0.1,IP:::1"


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def authority(folder: Path) -> Path:
    """Make an authority and return its certificate, which a client has to trust."""
    own = ("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=a test's authority", "-days", "2")
    _openssl(folder, "req", "-x509", *_KEY, *own)
    return folder / "ca.pem"


def server_context(folder: Path, *, names: str = OWN_NAMES, days: int = 2) -> ssl.SSLContext:
    """Return how a server encrypts, with a certificate of the authority in `folder`."""
    (folder / "names").write_text(f"subjectAltName={names}\n")
    _openssl(folder, "req", *_KEY, "-keyout", "server.key", "-out", "csr", "-subj", "/CN=server")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    _openssl(
        folder, "x509", "-req", "-in", "csr", "-out", "server.pem", *signed, "-days", str(days)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context
