"""Who can reach the server, and whether it may start like that."""

from typing import Final

from server.access.key_file import KeyFile
from server.core.ip import parse_ip
from server.settings.tables import Settings

LOOPBACK_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


def key_file_of(settings: Settings) -> KeyFile:
    """Return the file that holds an instance's keys, beside the instance's lock."""
    return KeyFile(settings.server.state_dir.expanduser(), settings.server.instance)


def is_exposed(settings: Settings) -> bool:
    """Tell whether other machines can reach the server, directly or through a proxy."""
    if settings.access.trusted_proxies:
        return True
    host = settings.server.host.lower()
    if host in LOOPBACK_NAMES:
        return False
    address = parse_ip(host)
    return address is None or not address.is_loopback


def is_open_without_keys(settings: Settings) -> bool:
    """Tell whether everybody gets in while there are no keys."""
    return settings.access.insecure or not is_exposed(settings)


def refusal_to_start(settings: Settings) -> str | None:
    """Return why the server may not start with these settings, and what to do.

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
