"""Programs that start in milliseconds, in place of the embedded engine."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from server.dialects.base import Endpoint
from server.models.catalogue.catalog import ModelSpec
from server.models.runners.ports import Claim, PortRange
from server.models.runners.programs.launch import Launch
from tests.support import program

Words = Callable[[ModelSpec, int], Sequence[str]]
"""Give the words of a program that listens at a port."""


class TestLauncher:
    """Start what `words` says; its server is spoken to in TGI's way."""

    __test__ = False

    def __init__(self, words: Words) -> None:
        self._words = words

    def claim(self, spec: ModelSpec, ports: PortRange) -> Claim:
        return ports.claim()

    async def launch(self, spec: ModelSpec, port: int) -> Launch:
        words = tuple(self._words(spec, port))
        return Launch(words, dict(os.environ), Endpoint(f"http://127.0.0.1:{port}"))


def program_launcher() -> TestLauncher:
    """Start `tests/support/program.py`; what it is to do stands where weights would."""

    def words(spec: ModelSpec, port: int) -> Sequence[str]:
        what = spec.settings.weights
        if what == "missing":
            return ["/nonexistent/engine"]
        path = str(Path(program.__file__))
        return [sys.executable, "-S", "-E", path, what, "--port", str(port)]

    return TestLauncher(words)


def fake_launcher(*flags: str) -> TestLauncher:
    """Start a fake TGI with those flags."""

    def words(_: ModelSpec, port: int) -> Sequence[str]:
        return [sys.executable, "-m", "tests.fakes.tgi", "--port", str(port), *flags]

    return TestLauncher(words)


def launcher_by_weights() -> TestLauncher:
    """Start a fake TGI by the flags in `weights`; for the hub's, in FAKE_OF_THE_HUB."""

    def words(spec: ModelSpec, port: int) -> Sequence[str]:
        weights = spec.settings.weights
        of_hub = os.environ.get("FAKE_OF_THE_HUB", "")
        flags = shlex.split(of_hub if weights.startswith("hf:") else weights.removeprefix("fake"))
        fake = [sys.executable, "-m", "tests.fakes.tgi", "--model-id", spec.id]
        return [*fake, "--port", str(port), *flags]

    return TestLauncher(words)
