"""The image of docs/deploy/Dockerfile: it runs without rights, tells its health, stops in order."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.docker import gateway_image
from tests.docker.engine import Engine
from tests.docker.gateway_image import run
from tests.support.ports import free_ports

TAG = gateway_image.name("latest")
NAME = "sidestream-test-gateway-image"
CEILING_SECONDS = 60


@contextmanager
def running(port: int) -> Iterator[None]:
    """Run the image as the compose file does, as far as that concerns it."""
    limits = ("--init", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")
    environment = (
        "--env",
        f"SIDESTREAM_SERVER__PORT={port}",
        "--env",
        "SIDESTREAM_DISCOVERY__ENABLED=no",
        "--health-interval",
        "1s",
    )
    run(
        "docker", "run", "--detach", "--network", "host", "--name", NAME, *limits, *environment, TAG
    )
    try:
        yield
    finally:
        run("docker", "rm", "--force", "--volumes", NAME)


def until(what: str, wanted: str) -> None:
    """Return once the container is like that."""
    deadline = time.monotonic() + CEILING_SECONDS
    while (seen := run("docker", "inspect", "--format", what, NAME).strip()) != wanted:
        assert time.monotonic() < deadline, seen + run("docker", "logs", NAME)
        time.sleep(0.1)


@pytest.fixture(scope="module")
def built(alone: None) -> Iterator[None]:
    """Build the image, and remove it in the end."""
    with gateway_image.built(TAG):
        yield


def test_the_image_serves_without_rights_reloads_and_stops(built: None, engine: Engine) -> None:
    port, _ = free_ports(1)
    with running(port):
        until("{{.State.Health.Status}}", "healthy")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready") as answer:
            assert json.load(answer)["ready"] is True
        assert (
            run("docker", "exec", NAME, "python3", "-c", "import os; print(os.getuid())")
            == "10001\n"
        )
        reloaded = run("docker", "exec", NAME, "python3", "-m", "server.reload")
        assert reloaded == "Nothing is new.\n"
        run("docker", "stop", "--time", "30", NAME)
        until("{{.State.ExitCode}}", "0")
        logs = subprocess.run(["docker", "logs", NAME], capture_output=True, text=True, check=True)
        assert json.loads(logs.stderr.splitlines()[-1])["message"] == "stopping"


def test_the_image_holds_only_the_files_of_the_gateway(built: None, engine: Engine) -> None:
    listing = run(
        "docker",
        "run",
        "--rm",
        "--entrypoint",
        "python3",
        TAG,
        "-c",
        "import os; print(sorted(os.listdir('/app')))",
    )
    assert listing == "['requirements.lock', 'server', 'settings.ini', 'static', 'templates']\n"
