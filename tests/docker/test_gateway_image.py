"""The image of docs/deploy/Dockerfile: it runs without rights, says how it is, and stops in order.

Nothing can be fetched while it is built here: the one step that fetches packages is replaced by
one that copies them, and the one that installs libraries left out, since the base has them.
"""

import io
import json
import re
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.docker import image
from tests.docker.engine import Engine
from tests.support.gateway import ROOT
from tests.support.ports import free_ports

TAG = f"{image.REPOSITORY}/gateway:latest"
NAME = "sidestream-test-gateway-image"
CEILING_SECONDS = 60


def run(*command: str, data: bytes | None = None) -> str:
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")[-3000:]
    return done.stdout.decode()


def dockerfile(base: str) -> str:
    """Return the Dockerfile without the steps that need a network."""
    text = (ROOT / "docs" / "deploy" / "Dockerfile").read_text()
    steps = {
        r"ARG BASE=.*\n": f"ARG BASE={base}\n",
        r"RUN apt-get update(?:.*\\\n)*.*\n": "RUN ln -s python3.11 /usr/bin/python3\n",
        r"RUN python3 -m pip install(?:.*\\\n)*.*\n": "COPY packages /opt/packages\n",
    }
    for step, ours in steps.items():
        assert len(re.findall(step, text)) == 1, step
        text = re.sub(step, ours, text)
    return text


def build() -> None:
    """Make the image from what git would send, as `.dockerignore` has it."""
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    text = dockerfile(image._base()).encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
        archive.add(image._packages(), "packages")
        for path in run("git", "-C", str(ROOT), "ls-files", "--", *allowed).splitlines():
            archive.add(ROOT / path, path)
    image._run(
        ["docker", "build", "--quiet", "--tag", TAG, "-"],
        data=context.getvalue(),
        environment={"DOCKER_BUILDKIT": "0"},
    )


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
    build()
    yield
    subprocess.run(["docker", "rmi", TAG], capture_output=True, check=False)


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
