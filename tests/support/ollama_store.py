"""A store of Ollama's with the small real model, written as `ollama create` leaves it.

The folder's layout is that of Ollama fb307609 (manifests like those of an image registry, one file
of `blobs/` for each layer). It is written here because `ollama create` checks weights by a program,
`llama-quantize`, whose build in `shared/servers` needs AVX-512; not every machine has that.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

_CONFIG = {
    "model_format": "gguf",
    "model_family": "llama",
    "model_families": ["llama"],
    "model_type": "134.52M",
    "file_type": "Q4_1",
    "architecture": "amd64",
    "os": "linux",
}
_TEMPLATE = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n"
    "{{ end }}<|im_start|>assistant\n"
)
_PARAMETERS = {"num_thread": 1, "stop": ["<|im_start|>", "<|im_end|>"]}


def put_model(store: Path, name: str, weights: Path) -> None:
    """Put the weights into the store as the model of that name; a tag is `latest` unless named."""
    name, _, tag = name.partition(":")
    layers = [
        ("model", _link(store, weights)),
        ("template", _write(store, _TEMPLATE.encode())),
        ("params", _write(store, json.dumps(_PARAMETERS).encode())),
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            **_write(store, json.dumps(_CONFIG).encode()),
        },
        "layers": [
            {"mediaType": f"application/vnd.ollama.image.{kind}", **blob} for kind, blob in layers
        ],
    }
    place = store / "manifests/registry.ollama.ai/library" / name / (tag or "latest")
    _replace(place, json.dumps(manifest).encode())


def _write(store: Path, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    _replace(store / "blobs" / f"sha256-{digest}", content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def _link(store: Path, weights: Path) -> dict[str, Any]:
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    place = store / "blobs" / f"sha256-{digest}"
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        try:
            os.link(weights, place)
        except OSError:  # Another file system.
            shutil.copyfile(weights, place)
    return {"digest": f"sha256:{digest}", "size": place.stat().st_size}


def _replace(place: Path, content: bytes) -> None:
    """Write the file at once: another server on this store may be reading it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f"{place.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(place)
