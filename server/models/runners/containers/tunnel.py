"""Reach an engine on another machine through the user's own OpenSSH.

One `ssh` process forwards a local socket file to the engine's socket, and each port of the model
servers' range that is free here to the same port there. So keys, agents, jump hosts and known hosts
are those of `ssh HOST`, and a container that is published on the other machine's loopback answers
on this machine's loopback.

Where there are several such machines, the same port would have to lead to all of them. There each
port is forwarded when it is needed, from one here that the kernel chooses.
"""

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from server.core.docker_engine import ssh_command, ssh_control
from server.models.runners.ports import is_free

_OPEN_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05
_CONTROL: Final = "control"


class Tunnel:
    """One `ssh` process that forwards, and the folder of its socket."""

    def __init__(
        self, process: asyncio.subprocess.Process, folder: Path, host: str, ports: frozenset[int]
    ) -> None:
        self._process = process
        self._folder = folder
        self._host = host
        self.socket = folder / "docker.sock"
        self.ports = ports
        """The ports that lead to the other machine."""

    @property
    def is_open(self) -> bool:
        """Tell whether `ssh` still runs."""
        return self._process.returncode is None

    @classmethod
    async def open(
        cls, host: str, *, ports: tuple[int, int], is_controlled: bool = False
    ) -> "Tunnel":
        """Start `ssh` and return once it forwards; raises `OSError` with its error message.

        If it `is_controlled`, it forwards none of the ports, and `forward` can be called.
        """
        # A short path, since a socket's path may have only about a hundred characters.
        folder = Path(tempfile.mkdtemp(prefix="sidestream-ssh-"))
        wanted = range(0) if is_controlled else range(ports[0], ports[1] + 1)
        free = frozenset(filter(is_free, wanted))
        control = ["-M", "-S", str(folder / _CONTROL)] if is_controlled else []
        try:
            process = await asyncio.create_subprocess_exec(
                *_command(host, folder / "docker.sock", free, control),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        tunnel = cls(process, folder, host, free)
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

    async def forward(self, port: int, local: int) -> None:
        """Have a port here lead to one on the other machine's loopback.

        Raises `OSError` with the words of `ssh` if it cannot; the port here may have been taken.
        """
        lead = f"127.0.0.1:{local}:127.0.0.1:{port}"
        process = await asyncio.create_subprocess_exec(
            *ssh_control(self._host, self._folder / _CONTROL, "forward", "-L", lead),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise OSError(f"ssh: {await _last_words(process)}")

    async def close(self) -> None:
        """End `ssh` and remove the socket."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)


def _command(host: str, socket: Path, ports: frozenset[int], control: list[str]) -> list[str]:
    options = ["-o", "ServerAliveInterval=15", "-o", "ConnectTimeout=15", *control]
    for port in sorted(ports):
        options += ["-L", f"127.0.0.1:{port}:127.0.0.1:{port}"]
    return ssh_command(host, socket, *options)


async def _last_words(process: asyncio.subprocess.Process) -> str:
    _, said = await process.communicate()
    lines = said.decode(errors="replace").strip().splitlines()
    return (
        lines[-1].removeprefix("ssh: ") if lines else f"ended with exit code {process.returncode}"
    )
