"""Images of the real servers that `shared/servers` has, for tests that are there only with it."""

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

from tests.docker import image
from tests.support.real_servers import SERVERS

TGI_MODEL = "acme/smol-135m"
_DOCKERFILES = {
    "llama-server": (
        "llama.cpp/llama-server",
        """\
FROM {base}
COPY server /app/llama-server
ENTRYPOINT ["/app/llama-server"]
""",
    ),
    "ollama": (
        "ollama",
        """\
FROM {base}
COPY server /opt/ollama
ENTRYPOINT ["/opt/ollama/ollama"]
""",
    ),
}


def real_image(name: str) -> str:
    """Return the name of the image of a real server, made if it is not there."""
    return _tgi() if name == "tgi" else _of_program(name)


def put_tgi_model(hf_cache: Path) -> None:
    """Have the model of the real TGI's stand-in shard in a Hugging Face cache."""
    folder = hf_cache / "hub" / f"models--{TGI_MODEL.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0")
    (folder / "snapshots" / "0").mkdir(parents=True)
    for file in (SERVERS / "tgi" / "model").iterdir():
        (folder / "snapshots" / "0" / file.name).write_bytes(file.read_bytes())


def _tgi() -> str:
    script = SERVERS / "tgi" / "image"
    tag = f"{image.REPOSITORY}/real-tgi:{_digest([script, *sorted(script.parent.glob('text*'))])}"
    if not image._has_image(tag):
        with image._one_at_a_time():
            image._run(["sh", str(script), tag])
    return tag


def _of_program(name: str) -> str:
    place, dockerfile = _DOCKERFILES[name]
    source = SERVERS / place
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    digest = _digest([file for file in files if file.is_file()], dockerfile)
    tag = f"{image.REPOSITORY}/real-{name}:{digest}"
    if image._has_image(tag):
        return tag
    with image._one_at_a_time():
        text = dockerfile.format(base=image._base()).encode()
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            info = tarfile.TarInfo("Dockerfile")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
            archive.add(source, "server")
        image._run(
            ["docker", "build", "--quiet", "--tag", tag, "-"],
            data=context.getvalue(),
            environment={"DOCKER_BUILDKIT": "0"},
        )
    subprocess.run(["docker", "image", "inspect", tag], capture_output=True, check=True)
    return tag


def _digest(files: list[Path], text: str = "") -> str:
    digest = hashlib.sha256(text.encode())
    for file in files:
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]
