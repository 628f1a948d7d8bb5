"""The gateway's own image, made by docs/deploy/Dockerfile.

Nothing can be fetched while it is built here: the one step that fetches packages is replaced by
one that copies them, and the one that installs libraries left out, since the base has them.
"""

import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

from tests.docker import image
from tests.support.gateway import ROOT


def name(tag: str) -> str:
    """Return the name of the image with that tag."""
    return f"{image.REPOSITORY}/gateway:{tag}"


@contextmanager
def built(tag: str) -> Iterator[None]:
    """Have the image under a name, and remove it in the end."""
    build(tag)
    yield
    subprocess.run(["docker", "rmi", tag], capture_output=True, check=False)


def run(*command: str, data: bytes | None = None) -> str:
    """Run a program that has to succeed; return what it says."""
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


def build(tag: str) -> None:
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
        ["docker", "build", "--quiet", "--tag", tag, "-"],
        data=context.getvalue(),
        environment={"DOCKER_BUILDKIT": "0"},
    )
