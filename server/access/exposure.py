"""Who can reach the server, and whether it may start like that."""

import ipaddress
from typing import Final

from server.access.key_file import KeyFile
from server.settings import Settings

LOOPBACK_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


def key_file_of(settings: Settings) -> KeyFile:
    """Return the file that holds an instance's keys, beside the instance's lock."""
    return KeyFile(settings.server.state_dir.expanduser(), settings.server.instance)


def is_exposed(settings: Settings) -> bool:
    """Tell whether others than this machine can reach the server, be it through a proxy."""
    if settings.access.trusted_proxies:
        return True
    host = settings.server.host.lower()
    if host in LOOPBACK_NAMES:
        return False
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return True


def is_open_without_keys(settings: Settings) -> bool:
    """Tell whether everybody is let in while there are no keys."""
    return settings.access.insecure or not is_exposed(settings)


def refusal_to_start(settings: Settings) -> str | None:
    """Return why the server may not start like this, with the mend.

    Raises `KeysUnusable` when the keys cannot be read.
    """
    if key_file_of(settings).read() or is_open_without_keys(settings):
        return None
    where = f"listens on {settings.server.host}"
    if settings.access.trusted_proxies:
        where = "serves others through `trusted_proxies`"
    return (
        f"This server {where} and has no keys, so that everybody who reaches it could use it. "
        "Make a key (`python3 run.py key add NAME --role operator`), or let everybody in with "
        "`insecure = yes` in [access]."
    )
