"""Where a server answers: scheme, host and port, as an address in the settings names them."""

import base64
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from server.core.errors import EngineError
from server.core.ip import parse_ip

_PORTS = {"http": 80, "https": 443}
# All that may stand in a path and a query (RFC 3986, 3.3 and 3.4), and what is quoted already.
_PATH_CHARACTERS = "/:?[]@!$&'()*+,;=%-._~"


@dataclass(frozen=True)
class Origin:
    """Name the place where a server answers; `host` has no brackets.

    `authorization` is what the address itself says of a user, empty if nothing.
    """

    scheme: str
    host: str
    port: int
    authorization: str = field(default="", repr=False)

    @property
    def is_secure(self) -> bool:
        """Tell whether it is spoken to encrypted."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Return host and port, as in a `CONNECT`; an IPv6 address in brackets, without zone."""
        host = self.host.partition("%")[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def host_header(self) -> str:
        """Return the authority without the port that the scheme implies."""
        return self.authority.removesuffix(f":{_PORTS[self.scheme]}")

    @property
    def is_loopback(self) -> bool:
        """Tell whether it is this machine, or this container."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host_header}"


def read_origin(url: str, *, setting: str = "url") -> Origin:
    """Read an address; raises `EngineError` for one that names no server."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if not host.isascii():
            host = host.encode("idna").decode()
    except ValueError:
        # A UnicodeError is one too.
        host, port, parts = "", None, SplitResult("", "", "", "", "")
    if parts.scheme not in _PORTS or not host or not host.isprintable() or " " in host:
        raise EngineError(
            f"`{setting}` is no address of a server",
            hint=f"write `{setting}` as http://HOST:PORT",
        )
    return Origin(parts.scheme, host, port or _PORTS[parts.scheme], basic(parts))


def basic(parts: SplitResult) -> str:
    """Return the value of a header that says the user and password of an address."""
    if parts.username is None:
        return ""
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(user.encode()).decode()}"


def quoted(path: str) -> str:
    """Return a path with its query in which only what may stand in a request is left."""
    return quote(path, safe=_PATH_CHARACTERS)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine by its name or address alone."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = parse_ip(name)
    return address is not None and address.is_loopback
