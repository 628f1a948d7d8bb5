"""Recorded ends of model servers, the causes to recognise in them, and a check.

The recordings are whole logs whose last line is `exit N`. In them the arguments, the paths and the
code that tracebacks quote are made up; that code speaks of other errors on purpose.
"""

import re
from pathlib import Path

from server.core.errors import ModelFailed
from server.models.diagnosis.causes import explain_exit
from server.models.logbook import LogLine
from server.models.runners.base import TAIL_LINES, Condition, Observation, Replica

STARTS = Path(__file__).resolve().parents[1] / "recordings" / "starts"

# The cause, and what is said of it.
CAUSES = {
    "embedded-arch": ("unsupported_model", "unknown model architecture: 'novam'"),
    "embedded-badoption": ("bad_argument", "'--host' is not allowed here"),
    "embedded-cut": ("broken_weights", "/tmp/cut.gguf is damaged or cut short (60000000 bytes)"),
    "embedded-nofile": ("weights_missing", "the weights /models/none.gguf does not exist"),
    "embedded-port": ("port_taken", "port: 8199"),
    "embedded-sum": ("wrong_sum", "has SHA-256 "),
    "embedded-tensor-cut": ("broken_weights", "is not within the file bounds"),
    "embedded-ulimit": ("memory_refused", "failed to allocate buffer for kv cache"),
    "hub-badtoken": ("bad_token", "HfHubHTTPError: Client error '401 Unauthorized'"),
    "hub-entry": ("weights_not_found", "RemoteEntryNotFoundError: 404 Client Error."),
    "hub-gated": ("gated_model", "GatedRepoError: 403 Client Error."),
    "hub-none": ("model_not_found", "RepositoryNotFoundError: 401 Client Error."),
    "hub-offline": ("not_cached", "OfflineModeIsEnabled: Cannot reach"),
    "hub-offline-snapshot": ("not_cached", "OfflineModeIsEnabled: Cannot reach"),
    "hub-refused": ("no_network", "ConnectError: [Errno 111] Connection refused"),
    "hub-rev": ("revision_not_found", "RevisionNotFoundError: 404 Client Error."),
    "llama.cpp-arch": ("unsupported_model", "unknown model architecture: 'novam'"),
    "llama.cpp-badarg": ("bad_argument", "--no-such-option"),
    "llama.cpp-badtpl": ("bad_template", "Unexpected token type"),
    "llama.cpp-badval": ("bad_argument", '"-c"'),
    "llama.cpp-cut": ("broken_weights", "tensor 'token_embd.weight' data is not within"),
    "llama.cpp-cuthead": ("broken_weights", "failed to read key-value pairs"),
    "llama.cpp-grammar": ("unknown", "std::runtime_error: failed to parse grammar"),
    "llama.cpp-mmproj": ("broken_weights", "invalid magic characters: 'hell'"),
    "llama.cpp-nofile": ("weights_missing", "'m/cut.gguf' (No such file or directory)"),
    "llama.cpp-port": ("port_taken", "port: 18990"),
    "llama.cpp-term": ("stopped_by_somebody", "ended without an error"),
    "llama.cpp-text": ("broken_weights", "invalid magic characters: 'hell'"),
    "llama.cpp-ulimit": ("memory_refused", "failed to allocate buffer for kv cache"),
    "tgi-arch": ("unsupported_model", "ValueError: Unsupported model type novamind"),
    "tgi-badarg": ("bad_argument", "unexpected argument '--no-such-option' found"),
    "tgi-limits": ("bad_argument", "`max_input_tokens`(4096) must be < `max_total_tokens`(2048)"),
    "tgi-metrics-port": ("port_taken", "failed to build prometheus recorder"),
    "tgi-missing": ("model_not_found", "RepositoryNotFoundError: 401 Client Error."),
    "tgi-nonetwork": ("no_network", "Max retries exceeded with url: /api/models/acme/smol-135m"),
    "tgi-porttaken": ("port_taken", "Failed to bind to 127.0.0.1:3000: Address already in use"),
    "tgi-prefill": ("bad_argument", "`max_batch_prefill_tokens` must be >= `max_input_tokens`"),
    "tgi-quantize": ("bad_argument", "invalid value 'nope' for '--quantize <QUANTIZE>'"),
    "tgi-shard-killed": ("killed", "(signal 9), most likely for memory"),
    "tgi-shard-killed-loading": ("killed", "(signal 9), most likely for memory"),
    "tgi-template": ("bad_template", "unknown statement endfor, in line 4"),
    "tgi-template-text": ("bad_template", "unknown statement endfor, in line 4"),
    "tgi-terminated": ("stopped_by_somebody", "ended without an error"),
    "tgi-text-mode": ("stopped_by_somebody", "was stopped by somebody else"),
    "tgi-tokenizer": ("unknown", "Exception: expected `,` or `}` at line 1 column 10"),
    "tgi-warm-up": ("gpu_out_of_memory_at_warm_up", "Not enough memory to handle 1024 prefill"),
    "tgi-warm-up-text": ("gpu_out_of_memory_at_warm_up", "Not enough memory to handle 1024"),
    "vllm-badarg": ("bad_argument", "unrecognized arguments: --no-such-option"),
    "vllm-hub-missing": ("model_not_found", "RepositoryNotFoundError: 401 Client Error."),
    "vllm-missing": ("not_a_model", "'/models/no-such-model'"),
    "vllm-porttaken": ("port_taken", "OSError: [Errno 98] Address already in use"),
    "vllm-sigterm-while-starting": ("stopped_by_somebody", "was stopped by somebody else"),
    "vllm-tensor-parallel": ("cannot_be_split", "attention heads (9) must be divisible by tensor"),
}


def read(path: Path) -> tuple[list[str], int | None]:
    """Return a log's lines, and the code that the server ended with as far as it is known."""
    lines = path.read_text(errors="replace").rstrip("\n").split("\n")
    ended = re.fullmatch(r"exit (\d+)", lines[-1])
    return (lines[:-1], int(ended[1])) if ended else (lines, None)


def explained(path: Path, engine: str = "") -> ModelFailed:
    """Read a log as a runner hands it on."""
    lines, code = read(path)
    tail = tuple(LogLine(0.0, "stdout", line) for line in lines)[-TAIL_LINES:]
    seen = Observation(Replica("t", "a"), Condition.EXITED, exit_code=code, tail=tail)
    return explain_exit(seen, engine)


def check(path: Path, expected: tuple[str, str], engine: str) -> None:
    """Read a log and compare the cause and the words."""
    failure = explained(path, engine)
    assert (failure.details or {})["cause"] == expected[0], failure.message
    assert expected[1] in failure.message
    assert "GPU that it can use" not in failure.message
    assert failure.hint or expected[0] == "unknown"
