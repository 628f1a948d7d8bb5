"""Ask a Docker engine something without any library: HTTP over its socket file or over TCP."""

import http.client
import json
import os
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATIENCE_SECONDS = 2.0


class DockerUnavailable(Exception):
    """Say why the engine gave no answer, and the mend for it."""

    def __init__(self, seen: str, mend: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.mend = mend


def ask_docker(path: str) -> Any:
    """Return the engine's JSON answer to a GET; raises DockerUnavailable."""
    docker_host = os.environ.get("DOCKER_HOST") or _default_host()
    try:
        connection = _Connection(docker_host)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"{path} answered {answer.status}")
        return json.loads(body)
    except FileNotFoundError:
        raise DockerUnavailable("no engine here", "Install Docker.") from None
    except PermissionError:
        mend = "Join its group: sudo usermod -aG docker $USER, then log in again."
        raise DockerUnavailable(f"no right to use {docker_host}", mend) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        mend = "Start it (sudo systemctl start docker), or correct DOCKER_HOST."
        raise DockerUnavailable(f"{docker_host} does not answer: {error}", mend) from None


def _default_host() -> str:
    """Return where Docker, rootless Docker or Docker Desktop listens, the first that is there."""
    usual = Path("/var/run/docker.sock")
    rootless = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere", "docker.sock")
    candidates = (usual, rootless, Path.home() / ".docker/run/docker.sock")
    return f"unix://{next((path for path in candidates if path.exists()), usual)}"


class _Connection(http.client.HTTPConnection):
    """A connection to what DOCKER_HOST names: a socket file, or TCP with or without TLS."""

    def __init__(self, docker_host: str) -> None:
        self._where = urlsplit(docker_host)
        if self._where.scheme not in {"unix", "tcp", "http", "https"}:
            raise ValueError("it can be unix://, tcp:// or https:// here")
        name, port = self._where.hostname or "docker", self._where.port or 2375
        super().__init__(name, port, timeout=PATIENCE_SECONDS)

    def connect(self) -> None:
        if self._where.scheme == "unix":
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(PATIENCE_SECONDS)
            self.sock.connect(self._where.path)
            return
        super().connect()
        if os.environ.get("DOCKER_TLS_VERIFY") or self._where.scheme == "https":
            folder = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
            context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
            context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
