"""The stack of docs/deploy/stack.yaml, deployed on the bed as its comments say.

What differs from three real machines is in a second file beside it: where Docker's socket of a node
is, and a folder of this machine as the storage that follows the gateway.
"""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.docker import gateway_image
from tests.docker.engine import INSTANCE
from tests.docker.gateway_image import run
from tests.support.gateway import ROOT
from tests.swarm.bed import Bed, Node, until

IMAGE = gateway_image.name("service")
PORT = 8000
SERVICE = "sidestream_gateway"
CEILING_SECONDS = 90
_STACK = ROOT / "docs" / "deploy" / "stack.yaml"


@dataclass(frozen=True)
class Stack:
    """The files of a stack in a folder, and the swarm that it is deployed on."""

    bed: Bed
    folder: Path

    def prepare(self, settings: str, token: str) -> None:
        """Write the files, with a secret that the gateway finds at `/run/secrets/hub`."""
        (self.folder / "stack.yaml").write_text(_STACK.read_text())
        (self.folder / "settings.ini").write_text(settings)
        (self.folder / "hub").write_text(token)
        (self.folder / "state").mkdir()
        nodes = self.bed.manager.folder.parent
        socket = {"type": "bind", "target": "/var/run/docker.sock"}
        socket["source"] = f"{nodes}/{{{{.Node.Hostname}}}}/docker.sock"
        gateway = {
            "environment": {"SIDESTREAM_SERVER__INSTANCE": INSTANCE},
            "volumes": [socket],
            "secrets": [{"source": "hub", "uid": "10001", "mode": 0o400}],
            "deploy": {"placement": {"constraints": ["node.hostname != node1"]}},
        }
        # The name again: of what two files say, the later one counts.
        state = {"name": "sidestream-state", "driver_opts": self._options()}
        here = {
            "version": "3.8",
            "services": {"gateway": gateway},
            "secrets": {"hub": {"file": "./hub"}},
            "volumes": {"state": state},
        }
        (self.folder / "here.yaml").write_text(yaml.safe_dump(here))

    def make_key(self) -> str:
        """Make an operator's key in the state, before a gateway runs; return it."""
        mount = ",".join(
            [
                "type=volume,source=sidestream-state,target=/var/lib/sidestream",
                "volume-driver=local",
                *(f"volume-opt={key}={value}" for key, value in self._options().items()),
            ]
        )
        node = f"--host={self.bed.workers[0].host}"
        words = ["run", "--rm", "--network", "none", "--mount", mount, "--entrypoint", "python3"]
        words += ["--env", f"SIDESTREAM_SERVER__INSTANCE={INSTANCE}", IMAGE]
        making = ["-m", "server.access", "add", "boss", "--role", "operator"]
        return run("docker", node, *words, *making).strip()

    def deploy(self, *, version: int = 1) -> None:
        """Deploy it, with the settings as they are now under that version."""
        variables = {
            "STATE_DRIVER": "local",
            "DOCKER_GROUP": str(Path(self.bed.manager.path).stat().st_gid),
            "SIDESTREAM_IMAGE": IMAGE,
            "SETTINGS_VERSION": str(version),
        }
        words = ["docker", f"--host={self.bed.manager.host}", "stack", "deploy"]
        # There is no registry.
        words += ["--resolve-image", "never"]
        for name in ("stack.yaml", "here.yaml"):
            words += ["--compose-file", str(self.folder / name)]
        done = subprocess.run(
            [*words, "sidestream"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **variables},
        )
        assert done.returncode == 0, done.stderr

    def remove(self) -> None:
        """Take it down as docs/SWARM.md says, and remove what nodes have of its state."""
        docker = ("docker", f"--host={self.bed.manager.host}")
        run(*docker, "service", "rm", SERVICE)
        label = f"label=sidestream.instance={INSTANCE}"
        for kind in ("service", "secret"):
            if models := run(*docker, kind, "ls", "--quiet", "--filter", label).split():
                run(*docker, kind, "rm", *models)
        run(*docker, "stack", "rm", "sidestream")
        until(lambda: not self.bed.tasks())
        for node in self.bed.nodes:
            until(lambda node=node: _has_no_state(node))  # type: ignore[misc]

    def running(self) -> list[dict[str, Any]]:
        """Return the gateway's tasks that run and are to, whether Docker has seen it or not."""
        return [
            task
            for task in self.bed.tasks(SERVICE)
            if task["DesiredState"] == "running"
            and task["Status"]["State"] in {"starting", "running"}
        ]

    def node(self) -> Node:
        """Return the node that the gateway runs on."""
        (task,) = self.running()
        return self.bed.node_of(task)

    def _options(self) -> dict[str, str]:
        return {"type": "none", "o": "bind", "device": str(self.folder / "state")}


@dataclass(frozen=True)
class Reached:
    """The gateway of a stack, wherever it runs: its address and a key."""

    address: str
    headers: dict[str, str]

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Make a request that works, and return its answer."""
        async with (
            aiohttp.ClientSession(headers=self.headers) as http,
            http.request(method, f"http://{self.address}{path}", json=body) as response,
        ):
            assert response.status < 300, await response.text()
            return await response.json()

    async def until(self, path: str, **wanted: Any) -> None:
        """Return once what is answered there has these fields."""
        async with asyncio.timeout(CEILING_SECONDS):
            while True:
                try:
                    if wanted.items() <= (await self.request("GET", path)).items():
                        return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)


def _has_no_state(node: Node) -> bool:
    """Remove a node's volume; tell whether it is gone, which it is once its container is."""
    node.ask("DELETE", "/volumes/sidestream-state", accepted=(404, 409))
    return node.ask("GET", "/volumes/sidestream-state") is None


@contextmanager
def three_managers(bed: Bed) -> Iterator[None]:
    """Have three managers, of which two have the gateway's image."""
    with gateway_image.built(IMAGE):
        for node in bed.workers:
            with subprocess.Popen(["docker", "save", IMAGE], stdout=subprocess.PIPE) as saving:
                words = ["docker", f"--host={node.host}", "load", "--quiet"]
                subprocess.run(words, stdin=saving.stdout, check=True, capture_output=True)
    for node in bed.workers:
        bed.set_role(node, "manager")
    try:
        yield
    finally:
        bed.heal()
        for node in bed.workers:
            bed.set_role(node, "worker")
