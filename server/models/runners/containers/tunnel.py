"""Reach an engine on another machine through the user's own OpenSSH.

One `ssh` process forwards a local socket file to the engine's socket, and each port of the model
servers' range that is free here to the same port there. So keys, agents, jump hosts and known hosts
are those of `ssh HOST`, and a container that is published on the other machine's loopback answers
on this machine's loopback.
"""

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from server.core.docker_engine import ssh_command
from server.models.runners.ports import is_free

_OPEN_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05


class Tunnel:
    """One `ssh` process that forwards, and the folder of its socket."""

    def __init__(
        self, process: asyncio.subprocess.Process, folder: Path, ports: frozenset[int]
    ) -> None:
        self._process = process
        self._folder = folder
        self.socket = folder / "docker.sock"
        self.ports = ports
        """The ports that lead to the other machine."""

    @property
    def is_open(self) -> bool:
        """Tell whether `ssh` still runs."""
        return self._process.returncode is None

    @classmethod
    async def open(cls, host: str, *, ports: tuple[int, int]) -> "Tunnel":
        """Start `ssh` and return once it forwards; raises `OSError` with its error message."""
        # A short path, since a socket's path may have only about a hundred characters.
        folder = Path(tempfile.mkdtemp(prefix="sidestream-ssh-"))
        free = frozenset(filter(is_free, range(ports[0], ports[1] + 1)))
        try:
            process = await asyncio.create_subprocess_exec(
                *_command(host, folder / "docker.sock", free),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        tunnel = cls(process, folder, free)
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                # The only sign that ssh is ready is its socket.
                while tunnel.is_open and not tunnel.socket.exists():  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_SECONDS)
            if not tunnel.is_open:
                raise OSError(f"ssh: {await _last_words(process)}")
        except BaseException:
            await tunnel.close()
            raise
        return tunnel

    async def close(self) -> None:
        """End `ssh` and remove the socket."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)


def _command(host: str, socket: Path, ports: frozenset[int]) -> list[str]:
    options = ["-o", "ServerAliveInterval=15", "-o", "ConnectTimeout=15"]
    for port in sorted(ports):
        options += ["-L", f"127.0.0.1:{port}:127.0.0.1:{port}"]
    return ssh_command(host, socket, *options)


async def _last_words(process: asyncio.subprocess.Process) -> str:
    _, said = await process.communicate()
    lines = said.decode(errors="replace").strip().splitlines()
    return (
        lines[-1].removeprefix("ssh: ") if lines else f"ended with exit code {process.returncode}"
    )
