"""Images for the tests, made without a registry.

    base      a Debian with Python, by debootstrap (root, about a minute, once)
    packages  what requirements.lock pins, as wheels for the base's Python (once for each lock)
    llama     base + packages + llama.cpp's own server, started as its own image is
    fake      base + packages + the fake TGI; what goes wrong is chosen by the model's id
    broken    base, with a program that is not there

Base and packages are kept in the user's cache, outside the repository; images are named by a
hash of what is in them, so that an unchanged one is not made again.
"""

import fcntl
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.real_servers import small_model

ROOT = Path(__file__).resolve().parents[2]
MODEL = "acme/smollm2-135m-GGUF"
"""The small real model in a cache that `put_model` has filled."""
REPOSITORY = "sidestream-test"
SUITE, PYTHON = "bookworm", "3.11"
PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "libgomp1", "libstdc++6")

_COMMON = """\
FROM {base}
COPY packages /opt/packages
COPY app /app
WORKDIR /app
ENV PYTHONPATH=/opt/packages PYTHONUNBUFFERED=1 PORT=80
"""
_LLAMA = f"""{_COMMON}ENTRYPOINT ["python3.11", "-m", "tests.docker.llama_server"]
"""
_FAKE = f"""{_COMMON}ENTRYPOINT ["python3.11", "-m", "tests.docker.fake_launcher"]
"""


_BROKEN = """\
FROM {base}
ENTRYPOINT ["/nonexistent/engine"]
"""


def llama_image() -> str:
    """Return the name of the image with llama.cpp's own server, made if it is not there."""
    return _image("llama", _LLAMA, ["tests/docker/llama_server.py"])


def put_model(hf_cache: Path, model: str = MODEL) -> None:
    """Have the small real model in a Hugging Face cache, as if it had been fetched."""
    weights = small_model()
    folder = hf_cache / "hub" / f"models--{model.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (folder / "blobs").mkdir()
    blob = folder / "blobs" / hashlib.sha256(model.encode()).hexdigest()
    shutil.copyfile(weights, blob)
    link = folder / "snapshots" / ("0" * 40) / "smollm2-135m.Q4_1.gguf"
    link.symlink_to(f"../../blobs/{blob.name}")


def fake_image() -> str:
    """Return the name of the image with the fake TGI, made if it is not there."""
    programs = ["tests/fakes", "tests/docker/fake_launcher.py", "tests/support/program.py"]
    return _image("fake", _FAKE, programs)


def broken_image() -> str:
    """Return the name of an image that cannot be run, made if it is not there."""
    return _image("broken", _BROKEN, [])


def _image(name: str, dockerfile: str, sources: Iterable[str]) -> str:
    app = sorted(path for source in sources for path in _sources(ROOT / source))
    digest = hashlib.sha256(dockerfile.encode() + (ROOT / "requirements.lock").read_bytes())
    for path in app:
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    tag = f"{REPOSITORY}/{name}:{digest.hexdigest()[:12]}"
    if not _has_image(tag):
        with _one_at_a_time():
            base, packages = _base(), _packages()
            _build(tag, dockerfile.format(base=base), app, packages)
            _forget_others(tag)
    return tag


def _forget_others(tag: str) -> None:
    """Remove images of the same kind that were made from other sources, if nobody uses them."""
    listed = subprocess.run(
        ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", tag.partition(":")[0]],
        capture_output=True,
        text=True,
        check=True,
    )
    for other in set(listed.stdout.split()) - {tag}:
        subprocess.run(["docker", "rmi", other], capture_output=True, check=False)


def _sources(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    yield from path.rglob("*.py")
    package = path.parent
    while package != ROOT:
        if (package / "__init__.py").exists():
            yield package / "__init__.py"
        package = package.parent


def _build(tag: str, dockerfile: str, app: list[Path], packages: Path) -> None:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(dockerfile)
        archive.addfile(info, io.BytesIO(dockerfile.encode()))
        archive.add(packages, "packages")
        for path in dict.fromkeys(app):
            archive.add(path, f"app/{path.relative_to(ROOT).as_posix()}")
    # The classic builder is in every engine; the other is a program of its own.
    _run(
        ["docker", "build", "--quiet", "--tag", tag, "-"],
        data=context.getvalue(),
        environment={"DOCKER_BUILDKIT": "0"},
    )


def _base() -> str:
    tag = f"{REPOSITORY}/base:{hashlib.sha256(repr((SUITE, PACKAGES)).encode()).hexdigest()[:12]}"
    if _has_image(tag):
        return tag
    tarball = _cache() / f"{tag.replace('/', '-').replace(':', '-')}.tar"
    if not tarball.exists():
        folder = _cache() / "rootfs"
        shutil.rmtree(folder, ignore_errors=True)
        wanted = f"--include={','.join(PACKAGES)}"
        _run(["debootstrap", "--variant=minbase", wanted, SUITE, str(folder), _mirror()])
        unfinished = tarball.with_suffix(".new")
        left_out = ["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*"]
        _run(["tar", "-C", str(folder), *left_out, "-c", "-f", str(unfinished), "."])
        unfinished.rename(tarball)
        shutil.rmtree(folder)
    _run(["docker", "import", str(tarball), tag])
    return tag


def _packages() -> Path:
    lock = ROOT / "requirements.lock"
    folder = _cache() / f"packages-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        unfinished = folder.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        pinned = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(lock)]
        machine = ["--python-version", PYTHON, "--implementation", "cp"]
        for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none"):
            machine += ["--abi", abi]
        for platform in ("manylinux_2_28", "manylinux_2_17", "manylinux2014"):
            machine += ["--platform", f"{platform}_{os.uname().machine}"]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        _run([*pip, "install", "--target", str(unfinished), "--no-compile", *machine, *pinned])
        unfinished.rename(folder)
    return folder


def _mirror() -> str:
    """Return where this machine's own apt gets Debian from."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(place.read_text() for place in places if place.is_file())
    pattern = r"^(?:URIs:\s*|deb\s+(?:\[[^]]*\]\s*)?)(\S+/debian/?)(?:\s|$)"
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise RuntimeError("apt's sources name no Debian mirror to make a base from")
    return found[1]


def _cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(cache).expanduser() / "sidestream" / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (_cache() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _has_image(tag: str) -> bool:
    seen = subprocess.run(["docker", "image", "inspect", tag], capture_output=True, check=False)
    return seen.returncode == 0


def _run(
    command: list[str], *, data: bytes | None = None, environment: dict[str, str] | None = None
) -> None:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    done = subprocess.run(
        command,
        input=data,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": path, **(environment or {})},
        check=False,
    )
    said = done.stdout.decode(errors="replace")[-3000:]
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{said}"
