"""What carries the tokens: the gateway, nginx, or nothing at all; and the upstream behind it.

Each is a context that starts processes and ends them, whatever happens in between. `pids` are the
processes whose CPU time and memory count: those that relay.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.relay.forms import MODEL
from benchmarks.relay.processes import start_child, with_children
from benchmarks.relay.readers import MODELS
from benchmarks.relay.upstream import ADDRESSES

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 15.0

# Nothing here is left at a default that costs time: no log, no buffering, no limit near.
_NGINX: Final = """
daemon off;
worker_processes 1;
user root;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 40000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_timeout 600;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_read_timeout 600;
    }}
  }}
}}
"""

_SETTINGS: Final = """
[server]
host = 127.0.0.1
port = 0
instance = bench
log_level = {log_level}
state_dir = {folder}/state
max_sockets = 20000
[discovery]
enabled = no
[sessions]
max_sessions = 20000
max_live_per_owner = 20000
[answers]
max_queue = 20000
"""
_MODEL: Final = """
[model {name}]
runner = remote
{where}
{how}
"""
# How the gateway asks the one upstream, which speaks all of these.
_HOW: Final = {
    "tgi": "dialect = tgi",
    "openai": "dialect = openai\nflavour = plain",
    "ollama": f"dialect = ollama\nmodel_id = {MODEL}",
}


class RelayError(Exception):
    """A relay could not be started."""


@dataclass(frozen=True)
class Relay:
    """Where a relay listens, and which processes it consists of."""

    port: int
    pids: list[int]


@asynccontextmanager
async def upstream(*module: str) -> AsyncIterator[int]:
    """Run the fake model server, or another module with its words; give its port."""
    command = [sys.executable, "-m", *(module or ("benchmarks.relay.upstream",))]
    async with _process(command, stdin=subprocess.PIPE) as process:
        yield int(await _line(process, r"(\d+)"))


@asynccontextmanager
async def direct(upstream_port: int) -> AsyncIterator[Relay]:
    """Carry nothing: the client asks the upstream itself."""
    yield Relay(upstream_port, [])


@asynccontextmanager
async def nginx(upstream_port: int) -> AsyncIterator[Relay]:
    """Run nginx with one worker that passes everything through unbuffered."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="bench-nginx-") as folder:
        config = _write(folder, _NGINX.format(folder=folder, port=port, upstream=upstream_port))
        async with _process([_nginx_program(), "-p", folder, "-c", config]) as process:
            await _until_open(port, process)
            _, *workers = with_children(process.pid)
            yield Relay(port, workers)


@asynccontextmanager
async def gateway(
    upstream_port: int,
    wrapper: tuple[str, ...] = ("-m", "server"),
    models: Iterable[str] = MODELS,
    form: str = "tgi",
    *,
    has_replicas: bool = False,
) -> AsyncIterator[Relay]:
    """Run the gateway with remote models.

    `wrapper` is what Python is told to run, `form` the form in which the gateway asks. With
    `has_replicas` each model has eight.
    """
    addresses = [f"http://{address}:{upstream_port}" for address in ADDRESSES]
    where = f"urls = {', '.join(addresses)}" if has_replicas else f"url = {addresses[0]}"
    sections = [_MODEL.format(name=name, where=where, how=_HOW[form]) for name in models]
    async with gateway_with("".join(sections), wrapper) as relay:
        yield relay


@asynccontextmanager
async def gateway_with(
    sections: str, wrapper: tuple[str, ...] = ("-m", "server"), *, log_level: str = "warning"
) -> AsyncIterator[Relay]:
    """Run the gateway with these sections behind `[server]` and the limits of ours."""
    with tempfile.TemporaryDirectory(prefix="bench-gateway-") as folder:
        ours = _SETTINGS.format(folder=folder, log_level=log_level)
        settings = _write(folder, ours + sections)
        command = [sys.executable, *wrapper, "--settings", settings]
        async with _process(command) as process:
            port = int(await _line(process, r" is at http://[^/]*:(\d+)"))
            yield Relay(port, [process.pid])


GATEWAYS: Final = {"gateway": "tgi", "gateway-openai": "openai", "gateway-ollama": "ollama"}
"""The gateway under the names by which it is measured, and the form in which it asks."""

RELAYS: Final[dict[str, Callable[[int], AbstractAsyncContextManager[Relay]]]] = {
    "direct": direct,
    "nginx": nginx,
    **{name: partial(gateway, form=form) for name, form in GATEWAYS.items()},
    "gateway-replicas": partial(gateway, has_replicas=True),
}


def nginx_version() -> str:
    """Return the installed nginx's version; empty where there is none."""
    try:
        done = subprocess.run([_nginx_program(), "-v"], capture_output=True, text=True, check=True)
    except RelayError:
        return ""
    return done.stderr.strip().rpartition("/")[2]


def _nginx_program() -> str:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    program = shutil.which("nginx", path=path)
    if program is None:
        raise RelayError("nginx is not installed (Debian: apt-get install nginx)")
    return program


def _write(folder: str, text: str) -> str:
    path = Path(folder, "settings")
    path.write_text(text)
    return str(path)


@asynccontextmanager
async def _process(
    command: list[str], stdin: int = subprocess.DEVNULL
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SIDESTREAM_")}
    process = await start_child(
        *command, cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, env=environment
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _line(process: asyncio.subprocess.Process, pattern: str) -> str:
    """Return what the first line that a process prints says."""
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        line = (await process.stdout.readline()).decode()
    found = re.search(pattern, line)
    if found is None:
        raise RelayError(f"a process ended, or said what was not expected: {line!r}")
    return found[1]


async def _until_open(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_SECONDS):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
    raise RelayError("nginx ended at once; its words are above")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
