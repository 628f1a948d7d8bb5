"""Which remote model servers the settings name and how they are asked, and which commands.

It needs the types of the settings, so it is imported only once they can be.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from server.doctor.findings import KnownCommand, KnownServer
from server.settings.addresses import Address, is_this_machine, resolve_address
from server.settings.commands import command_words
from server.settings.remote import RemoteSettings
from server.settings.secrets import WRITTEN, Secret, is_reference
from server.settings.tables import Settings

# Where Docker and Kubernetes show secrets, to everybody in the container.
_SHOWN_TO_ALL: Final = ("/run/secrets/", "/var/run/secrets/")
_TELLS_A_SECRET: Final = ("authorization", "key", "token", "secret")


def known_servers(settings: Settings) -> tuple[KnownServer, ...]:
    """Return the servers of `[model ID]` with `runner = remote`, and of `[upstream NAME]`."""
    models = settings.models.items()
    named: list[tuple[str, RemoteSettings]] = [
        (f"[model {name}]", one) for name, one in models if one.runner == "remote" and not one.base
    ]
    named += [(f"[upstream {name}]", one) for name, one in settings.upstreams.items()]
    return tuple(_known(place, one) for place, one in named)


def known_commands(settings: Settings) -> tuple[KnownCommand, ...]:
    """Return the programs of the models with `runner = command`, and those that check answers."""
    models = (
        KnownCommand(f"model {name}", command_words(one.command)[0], one.env.get("PATH"))
        for name, one in settings.models.items()
        if one.runner == "command" and not one.base
    )
    checks = (
        KnownCommand(f"check {name}", command_words(one.command)[0], one.env.get("PATH"))
        for name, one in settings.command_checks.items()
    )
    return *models, *checks


def _known(place: str, said: RemoteSettings) -> KnownServer:
    address: Address = resolve_address(said.url)
    headers = {name: value for name, value in said.headers.items() if not is_reference(value)}
    if said.api_key and not is_reference(said.api_key):
        headers["Authorization"] = f"Bearer {said.api_key}"
    secrets = list(_secrets(said))
    files = [one.origin.removeprefix("file:") for one in secrets if one.origin.startswith("file:")]
    return KnownServer(
        place,
        address.url,
        address.api,
        said.dialect,
        headers=tuple(headers.items()),
        ca_file=said.ca_file,
        is_here=is_this_machine(address.url),
        has_key="Authorization" in headers,
        key_is_written=any(one.origin == WRITTEN for one in secrets),
        readable_files=tuple(file for file in files if _is_readable_by_all(file)),
    )


def _secrets(said: RemoteSettings) -> Iterator[Secret]:
    """Give the key, and the header fields that are named like one."""
    named = [("key", said.api_key), *said.headers.items()]
    for name, value in named:
        if isinstance(value, Secret) and any(word in name.lower() for word in _TELLS_A_SECRET):
            yield value


def _is_readable_by_all(file: str) -> bool:
    try:
        mode = Path(file).stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IROTH) and not file.startswith(_SHOWN_TO_ALL)
