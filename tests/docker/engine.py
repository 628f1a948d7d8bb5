"""Ask a Docker engine past the runner: what a test does to containers, and what it sees of them."""

import http.client
import json
import re
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

SOCKET = "/var/run/docker.sock"
LABEL = "sidestream.instance"
# The instance of all tests, or the beginning of its name.
INSTANCE = "test"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """One engine, by its socket file; blocking, and without any code of ours in between."""

    def __init__(self, path: str | Path = SOCKET) -> None:
        self.path = str(path)

    @property
    def host(self) -> str:
        """Return what DOCKER_HOST would say."""
        return f"unix://{self.path}"

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        accepted: tuple[int, ...] = (404,),
    ) -> Any:
        """Make a request; return what is answered, None for nothing.

        Raises AssertionError on a refusal that is not accepted.
        """
        connection = _Connection(self.path)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        is_refused = answer.status >= 400
        assert not is_refused or answer.status in accepted, f"{method} {path}: {text.decode()}"
        return json.loads(text) if text and not is_refused else None

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return the containers of all tests, by name."""
        filters = quote(json.dumps({"label": [LABEL]}))
        listed = self.ask("GET", f"/containers/json?all=1&filters={filters}")
        return {
            one["Names"][0].lstrip("/"): one
            for one in listed
            if re.fullmatch(rf"{INSTANCE}(-.*)?", one["Labels"][LABEL])
        }

    def inspect(self, name: str) -> dict[str, Any]:
        """Return everything about a container; it must be there."""
        shown = self.ask("GET", f"/containers/{name}/json")
        assert shown is not None, f"there is no container {name}"
        return dict(shown)

    def act(self, name: str, verb: str) -> None:
        """`kill`, `stop?t=0`, `pause`, `unpause` a container, as somebody else might."""
        self.ask("POST", f"/containers/{name}/{verb}")

    def remove(self, name: str) -> None:
        """Remove a container, running or not, and return once it is gone."""
        deadline = time.monotonic() + 60
        while self.ask("GET", f"/containers/{name}/json") is not None:
            assert time.monotonic() < deadline, f"{name} cannot be removed"
            # 409: somebody else is at it.
            self.ask("DELETE", f"/containers/{name}?force=1&v=1", accepted=(404, 409))
