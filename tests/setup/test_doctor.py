"""The doctor: what it says of a machine, without anything installed."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from server.doctor.__main__ import examine
from server.doctor.findings import Finding, Wanted
from tests.setup.conftest import ROOT

CLOSED = "http://127.0.0.1:9"
HERMETIC = {"HF_ENDPOINT": CLOSED, "DOCKER_HOST": "unix:///nowhere/docker.sock"}


def ask(**environment: str) -> tuple[int, dict[str, Finding]]:
    """Return the doctor's exit code and its findings by name."""
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "run.py", "doctor", "--json"],
        env=os.environ | HERMETIC | environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert not done.stderr
    answer = json.loads(done.stdout)
    findings = {check["name"]: Finding(**check) for check in answer["checks"]}
    assert answer["can_run"] == (done.returncode == 0)
    return done.returncode, findings


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder.getsockname()[1]


@contextmanager
def free_port() -> Iterator[int]:
    """Yield a port that nobody listens on, and that nobody else is given meanwhile."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_machine_without_docker_and_hub_can_run() -> None:
    with free_port() as port:
        code, found = ask(SIDESTREAM_SERVER__PORT=str(port))
    assert code == 0
    assert found["docker"].level == "warn"
    assert "Only models in containers need it" in found["docker"].mend
    assert found["hub"].level == "warn"
    assert found["settings"].level == "ok"
    for name in ("python", "environment", "memory", "gpu", "disk", "model ports", "test tools"):
        assert found[name].seen


def test_taken_port_names_who_has_it_and_another_port() -> None:
    with taken_port() as port:
        code, found = ask(SIDESTREAM_SERVER__PORT=str(port))
    finding = found["server port"]
    assert code == 1
    assert finding.level == "fail"
    assert f"--port {port + 1}" in finding.mend
    if sys.platform == "linux":
        assert f"(process {os.getpid()})" in finding.seen


def test_model_ports_fail_only_when_all_are_taken() -> None:
    with free_port() as server_port, taken_port() as port:
        own = {"SIDESTREAM_SERVER__PORT": str(server_port)}
        code, found = ask(SIDESTREAM_ENGINES__PORTS=f"{port}-{port}", **own)
        assert (code, found["model ports"].level) == (1, "fail")
        first = port - 1
        code, found = ask(SIDESTREAM_ENGINES__PORTS=f"{first}-{port}", **own)
        assert str(port) in found["model ports"].seen


def test_wrong_settings_are_shown() -> None:
    code, found = ask(SIDESTREAM_SERVER__PORT="many")
    assert code == 1
    assert found["settings"].level == "fail"
    assert "[server] port" in found["settings"].seen


def test_the_settings_that_are_named_are_read(tmp_path: Path) -> None:
    (tmp_path / "my.ini").write_text("[server]\nport = many\n")
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "run.py", "doctor", "--json", "--settings", "my.ini"],
        cwd=tmp_path,
        env=os.environ | HERMETIC,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    (found,) = [one for one in json.loads(done.stdout)["checks"] if one["name"] == "settings"]
    assert found["level"] == "fail"
    assert str(tmp_path / "my.ini") in found["seen"]


async def test_hub_that_answers_is_reachable_whatever_it_says(aiohttp_server: Any) -> None:
    hub = await aiohttp_server(web.Application())
    _, found = await asyncio.to_thread(ask, HF_ENDPOINT=str(hub.make_url("/")))
    assert found["hub"].level == "ok"


async def test_docker_engine_on_a_socket_file_tells_its_version(engine_socket: Path) -> None:
    _, found = await asyncio.to_thread(ask, DOCKER_HOST=f"unix://{engine_socket}")
    assert found["docker"] == Finding("docker", "ok", "engine 28.0.1, API 1.48")


def test_docker_host_of_an_unknown_kind_is_said() -> None:
    _, found = ask(DOCKER_HOST="ssh://somewhere")
    assert "ssh://somewhere" in found["docker"].seen


def test_check_that_hangs_is_left_behind() -> None:
    never = threading.Event()

    def check_nothing(_: Wanted) -> Finding:
        never.wait()
        raise AssertionError

    def check_quick(_: Wanted) -> Finding:
        return Finding("quick", "ok", "seen")

    found = examine((check_nothing, check_quick), Wanted(), ceiling_seconds=2.0)
    assert [finding.seen for finding in found] == ["could not be told in time", "seen"]
    assert found[0].name == "nothing"


def test_text_shows_the_mend_below_what_was_seen() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "doctor"],
        env=os.environ | HERMETIC,
        text=True,
        capture_output=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    (number,) = (number for number, line in enumerate(lines) if line.startswith("warn  docker"))
    assert lines[number + 1].lstrip().startswith("-> Only models in containers")


@pytest.fixture
async def engine_socket(tmp_path: Path) -> AsyncIterator[Path]:
    """Serve what a Docker engine says of its version on a socket file."""

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"Version": "28.0.1", "ApiVersion": "1.48"})

    app = web.Application()
    app.router.add_get("/version", version)
    runner = web.AppRunner(app)
    await runner.setup()
    path = tmp_path / "docker.sock"
    await web.UnixSite(runner, str(path)).start()
    yield path
    await runner.cleanup()
