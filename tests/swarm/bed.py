"""Three machines with Docker engines that form a swarm, on one machine: a bed for tests.

    gateway ── switch ─┬─ node 1   the manager
                       ├─ node 2   a worker
                       └─ node 3   a worker

Each node is a dockerd with network, processes, mounts and host name of its own. The switch stands
in a network of its own, so that no rules of the machine's own engine apply to it. What happens to
real machines can be done to a node:

    cut, mend      its wire: it goes on, and nobody reaches it
    pull_plug      everything on it ends at once; `start` switches it on again
    kill_engine    its dockerd alone: containers go on; `start_engine` starts it again

The heartbeat is a second, so that a dead node is noticed within five.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.docker.engine import INSTANCE, LABEL, Engine
from tests.docker.own_engine import PATH, free_addresses, into, ip, new_name, remove_folder, sweep

PREFIX = "swtest"
FOLDER_PREFIX = "sidestream-nodes-"
NODES = 3
_CEILING_SECONDS = 90
HEARTBEAT_SECONDS = 1
_NANO = 1_000_000_000
_ROOM_BYTES = 6 << 30
_CGROUPS = Path("/sys/fs/cgroup")


class Node(Engine):
    """One machine of the swarm; what it is called in the swarm is its `name`."""

    def __init__(self, folder: Path, network: str, switch: str, address: str, number: int) -> None:
        super().__init__(folder / "docker.sock")
        self.folder = folder
        self.name = f"node{number}"
        self.address = address
        self.id = ""
        self.network = network
        self._switch = switch
        self._number = number
        self._machine: subprocess.Popen[bytes] | None = None
        self._engine: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Return what its engine has said."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Switch it on, and return once its engine answers."""
        for left in ("pid", "docker.sock"):
            (self.folder / left).unlink(missing_ok=True)
        # What a machine keeps in memory is gone after it was off.
        shutil.rmtree(self.folder / "exec", ignore_errors=True)
        # Nobody answers there, so that a pull fails at once instead of after a long time.
        resolver = self.folder / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.1\n")
        script = (
            f"hostname {self.name} && mount --make-rprivate / "
            f"&& mount --bind {resolver} /etc/resolv.conf && exec tini-static -- sleep infinity"
        )
        spaces = ["--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--mount-proc"]
        self._machine = self._run([*into(self.network), "unshare", *spaces, "bash", "-c", script])
        until(lambda: self._first_command() == "sleep" or "tini-static" in self._first_command())
        self.start_engine()

    def start_engine(self) -> None:
        """Start dockerd, and return once it answers."""
        (self.folder / "pid").unlink(missing_ok=True)
        self._engine = self._run(
            [
                *self._inside(),
                "dockerd",
                f"--data-root={self.folder / 'data'}",
                f"--exec-root={self.folder / 'exec'}",
                f"--pidfile={self.folder / 'pid'}",
                f"--host={self.host}",
                f"--cgroup-parent=/{self.network}",
                "--exec-opt=native.cgroupdriver=cgroupfs",
                "--log-level=warn",
                f"--node-generic-resource=GPU=gpu-{self._number}",
            ]
        )

        def answers() -> bool:
            assert self._engine is not None
            assert self._engine.poll() is None, f"no engine on {self.name}:\n{self.log[-3000:]}"
            with suppress(OSError):
                self.ask("GET", "/info")
                return True
            return False

        until(answers)

    def kill_engine(self) -> None:
        """Kill dockerd alone, and return once it has ended."""
        assert self._engine is not None
        number = (self.folder / "pid").read_text().strip()
        subprocess.run([*self._inside(), "kill", "-9", number], check=True)
        self._engine.wait(_CEILING_SECONDS)

    def pull_plug(self) -> None:
        """End everything on it at once, and return once nothing runs there."""
        assert self._machine is not None
        assert self._engine is not None
        os.kill(self._first_process(), signal.SIGKILL)
        self._machine.wait(_CEILING_SECONDS)
        self._engine.wait(_CEILING_SECONDS)

    def cut(self) -> None:
        """Cut its wire."""
        ip("-n", self._switch, "link", "set", self.name, "down")

    def mend(self) -> None:
        """Mend its wire."""
        ip("-n", self._switch, "link", "set", self.name, "up")

    @property
    def is_on(self) -> bool:
        """Tell whether it was switched on and its plug is in."""
        return self._machine is not None and self._machine.poll() is None

    @property
    def has_engine(self) -> bool:
        """Tell whether its dockerd runs."""
        return self._engine is not None and self._engine.poll() is None

    def end(self) -> None:
        """Switch it off, if it is on."""
        if self.is_on:
            self.pull_plug()

    def _inside(self) -> list[str]:
        words = ["nsenter", f"--target={self._first_process()}"]
        return [*words, "--net", "--mount", "--pid", "--uts", "--ipc", "--"]

    def _first_process(self) -> int:
        assert self._machine is not None
        parent = self._machine.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return int(children[0])

    def _first_command(self) -> str:
        assert self._machine is not None
        assert self._machine.poll() is None, f"{self.name} cannot be switched on:\n{self.log}"
        with suppress(OSError, IndexError):
            return Path(f"/proc/{self._first_process()}/cmdline").read_text().partition("\0")[0]
        return ""

    def _run(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": PATH},
                start_new_session=True,
            )


class Bed:
    """The nodes, of which the first is the manager."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.manager, *self.workers = nodes

    def node_of(self, task: dict[str, Any]) -> Node:
        """Return the node that a task is on."""
        return next(node for node in self.nodes if node.id == task["NodeID"])

    def services(self) -> dict[str, dict[str, Any]]:
        """Return the services of all tests, by name."""
        listed = self.manager.ask("GET", f"/services?filters={_labelled()}")
        return {one["Spec"]["Name"]: one for one in listed if _is_of_tests(one["Spec"]["Labels"])}

    def secrets(self) -> list[str]:
        """Return the ids of the secrets of all tests."""
        return [one["ID"] for one in self.manager.ask("GET", f"/secrets?filters={_labelled()}")]

    def locks(self) -> dict[str, dict[str, Any]]:
        """Return the locks of the tests' instances, by name."""
        listed = self.manager.ask("GET", f"/configs?filters={_labelled()}")
        return {one["Spec"]["Name"]: one for one in listed}

    def tasks(self, service: str = "") -> list[dict[str, Any]]:
        """Return the tasks of a service, or all tasks, the newest first."""
        filters = f"?filters={quote(json.dumps({'service': [service]}))}" if service else ""
        listed = self.manager.ask("GET", f"/tasks{filters}") or []
        return sorted(listed, key=lambda task: str(task["CreatedAt"]), reverse=True)

    def containers(self) -> dict[str, str]:
        """Return the states of all containers of tests, by name, on nodes whose engine runs."""
        return {
            f"{node.name}/{name}": one["State"]
            for node in self.nodes
            if node.has_engine
            for name, one in node.containers().items()
        }

    def set_availability(self, node: Node, availability: str) -> None:
        """Make a node `active`, `pause`d or `drain`ed."""
        until(lambda: self._is_changed(node, Availability=availability))

    def label(self, node: Node, **labels: str) -> None:
        """Give a node these labels and no others."""
        until(lambda: self._is_changed(node, Labels=labels))

    def set_role(self, node: Node, role: str) -> None:
        """Make a node a `manager` or a `worker`, and return once it is."""
        until(lambda: self._is_changed(node, Role=role))
        until(lambda: node.ask("GET", "/info")["Swarm"]["ControlAvailable"] == (role == "manager"))

    def _is_changed(self, node: Node, **parts: object) -> bool:
        """Change what a node is to be; tell whether that was taken.

        It is not while managers come back, and where another change of it came between.
        """
        shown = self.manager.ask("GET", f"/nodes/{node.id}")
        path = f"/nodes/{node.id}/update?version={shown['Version']['Index']}"
        with suppress(AssertionError):
            self.manager.ask("POST", path, shown["Spec"] | parts)
            return True
        return False

    @contextmanager
    def heartbeat(self, seconds: int) -> Iterator[None]:
        """Have nodes tell the manager so often that they are there, while the context lasts."""
        self._set_heartbeat(seconds)
        try:
            yield
        finally:
            self._set_heartbeat(HEARTBEAT_SECONDS)

    def _set_heartbeat(self, seconds: int) -> None:
        shown = self.manager.ask("GET", "/swarm")
        spec = shown["Spec"] | {"Dispatcher": {"HeartbeatPeriod": seconds * _NANO}}
        version = shown["Version"]["Index"]
        self.manager.ask("POST", f"/swarm/update?version={version}", spec)

    def state(self, node: Node) -> str:
        """Return what the manager thinks of a node: `ready`, `down`, `unknown`."""
        return str(self.manager.ask("GET", f"/nodes/{node.id}")["Status"]["State"])

    def heal(self) -> None:
        """Bring every node back, and return once the manager has seen them."""
        for node in self.nodes:
            if not node.is_on:
                node.start()
            elif not node.has_engine:
                node.start_engine()
            node.mend()
        for node in self.nodes:
            self.set_availability(node, "active")
            self.label(node)
            until(lambda node=node: self.state(node) == "ready")  # type: ignore[misc]

    def left(self) -> list[str]:
        """Return what there is of the tests' services, secrets, locks and containers."""
        return [*self.services(), *self.secrets(), *self.locks(), *self.containers()]

    def clean(self) -> None:
        """Remove what there is of the tests, and return once it is gone."""
        for name in self.services():
            self.manager.ask("DELETE", f"/services/{name}")
        for secret in self.secrets():
            self.manager.ask("DELETE", f"/secrets/{secret}")
        for name in self.locks():
            self.manager.ask("DELETE", f"/configs/{name}")
        until(lambda: not self.containers())


@contextmanager
def only_session() -> Iterator[None]:
    """Wait until no other session uses such nodes on this machine, and keep others out."""
    lock = os.open(Path(tempfile.gettempdir(), "sidestream-swarm-tests"), os.O_CREAT, 0o644)
    with os.fdopen(lock) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def make_bed(*images: str) -> Iterator[Bed]:
    """Have three nodes with these images of the machine's engine; nothing is left of them."""
    sweep(PREFIX, FOLDER_PREFIX)
    _remove_cgroups(f"{PREFIX}*")
    switch, addresses = new_name(PREFIX), free_addresses()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
    nodes: list[Node] = []
    if _free_memory() > _ROOM_BYTES:
        # Three times the images are written and removed: quicker than on a disk, if there is room.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    ip("netns", "add", switch)
    try:
        ip("-n", switch, "link", "add", "switch", "type", "bridge")
        ip("-n", switch, "link", "set", "switch", "up")
        ip("link", "add", switch, "type", "veth", "peer", "name", "gateway", "netns", switch)
        ip("-n", switch, "link", "set", "gateway", "master", "switch", "up")
        ip("addr", "add", f"{addresses}.1/24", "dev", switch)
        ip("link", "set", switch, "up")
        for number in range(1, NODES + 1):
            node = _wired(folder / f"node{number}", switch, f"{addresses}.{10 + number}", number)
            nodes.append(node)
        with ThreadPoolExecutor() as threads:
            list(threads.map(Node.start, nodes))
            bed = Bed(nodes)
            _join(bed)
            tarball = folder / "images.tar"
            subprocess.run(["docker", "save", "--output", tarball, *images], check=True)
            list(threads.map(lambda node: _load(node, tarball), nodes))
            tarball.unlink()
        yield bed
    finally:
        for node in nodes:
            node.end()
            ip("netns", "del", node.network)
            _remove_cgroups(node.network)
        ip("netns", "del", switch)
        remove_folder(folder)


def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + _CEILING_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


def _free_memory() -> int:
    """Return the bytes of memory that are available."""
    told = Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()
    return int(told[0]) * 1024


def _wired(folder: Path, switch: str, address: str, number: int) -> Node:
    network = f"{switch}-{number}"
    folder.mkdir()
    ip("netns", "add", network)
    node = Node(folder, network, switch, address, number)
    ip(
        "-n",
        switch,
        "link",
        "add",
        node.name,
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        network,
    )
    ip("-n", switch, "link", "set", node.name, "master", "switch", "up")
    ip("-n", network, "addr", "add", f"{address}/24", "dev", "eth0")
    for device in ("eth0", "lo"):
        ip("-n", network, "link", "set", device, "up")
    return node


def _join(bed: Bed) -> None:
    place = f"{bed.manager.address}:2377"
    spec = {"Dispatcher": {"HeartbeatPeriod": HEARTBEAT_SECONDS * _NANO}}
    listening = {"ListenAddr": "0.0.0.0:2377"}
    bed.manager.ask("POST", "/swarm/init", {**listening, "AdvertiseAddr": place, "Spec": spec})
    token = bed.manager.ask("GET", "/swarm")["JoinTokens"]["Worker"]
    for node in bed.workers:
        words = {"AdvertiseAddr": node.address, "RemoteAddrs": [place], "JoinToken": token}
        node.ask("POST", "/swarm/join", {**listening, **words})
    for node in bed.nodes:
        node.id = node.ask("GET", "/info")["Swarm"]["NodeID"]
        until(lambda node=node: bed.state(node) == "ready")  # type: ignore[misc]


def _load(node: Node, tarball: Path) -> None:
    words = ["docker", f"--host={node.host}", "load", "--quiet", f"--input={tarball}"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def _remove_cgroups(name: str) -> None:
    """Remove the empty groups of nodes' containers, in either layout of the kernel."""
    for top in [*_CGROUPS.glob(f"*/{name}"), *_CGROUPS.glob(name)]:
        inner = sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True)
        for group in [*inner, top]:
            group.rmdir()


def _labelled() -> str:
    return quote(json.dumps({"label": [LABEL]}))


def _is_of_tests(labels: dict[str, str]) -> bool:
    return labels[LABEL].partition("-")[0] == INSTANCE
