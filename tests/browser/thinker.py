"""A scripted model server that thinks, as a process, and a gateway that has its model."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

from tests.browser.conftest import running
from tests.browser.gateway import ROOT, Gateway
from tests.support.ports import free_ports

SETTINGS = """\
[server]
instance = {{instance}}
state_dir = {{directory}}
shutdown_grace = 0

[model thinker]
name = Thinker
runner = remote
dialect = openai
url = {url}/v1
"""


class Thinker:
    """The model server; `release` lets go on what its flag `--hold-after` pauses."""

    def __init__(self, *flags: str) -> None:
        port, _ = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.openai", f"--port={port}", *flags],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        assert "listening" in self._process.stdout.readline()

    def reaches(self, **counts: int) -> None:
        """Return once that many of something were counted."""
        query = "&".join(f"{name}={count}" for name, count in counts.items())
        urlopen(f"{self.url}/_fake/state?{query}").close()

    def release(self) -> None:
        urlopen(Request(f"{self.url}/_fake/release", method="POST")).close()

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)


@contextlib.contextmanager
def thinking(directory: Path, *flags: str) -> Iterator[tuple[Gateway, Thinker]]:
    """Run a model server with these flags, and a gateway before it, while the block lasts."""
    thinker = Thinker(*flags)
    try:
        with running(directory, SETTINGS.format(url=thinker.url)) as gateway:
            yield gateway, thinker
    finally:
        thinker.stop()
