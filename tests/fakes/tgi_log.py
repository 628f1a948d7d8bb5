"""The log lines of TGI's launcher and router, as text or as `--json-output` writes them.

The order and the wording are TGI 3.3's: a gateway reads phases, progress and causes of death from
them. As there, the launcher prints its arguments with the API key among them, launcher lines nest
the message under `fields` in JSON and router lines do not, and the last words stay plain text.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.fakes.tgi_options import FakeOptions

LAUNCHER = "text_generation_launcher"
ROUTER = "text_generation_router::server"
_RANK: dict[str | None, dict[str, object]] = {"shard-manager": {"rank": 0}}


@dataclass(frozen=True)
class Line:
    """One line of the log before it is given its form."""

    message: str
    span: str | None = None
    level: str = "INFO"
    target: str = LAUNCHER


def start_lines(options: FakeOptions) -> Iterator[Line]:
    """Yield what is logged from the start of the process until its port is bound."""
    yield Line(_arguments(options))
    yield Line("Using attention paged - Prefix caching true")
    yield Line(f"Starting check and download process for {options.model_id}", "download")
    for number in range(1, options.download_files + 1):
        name = f"model-{number:05}-of-{options.download_files:05}.safetensors"
        yield Line(f"Download file: {name}")
        yield Line(f"Downloaded /data/hub/{name} in 0:00:01.")
        yield Line(f"Download: [{number}/{options.download_files}] -- ETA: 0:00:02")
    if not options.download_files:
        yield Line("Files are already present on the host. Skipping download.")
    yield Line(f"Successfully downloaded weights for {options.model_id}", "download")
    yield Line("Starting shard", "shard-manager")
    yield WAITING
    yield Line("Server started at unix:///tmp/text-generation-server-0")
    yield Line("Shard ready in 5.304520806s", "shard-manager")
    yield Line("Starting Webserver")
    yield Line("Warming up model", target="text_generation_router_v3")
    yield Line(f"Setting max batch total tokens to {options.max_total_tokens}")
    yield Line("Using backend V3")
    yield Line("Connected", target=ROUTER)


WAITING = Line("Waiting for shard to be ready...", "shard-manager")


def death_lines(cause: str) -> list[Line | str]:
    """Return the last words of a launcher that dies of `cause`; plain strings have no head."""
    error, final = _DEATHS[cause]
    return [*(Line(line, level="ERROR") for line in error), f"Error: {final}"]


_DOWNLOAD = "Download encountered an error: \nTraceback (most recent call last):\n"
_DEATHS: dict[str, tuple[tuple[str, ...], str]] = {
    "shard": (
        (
            "Shard complete standard error output:\n\nRuntimeError: Error when initializing model",
            "Shard 0 failed to start",
            "Shutting down shards",
        ),
        "ShardCannotStart",
    ),
    "download": ((f"{_DOWNLOAD}RepositoryNotFoundError: 401 Client Error.",), "DownloadError"),
    "gated": (
        (f"{_DOWNLOAD}GatedRepoError: 403 Client Error. Cannot access gated repo",),
        "DownloadError",
    ),
    "disk": ((f"{_DOWNLOAD}OSError: [Errno 28] No space left on device",), "DownloadError"),
    "memory": (
        (
            "Not enough memory to handle 4096 prefill tokens. "
            "You need to decrease `--max-batch-prefill-tokens`",
            "Webserver Crashed",
        ),
        "WebserverFailed",
    ),
    "port": (
        (
            "Failed to bind to 0.0.0.0:80: Address already in use (os error 98)",
            "Webserver Crashed",
        ),
        "WebserverFailed",
    ),
}


def write(options: FakeOptions, *lines: Line | str) -> None:
    """Print the lines to standard output in the form the options ask for, and flush."""
    for line in lines:
        print(line if isinstance(line, str) else _render(options, line))
    sys.stdout.flush()


def _render(options: FakeOptions, line: Line) -> str:
    time = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    if not options.json_output:
        head = f"{line.span}: " if line.span else ""
        tail = "".join(f" {name}={value}" for name, value in _RANK.get(line.span, {}).items())
        return f"{time} {line.level:>5} {head}{line.target}: {line.message}{tail}"
    fields: dict[str, object] = {"timestamp": time, "level": line.level}
    if line.target == LAUNCHER:
        body: dict[str, object] = {"fields": {"message": line.message}, "target": line.target}
        if line.span:
            span = _RANK.get(line.span, {}) | {"name": line.span}
            body |= {"span": span, "spans": [span]}
    else:
        body = {"message": line.message, "target": line.target, "filename": "server.rs"}
    return json.dumps(fields | body, separators=(",", ":"))


def _arguments(options: FakeOptions) -> str:
    key = "None" if options.api_key is None else f'Some(\n        "{options.api_key}",\n    )'
    return (
        f'Args {{\n    model_id: "{options.model_id}",\n    api_key: {key},\n'
        f"    max_concurrent_requests: {options.max_concurrent_requests},\n}}"
    )
