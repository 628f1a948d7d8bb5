"""A project as small as can be around the real run.py, and a package index on loopback for it."""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Tells how it was started, so that tests can see that run.py became it.
STAND_IN = (
    "import json, os, sys, tinydep\n"
    "print(json.dumps({'argv': sys.argv[1:], 'pid': os.getpid(), 'cwd': os.getcwd(),"
    " 'tinydep': tinydep.VALUE}))\n"
)


@dataclass
class Index:
    """A package index that serves one wheel, and can be told to hold it back."""

    url: str
    wheel: bytes
    asked: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)


@dataclass
class Project:
    """A folder with run.py, a lock file of one package, and a server that tells of itself."""

    folder: Path
    index: Index
    environment: dict[str, str]

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(self.folder / "run.py"), *words]

    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Start run.py without waiting for it."""
        settings: dict[str, Any] = {
            "cwd": self.folder,
            "env": self.environment,
            "text": True,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        return subprocess.Popen(self.command(*words), **(settings | more))

    def run(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run run.py to its end."""
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @property
    def record(self) -> Path:
        return self.folder / ".venv/sidestream.json"

    @property
    def package(self) -> Path:
        (found,) = self.folder.glob(".venv/lib/python3.*/site-packages/tinydep.py")
        return found


@pytest.fixture
def index() -> Iterator[Index]:
    """Serve the tiny package; ready to answer."""
    wheel = make_wheel()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_file = self.path.endswith(".whl")
            if is_file:
                served.asked.set()
                served.may_answer.wait(timeout=60)
            page = f'<a href="/files/{WHEEL_NAME}">{WHEEL_NAME}</a>'.encode()
            body = served.wheel if is_file else page
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Index(f"http://127.0.0.1:{server.server_port}/simple", wheel)
    served.may_answer.set()
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    yield served
    served.may_answer.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a `.venv` with nothing but pip in it, made by run.py itself, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    lay_out(folder)
    (folder / "requirements.lock").write_text("")
    script = "import os, run; run.make_environment(os.open('run.py', os.O_RDONLY))"
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, capture_output=True)
    record = (
        "import run; run.write_record({'for': run.MACHINE, 'installed': {}, 'unfinished': False})"
    )
    subprocess.run([sys.executable, "-c", record], cwd=folder, check=True)
    return folder / ".venv"


@pytest.fixture
def project(tmp_path: Path, index: Index) -> Project:
    """Return a project in which nothing is set up."""
    folder = tmp_path / "project"
    folder.mkdir()
    lay_out(folder)
    environment = {name: value for name, value in os.environ.items() if "PIP_" not in name}
    environment |= {
        "HOME": str(tmp_path / "home"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index.url,
        "PIP_RETRIES": "1",
    }
    return Project(folder, index, environment)


@pytest.fixture
def half_set_up(project: Project, empty_environment: Path) -> Project:
    """Return a project whose environment is made, but empty (saves seconds a test)."""
    shutil.copytree(empty_environment, project.folder / ".venv", symlinks=True)
    return project


@pytest.fixture
def set_up(half_set_up: Project) -> Project:
    """Return a project that is set up."""
    assert half_set_up.run().returncode == 0
    half_set_up.index.asked.clear()
    return half_set_up


WHEEL_NAME = "tinydep-1.0-py3-none-any.whl"


def lay_out(folder: Path) -> None:
    """Write the files of a project whose one dependency is the tiny package."""
    shutil.copy(ROOT / "run.py", folder)
    (folder / "server").mkdir()
    (folder / "server/__init__.py").touch()
    (folder / "server/__main__.py").write_text(STAND_IN)
    digest = hashlib.sha256(make_wheel()).hexdigest()
    for lock in ("requirements.lock", "requirements-test.lock"):
        (folder / lock).write_text(f"tinydep==1.0 \\\n    --hash=sha256:{digest}\n")


def make_wheel() -> bytes:
    """Return the bytes of a wheel of one module, the same every time."""
    files = {
        "tinydep.py": b"VALUE = 42\n",
        "tinydep-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tinydep\nVersion: 1.0\n",
        "tinydep-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(content)}\n")
    record = "tinydep-1.0.dist-info/RECORD"
    files[record] = "".join([*rows, f"{record},,\n"]).encode()
    return _zip(files)


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()
