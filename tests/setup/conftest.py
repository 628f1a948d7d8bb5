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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
    """A package index that makes every wheel it is asked for, and can be told to fail."""

    url: str = ""
    # Names of the packages whose wheels were fetched.
    fetched: list[str] = field(default_factory=list)
    # The package whose wheel cannot be had.
    broken: str = ""
    # What somebody on the way adds to each wheel.
    tail: bytes = b""
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
        out, err = process.communicate(timeout=100)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def pin(self, *names: str) -> None:
        """Make the lock files pin these packages."""
        write_locks(self.folder, names)

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
    with serving() as served:
        yield served


@contextmanager
def serving() -> Iterator[Index]:
    """Serve packages while the block lasts."""
    served = Index()
    served.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            last = self.path.rstrip("/").rpartition("/")[2]
            if not last.endswith(".whl"):
                self.answer(
                    200, f'<a href="/files/{file_name(last)}">{file_name(last)}</a>'.encode()
                )
                return
            served.asked.set()
            served.may_answer.wait(timeout=100)
            name = last.partition("-")[0]
            served.fetched.append(name)
            status = 404 if name == served.broken else 200
            self.answer(status, make_wheel(name) + served.tail)

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/simple"
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
    script = "import os, run; run.make_environment(os.open('run.py', 0)); run.write_record({})"
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, capture_output=True)
    return folder / ".venv"


@pytest.fixture(scope="session")
def full_environment(empty_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a `.venv` with all in it, set up by run.py itself, to be copied."""
    with serving() as index:
        project = project_in(tmp_path_factory.mktemp("full"), index)
        shutil.copytree(empty_environment, project.folder / ".venv", symlinks=True)
        assert project.run().returncode == 0
        assert index.asked.is_set()
    return project.folder / ".venv"


@pytest.fixture
def project(tmp_path: Path, index: Index) -> Project:
    """Return a project in which nothing is set up."""
    return project_in(tmp_path, index)


def project_in(parent: Path, index: Index) -> Project:
    """Lay out a project in that folder, whose packages come from the index."""
    folder = parent / "project"
    folder.mkdir()
    lay_out(folder)
    environment = {name: value for name, value in os.environ.items() if "PIP_" not in name}
    environment |= {
        "HOME": str(parent / "home"),
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
def set_up(project: Project, full_environment: Path) -> Project:
    """Return a project that is set up (moved there, which is as good)."""
    shutil.copytree(full_environment, project.folder / ".venv", symlinks=True)
    return project


def lay_out(folder: Path) -> None:
    """Write the files of a project whose one dependency is the tiny package."""
    shutil.copy(ROOT / "run.py", folder)
    (folder / "server").mkdir()
    (folder / "server/__init__.py").touch()
    (folder / "server/__main__.py").write_text(STAND_IN)
    write_locks(folder, ["tinydep"])


def write_locks(folder: Path, names: Iterable[str]) -> None:
    """Pin the packages as the real lock files do."""
    pins = [
        f"{name}==1.0 \\\n    --hash=sha256:{hashlib.sha256(make_wheel(name)).hexdigest()}\n"
        for name in names
    ]
    for lock in ("requirements.lock", "requirements-test.lock"):
        (folder / lock).write_text("# A comment\n" + "".join(pins))


def file_name(name: str) -> str:
    """Return the name of a package's wheel."""
    return f"{name}-1.0-py3-none-any.whl"


def make_wheel(name: str) -> bytes:
    """Return the bytes of a wheel of one module, the same every time."""
    about = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "VALUE = 42\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest())
        rows.append(f"{path},sha256={digest.rstrip(b'=').decode()},{len(content)}\n")
    files[f"{about}/RECORD"] = "".join([*rows, f"{about}/RECORD,,\n"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()
