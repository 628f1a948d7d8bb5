"""Which proxy a server is reached through, by the usual environment variables.

Rules, those of curl where programs differ:

1. `https_proxy` and `http_proxy` are for addresses of that scheme, `all_proxy` for both. A name in
   lower case comes before the same in capitals. An empty value means none.
2. `no_proxy` lists, by commas, hosts that are asked directly: a name, which has those below it
   with it, an address, a network such as 10.0.0.0/8, each with a port if need be, or `*`.
3. Loopback never has a proxy.
"""

import ipaddress
from collections.abc import Mapping

from server.core.errors import EngineError
from server.dialects.http.origin import Origin, read_origin


def proxy_for(origin: Origin, environment: Mapping[str, str]) -> Origin | None:
    """Return the proxy that leads to a server, None to ask it directly.

    Raises `EngineError`, which names the variable, for a proxy that cannot be spoken to.
    """
    if origin.is_loopback:
        return None
    for name in (f"{origin.scheme}_proxy", "all_proxy"):
        variable, value = _variable(name, environment)
        if value:
            _, exceptions = _variable("no_proxy", environment)
            return None if _is_excepted(origin, exceptions) else _read(variable, value)
    return None


def _variable(name: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the name that is set, and its value."""
    name = name if name in environment else name.upper()
    return name, environment.get(name, "").strip()


def _read(variable: str, value: str) -> Origin:
    # A value without scheme is one for http, by old custom.
    scheme, found, _ = value.partition("://")
    if found and scheme.lower() not in {"http", "https"}:
        raise EngineError(
            f"the environment's `{variable}` names a proxy of the kind {scheme[:20]!r}, "
            "which is not supported",
            hint=f"give an http proxy, or list the model server in `no_proxy`, or unset {variable}",
        )
    try:
        return read_origin(value if found else f"http://{value}", setting=variable)
    except EngineError:
        raise EngineError(
            f"the environment's `{variable}` is no address of a proxy",
            hint=f"write it as http://HOST:PORT, or unset {variable}",
        ) from None


def _is_excepted(origin: Origin, exceptions: str) -> bool:
    entries = (entry.strip().lower() for entry in exceptions.split(","))
    return any(entry and _covers(entry, origin) for entry in entries)


def _covers(entry: str, origin: Origin) -> bool:
    if entry == "*":
        return True
    host = origin.host.lower().rstrip(".")
    if entry.startswith("[") or entry.count(":") == 1:
        name, _, port = entry.rpartition(":") if not entry.endswith("]") else (entry, "", "")
        if port and port != str(origin.port):
            return False
        entry = name.strip("[]")
    try:
        return ipaddress.ip_address(host.partition("%")[0]) in ipaddress.ip_network(
            entry, strict=False
        )
    except ValueError:
        # One of them is a name.
        name = entry.removeprefix("*").strip(".")
        return host == name or host.endswith(f".{name}")
