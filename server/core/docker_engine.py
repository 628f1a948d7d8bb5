"""What the gateway and the doctor agree on: where a Docker engine is, and which containers we own.

The doctor imports this before anything is installed: the standard library only.
"""

import hashlib
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

LABEL_INSTANCE: Final = "sidestream.instance"
LABEL_MODEL: Final = "sidestream.model"
# The number of a replica; the first one has none, as all had before there were several.
LABEL_REPLICA: Final = "sidestream.replica"
# Of a service that is a gateway itself.
LABEL_GATEWAY: Final = "sidestream.gateway"

_MAX_LABEL: Final = 63
_SOCKET: Final = Path("/var/run/docker.sock")


def container_name(instance: str, model: str, number: int = 1) -> str:
    """Return the name that makes two containers of one replica impossible.

    Characters that a container's name cannot have become `.`, and a hash of the id keeps such
    names distinct, and those of a model's second replica and of all further ones.
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]", ".", model)
    if number == 1 and plain == model:
        return f"sidestream-{instance}-{plain}"
    # No instance has a `_`, so that this is no other id's plain name.
    if number == 1:
        return f"sidestream-{instance}_{plain}-{_digest(model)}"
    return f"sidestream-{instance}_{plain}-{number}-{_digest(f'{model} {number}')}"


def service_name(instance: str, model: str, number: int = 1) -> str:
    """Return the name that makes two services of one replica in a swarm impossible.

    It is a DNS label, so that the model's id is in it only for people; a hash tells.
    """
    digest = _digest(f"{instance} {model} {number}")
    plain = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-").lower()
    room = _MAX_LABEL - len(digest) - 1
    return f"{f'sidestream-{instance}-{plain}'[:room].rstrip('-')}-{digest}"


def number_of(labels: Mapping[str, str]) -> int:
    """Return the number of the replica that labels name; 0 if they name none."""
    said = labels.get(LABEL_REPLICA, "1")
    return int(said) if re.fullmatch(r"[1-9][0-9]{0,5}", said) else 0


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def default_host(environment: Mapping[str, str]) -> str:
    """Return DOCKER_HOST, or the first of the usual places where there is a socket."""
    if environment.get("DOCKER_HOST"):
        return environment["DOCKER_HOST"]
    rootless = Path(environment.get("XDG_RUNTIME_DIR") or "/nowhere", "docker.sock")
    desktop = Path.home() / ".docker" / "run" / "docker.sock"
    return f"unix://{next((p for p in (_SOCKET, rootless, desktop) if p.exists()), _SOCKET)}"


def client_context(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Return how to encrypt, by the certificates in DOCKER_CERT_PATH, as the CLI reads them."""
    folder = Path(environment.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def ssh_command(host: str, socket: Path, *options: str) -> list[str]:
    """Return what has the engine at an address `ssh://…` at a socket file here."""
    where = urlsplit(host)
    remote = where.path if len(where.path) > 1 else _SOCKET
    port = ("-p", str(where.port)) if where.port else ()
    command = ["ssh", "-N", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"]
    return [*command, *port, "-L", f"{socket}:{remote}", *options, "--", _ssh_name(host)]


def ssh_control(host: str, control: Path, verb: str, *words: str) -> list[str]:
    """Return what has an `ssh` that runs already do something, by its control socket."""
    return ["ssh", "-S", str(control), "-O", verb, *words, "--", _ssh_name(host)]


def _ssh_name(host: str) -> str:
    where = urlsplit(host)
    return f"{where.username}@{where.hostname}" if where.username else str(where.hostname)


def is_rootless(info: Mapping[str, Any]) -> bool:
    """Tell from an engine's description whether it runs without root's rights."""
    return any("rootless" in option for option in info.get("SecurityOptions") or [])


def identity_of(info: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what tells an engine apart from others, from its description.

    Engines on one machine may share an id, and copies of a machine do: only together with the name
    and the folder it tells them apart.
    """
    identity, name, folder = (str(info.get(key) or "") for key in ("ID", "Name", "DockerRootDir"))
    return identity, name, folder


def gives_gpus(info: Mapping[str, Any]) -> bool:
    """Tell from an engine's description whether it can give GPUs to containers."""
    # A device that the container device interface knows, as of engine 28.
    return "nvidia" in (info.get("Runtimes") or {}) or bool(info.get("DiscoveredDevices"))
