"""A Docker engine of a test's own, to be killed and started again: never the machine's.

It shares nothing with that one but the programs: own data, own socket, own containerd, own
bridge, and no firewall rules (published ports on loopback need none). It is started with
`--live-restore`, so that containers live on while it is away, as on many servers.

Bridges and networks outlive a session of tests that is killed, and two with one address would
lead nowhere: each gets a name and an address that nobody has, and `sweep` removes the leftovers.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.docker.engine import Engine

_CEILING_SECONDS = 60
_PREFIX = "sstest"
# Not the embedded engine's, whose leftovers that one sweeps.
_FOLDER_PREFIX = "sidestream-dockerd-"
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


class OwnEngine(Engine):
    """One dockerd with its containerd, in a folder of its own."""

    def __init__(
        self, folder: Path, bridge: str, options: Sequence[str], prefix: Sequence[str]
    ) -> None:
        super().__init__(folder / "docker.sock")
        self.folder = folder
        self._prefix = prefix
        self._containerd: subprocess.Popen[bytes] | None = None
        self._dockerd: subprocess.Popen[bytes] | None = None
        self._command = [
            "dockerd",
            f"--data-root={folder / 'data'}",
            f"--exec-root={folder / 'exec'}",
            f"--pidfile={folder / 'pid'}",
            f"--containerd={folder / 'containerd.sock'}",
            f"--host={self.host}",
            f"--bridge={bridge}",
            "--iptables=false",
            "--ip-forward=false",
            "--ip-masq=false",
            *options,
        ]

    @property
    def log(self) -> str:
        """Return what it has said."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """Tell whether dockerd runs."""
        return self._dockerd is not None and self._dockerd.poll() is None

    def start(self) -> None:
        """Start it and return once it answers."""
        if self._containerd is None:
            # A process of its own, as systems run it, for containers to outlive dockerd.
            words = [f"--{name}={self.folder / 'containerd'}-{name}" for name in ("root", "state")]
            address = f"--address={self.folder / 'containerd.sock'}"
            self._containerd = self._run(["containerd", address, *words])
        self._dockerd = self._run(self._command)
        deadline = time.monotonic() + _CEILING_SECONDS
        while time.monotonic() < deadline and self._dockerd.poll() is None:
            try:
                self.ask("GET", "/info")
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"the test's own engine does not start:\n{self.log[-3000:]}")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End dockerd that way, and return once it has ended; containers live on."""
        if self._dockerd is not None:
            self._dockerd.send_signal(number)
            self._dockerd.wait(_CEILING_SECONDS)
            # One that was killed leaves this, and the next would believe that it still runs.
            (self.folder / "pid").unlink(missing_ok=True)

    def end(self) -> None:
        """End everything, containers first, and remove what is left."""
        try:
            if self.is_running:
                for name in self.containers():
                    self.remove(name)
        finally:
            self.kill(signal.SIGTERM)
            if self._containerd is not None:
                self._containerd.terminate()
                self._containerd.wait(_CEILING_SECONDS)
            remove_folder(self.folder)

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            environment = {**os.environ, "PATH": PATH}
            return subprocess.Popen(
                [*self._prefix, *command], stdout=log, stderr=log, env=environment
            )

    def load(self, image: str) -> None:
        """Copy an image from the machine's engine."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
            subprocess.run(
                ["docker", f"--host={self.host}", "load", "--quiet"],
                stdin=saving.stdout,
                stdout=subprocess.DEVNULL,
                check=True,
            )


@contextmanager
def own_engine(*options: str, network: str = "") -> Iterator[OwnEngine]:
    """Run an engine of our own, in the named network if there is one; nothing is left of it."""
    prefix = into(network) if network else []
    inside = ["-n", network] if network else []
    bridge = new_name()
    ip(*inside, "link", "add", bridge, "type", "bridge")
    try:
        ip(*inside, "addr", "add", f"{free_addresses()}.1/24", "dev", bridge)
        ip(*inside, "link", "set", bridge, "up")
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
        engine = OwnEngine(folder, bridge, options, prefix)
        try:
            engine.start()
            yield engine
        finally:
            engine.end()
    finally:
        ip(*inside, "link", "del", bridge)


@contextmanager
def own_network() -> Iterator[tuple[str, str]]:
    """Have a network of its own with one wire to this machine: as good as another machine.

    Yields its name, and the address that leads there.
    """
    name, addresses = new_name(), free_addresses()
    ip("netns", "add", name)
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", f"{addresses}.1/30", "dev", name)
        ip("link", "set", name, "up")
        ip("-n", name, "addr", "add", f"{addresses}.2/30", "dev", "eth0")
        for device in ("eth0", "lo"):
            ip("-n", name, "link", "set", device, "up")
        yield name, f"{addresses}.2"
    finally:
        ip("netns", "del", name)


def into(network: str) -> list[str]:
    """Return what to put before a command that is to run in that network."""
    return ["nsenter", f"--net=/run/netns/{network}", "--"]


def sweep(prefix: str = _PREFIX, folder_prefix: str = _FOLDER_PREFIX) -> None:
    """Remove what killed sessions have left; no other session may be running."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and _is_of_an_engine(process, folder_prefix):
            os.kill(int(process.name), signal.SIGKILL)
    for folder in Path(tempfile.gettempdir()).glob(f"{folder_prefix}*"):
        remove_folder(folder)
    for network in Path("/run/netns").glob(f"{prefix}*"):
        ip("netns", "del", network.name)
    for link in json.loads(ip("-json", "link")):
        # The other end of a wire goes with the first.
        if link["ifname"].startswith(prefix):
            ip("link", "del", link["ifname"])


def _is_of_an_engine(process: Path, folder_prefix: str) -> bool:
    """Tell whether it is a program of such an engine, or one in its containers."""
    try:
        command = (process / "cmdline").read_bytes()
        root = (process / "mountinfo").read_bytes().partition(b"\n")[0]
    except OSError:  # it has just ended
        return False
    return folder_prefix.encode() in command + root


def remove_folder(folder: Path) -> None:
    """Remove an engine's folder with all that is mounted in it."""
    # Its own folder upon itself, and what it had no time to unmount when it was killed.
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed([one for one in mounts if one.startswith(str(folder))]):
        subprocess.run(["umount", "--lazy", place], check=True)
    shutil.rmtree(folder)


def new_name(prefix: str = _PREFIX) -> str:
    """Return a name that no link and no network has."""
    return prefix + secrets.token_hex(4)  # the kernel takes 15 characters


def free_addresses() -> str:
    """Return the first three numbers of addresses that lead nowhere yet."""
    routes = ip("-4", "route")
    return next(one for n in range(240, 255) if f"{(one := f'172.31.{n}')}." not in routes)


def ip(*words: str) -> str:
    """Run `ip` with these words, and return what it says."""
    done = subprocess.run(
        ["ip", *words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": PATH},
    )
    return done.stdout
