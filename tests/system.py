"""What tests need from the system, how to see that it is there, and how to install it.

`python3 run.py test --system` runs this file before anything is installed, so it needs the
standard library only. On Debian (and what descends from it) as root it installs what is missing;
elsewhere it says what to install. A test marked `needs_X` is skipped where X is missing.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from server.doctor.checks import find_chromium
from server.doctor.docker import DockerUnavailable, ask_docker

ROOT = Path(__file__).resolve().parent.parent
# Beside the project, or elsewhere for who works in a second tree of it: real model servers.
SHARED = Path(os.environ.get("SIDESTREAM_SHARED") or ROOT.parent / "shared")


@dataclass(frozen=True, eq=False)
class Need:
    """One thing of the system's that some tests cannot do without."""

    name: str
    # Debian's packages, each with what tells that it is there already.
    packages: dict[str, Callable[[], bool]]
    # Relative to the project, or absolute; while it does not exist, nothing needs this yet.
    used_in: str
    # The marker of the tests that are skipped while `works` says no; none: all need it.
    marker: str = ""
    works: Callable[[], bool] = lambda: True

    @property
    def missing_packages(self) -> list[str]:
        """Return the packages to install for the tests that this project has."""
        if not (ROOT / self.used_in).exists():
            return []
        return [package for package, is_there in self.packages.items() if not is_there()]


def _program(*names: str) -> Callable[[], bool]:
    # What only root runs is not on everybody's PATH.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return lambda: all(shutil.which(name, path=path) for name in names)


def _library(name: str) -> Callable[[], bool]:
    return lambda: any(Path("/usr/lib").glob(f"*/{name}"))


def _has_engine() -> bool:
    try:
        ask_docker("/version")
    except DockerUnavailable:
        return False
    return True


def _can_separate() -> bool:
    """Tell whether root may have networks and trees of processes of its own here."""
    try:
        done = subprocess.run(
            [
                "unshare",
                "--net",
                "--pid",
                "--fork",
                "--mount",
                "--uts",
                "--ipc",
                "--mount-proc",
                "true",
            ],
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


NEEDS = (
    Need(
        name="Python's venv module",
        packages={
            f"python3.{sys.version_info.minor}-venv": (
                lambda: importlib.util.find_spec("ensurepip") is not None
            )
        },
        used_in="run.py",
    ),
    Need(
        name="Node.js with npm",
        packages={"nodejs": _program("node"), "npm": _program("npm")},
        used_in="tests/js",
        marker="needs_node",
        works=_program("node", "npm"),
    ),
    Need(
        name="Chromium",
        packages={
            "chromium": lambda: find_chromium() is not None,
            # Without a font, a screenshot shows boxes.
            "fonts-dejavu-core": Path("/usr/share/fonts/truetype/dejavu").exists,
        },
        used_in="tests/browser",
        marker="needs_chromium",
        works=lambda: find_chromium() is not None,
    ),
    Need(
        name="nginx",
        packages={"nginx-light": _program("nginx"), "openssl": _program("openssl")},
        used_in="tests/deploy",
        marker="needs_nginx",
        works=_program("nginx", "openssl"),
    ),
    Need(
        name="systemd",
        packages={"systemd": _program("systemd-analyze")},
        used_in="tests/deploy",
        marker="needs_systemd",
        works=_program("systemd-analyze"),
    ),
    Need(
        name="openssl",
        packages={"openssl": _program("openssl")},
        used_in="tests/access",
        marker="needs_openssl",
        works=_program("openssl"),
    ),
    Need(
        name="a Docker engine",
        packages={
            "docker.io": lambda: _program("dockerd")() or _has_engine(),
            "iptables": _program("iptables"),
            "debootstrap": _program("debootstrap"),
            "iproute2": _program("ip"),
        },
        used_in="tests/docker",
        marker="needs_docker",
        # Images and engines of the tests' own are made by root only, and with these.
        works=lambda: os.geteuid() == 0 and _has_engine() and _program("debootstrap", "ip")(),
    ),
    Need(
        name="several machines with Docker engines",
        # Each is a network, a tree of processes and an engine, which the engine's own package
        # brings along but for these.
        packages={"tini": _program("tini-static"), "util-linux": _program("nsenter", "unshare")},
        used_in="tests/swarm",
        marker="needs_swarm",
        works=lambda: (
            os.geteuid() == 0
            and _has_engine()
            and _program("dockerd", "debootstrap", "ip", "iptables", "tini-static")()
            and _can_separate()
        ),
    ),
    Need(
        name="OpenSSH (client and server)",
        # Engines on other machines are reached through these, and tested against these.
        packages={
            "openssh-client": _program("ssh", "ssh-keygen"),
            "openssh-server": _program("sshd"),
        },
        used_in="tests/docker",
        marker="needs_ssh",
        works=_program("ssh", "ssh-keygen", "sshd"),
    ),
    # Their tests are left out where the folder is missing, so there is no marker.
    Need(
        name="the libraries of real model servers",
        packages={
            "libpython3.11": _library("libpython3.11.so.1.0"),
            "libssl3": _library("libssl.so.3"),
            "libgomp1": _library("libgomp.so.1"),
        },
        used_in=str(SHARED / "servers"),
    ),
)


def main() -> int:
    """Install what is missing, or say what to install; returns 1 if something stays missing."""
    missing = {need.name: need.missing_packages for need in NEEDS if need.missing_packages}
    if not missing:
        return 0
    packages = [package for several in missing.values() for package in several]
    names = ", ".join(missing)
    if shutil.which("apt-get") is None:
        print(f"Install with your system's package manager: {names}.", file=sys.stderr)
        return 1
    if os.geteuid() != 0:
        command = f"sudo apt-get install {' '.join(packages)}"
        print(f"Only root may install {names}: {command}", file=sys.stderr)
        return 1
    print(f"Installing {names} ({' '.join(packages)})", flush=True)
    quietly = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "-qq", *words],
            env=quietly,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            print(done.stdout[-2000:], file=sys.stderr)
            print(f"apt-get {words[0]} failed; see above.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
