"""Resolve the addresses of model servers that people paste.

An address has a base, to which the health route is relative, and below it the path of the API in
OpenAI's form. Rules:

1. The default scheme is `http`, with port 443 `https`. Blanks around an address, double slashes and
   slashes at its end are ignored. The wildcard address (`0.0.0.0`) means this machine.
2. Well-known routes at the end (`/api/chat`, `/v1/models`, `/health`) are removed.
3. A version such as `v1`, `v4` or `v1beta` begins the path of the API: `/paas/v4` and
   `/v1beta/openai` stay as they are. Without a version the API is at `/v1` below the address.
4. The path before `/chat/completions` is always the path of the API.
5. User names, keys, queries and fragments are refused.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from server.core.ip import parse_ip

_USUAL_API: Final = "/v1"
_CHAT: Final = ("chat", "completions")
# Routes at the end of addresses that people copy from a manual or from a browser.
_ROUTES: Final = (
    *(("completions",), ("models",), ("embeddings",), ("responses",)),
    *(("api", name) for name in ("chat", "generate", "tags", "ps", "version", "show", "embed")),
    *(("generate",), ("generate_stream",), ("completion",)),
    *(("health",), ("info",), ("docs",)),
)
_OLLAMA: Final = ("api",)
_VERSION: Final = re.compile(r"v[0-9]+(\.[0-9]+)*((alpha|beta)[0-9]*)?", re.IGNORECASE)
_HOST_NAME: Final = re.compile(r"[^\s/\\?#@:\[\]<>^|%\"'`{},;*!$&()=~\x00-\x20\x7f]+")
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  nothing listens there
# Docker's and Podman's names for the machine that a container runs on.
_THIS_MACHINE: Final = frozenset(
    {"localhost", "ip6-localhost", "host.docker.internal", "host.containers.internal"}
)


@dataclass(frozen=True)
class Address:
    """The address of a server: its base, without a slash at the end, and the path of its API."""

    url: str
    api: str = _USUAL_API

    def __str__(self) -> str:
        """Return the address as text that `resolve_address` resolves to the same address."""
        plain = f"{self.url}{self.api}"
        return plain if resolve_address(plain) == self else "/".join([plain, *_CHAT])


def resolve_address(text: str) -> Address:
    """Return the address that `text` means; raises `ValueError` with what is wrong with it."""
    text = text.strip().strip("<>\"'`").strip()
    if not text or re.search(r"[\s\x00-\x1f\x7f\\]", text):
        raise _refused(text)
    origin, path = _origin(text)
    parts = [part for part in path.split("/") if part]
    if any(part in {".", ".."} for part in parts):
        raise _refused(text, "`.` and `..` are no parts of an address")
    if _ends_with(parts, _CHAT):
        root = parts[: -len(_CHAT)]
        plain = None if _route_at_end(root) else _split(origin, root)
        return plain or Address(_joined(origin, root), "")
    while route := _route_at_end(parts):
        parts = parts[: -len(route)]
    return _split(origin, parts) or Address(_joined(origin, parts))


def is_this_machine(url: str) -> bool:
    """Tell whether a server is on this machine, or on the one that our container runs on."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    address = parse_ip(host)
    if address is None:
        return host in _THIS_MACHINE or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _origin(text: str) -> tuple[str, str]:
    """Return scheme, host and port as one, and the path behind them."""
    has_scheme = "://" in text.partition("?")[0]
    given = text if has_scheme else f"//{_bracketed(text.removeprefix('//'))}"
    try:
        parts = urlsplit(given)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused(text) from None
    if parts.scheme not in {"", "http", "https"}:
        raise _refused(text)
    if "@" in parts.netloc:
        raise ValueError("an address has no name or password in it: a key goes into `api_key`")
    if "?" in text or "#" in text:
        raise ValueError("an address has no `?` or `#` in it: a key goes into `api_key`")
    if port == 0 or not _is_host(host):
        raise _refused(text)
    host = _EVERYWHERE.get(host, host)
    scheme = parts.scheme or ("https" if port == 443 else "http")
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + (f":{port}" if port is not None else ""), parts.path


def _bracketed(text: str) -> str:
    """Put brackets around a bare IPv6 address."""
    host, slash, path = text.partition("/")
    return f"[{host}]{slash}{path}" if ":" in host and parse_ip(host) else text


def _is_host(host: str) -> bool:
    return (parse_ip(host) if ":" in host else _HOST_NAME.fullmatch(host)) is not None


def _split(origin: str, parts: list[str]) -> Address | None:
    """Return the address whose API begins at the last version in its path; None if it has none."""
    for number in range(len(parts) - 1, -1, -1):
        if _VERSION.fullmatch(parts[number]):
            return Address(_joined(origin, parts[:number]), _joined("", parts[number:]))
    return None


def _joined(origin: str, parts: list[str]) -> str:
    return "/".join([origin, *parts])


def _route_at_end(parts: list[str]) -> tuple[str, ...]:
    return next((route for route in (*_ROUTES, _OLLAMA) if _ends_with(parts, route)), ())


def _ends_with(parts: list[str], route: tuple[str, ...]) -> bool:
    return tuple(parts[-len(route) :]) == route


def _refused(text: str, why: str = "") -> ValueError:
    shown = re.sub(r"(//|^)[^/]*@", r"\1…@", text)  # a password may stand there
    found = f", found {shown[:200]!r}"
    return ValueError(f"expected http://HOST:PORT{found}" + (f": {why}" if why else ""))
