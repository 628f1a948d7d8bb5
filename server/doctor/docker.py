"""Ask a Docker engine something without any library: HTTP over its socket file or over TCP."""

import http.client
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from server.core.docker_engine import client_context, default_host, ssh_command

PATIENCE_SECONDS = 2.0


class DockerUnavailable(Exception):
    """Say why the engine gave no answer, and the mend for it."""

    def __init__(self, seen: str, mend: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.mend = mend


def ask_docker(
    path: str,
    host: str = "",
    *,
    method: str = "GET",
    body: Mapping[str, Any] | None = None,
    patience_seconds: float | None = None,
) -> Any:
    """Return the engine's JSON answer, None for an empty one; raises DockerUnavailable.

    `host` is what the settings say; empty takes DOCKER_HOST, else this machine's engine.
    """
    text = read_docker(path, host, method=method, body=body, patience_seconds=patience_seconds)
    return json.loads(text) if text else None


def read_docker(
    path: str,
    host: str = "",
    *,
    method: str = "GET",
    body: Mapping[str, Any] | None = None,
    patience_seconds: float | None = None,
) -> bytes:
    """Return the engine's answer as it is; see `ask_docker`."""
    patience_seconds = patience_seconds or PATIENCE_SECONDS
    docker_host = host or default_host(os.environ)
    try:
        if docker_host.startswith("ssh://"):
            with _tunnel(docker_host) as socket_file:
                return _ask(f"unix://{socket_file}", method, path, body, patience_seconds)
        return _ask(docker_host, method, path, body, patience_seconds)
    except FileNotFoundError:
        raise DockerUnavailable("no engine here", "Install Docker.") from None
    except PermissionError:
        mend = "Join its group: sudo usermod -aG docker $USER, then log in again."
        raise DockerUnavailable(f"no right to use {docker_host}", mend) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        mend = "Start it (sudo systemctl start docker), or correct DOCKER_HOST."
        raise DockerUnavailable(f"{docker_host} does not answer: {error}", mend) from None


def _ask(
    docker_host: str,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    patience_seconds: float,
) -> bytes:
    connection = _Connection(docker_host, patience_seconds)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status not in {200, 201, 204}:
        raise ValueError(f"{path} answered {answer.status}")
    return text


@contextmanager
def _tunnel(docker_host: str) -> Iterator[str]:
    """Have an engine on another machine at a socket file here, by the user's own ssh."""
    with tempfile.TemporaryDirectory(prefix="sidestream-doctor-") as folder:
        local = Path(folder, "docker.sock")
        with subprocess.Popen(
            ssh_command(docker_host, local),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as ssh:
            try:
                deadline = time.monotonic() + PATIENCE_SECONDS
                while ssh.poll() is None and not local.exists() and time.monotonic() < deadline:
                    time.sleep(0.05)
                if not local.exists():
                    ssh.terminate()
                    said = (ssh.stderr.read() if ssh.stderr else "").strip().splitlines()
                    raise OSError(said[-1] if said else "ssh gets no answer")
                yield str(local)
            finally:
                ssh.terminate()


class _Connection(http.client.HTTPConnection):
    """A connection to what DOCKER_HOST names: a socket file, or TCP with or without TLS."""

    def __init__(self, docker_host: str, patience_seconds: float) -> None:
        self._where = urlsplit(docker_host)
        if self._where.scheme not in {"unix", "tcp", "http", "https"}:
            raise ValueError("it can be unix://, tcp://, https:// or ssh://")
        name, port = self._where.hostname or "docker", self._where.port or 2375
        super().__init__(name, port, timeout=patience_seconds)

    def connect(self) -> None:
        if self._where.scheme == "unix":
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._where.path)
            return
        super().connect()
        if os.environ.get("DOCKER_TLS_VERIFY") or self._where.scheme == "https":
            context = client_context(os.environ)
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
