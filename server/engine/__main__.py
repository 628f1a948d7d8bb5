"""The embedded engine's life: weights, model, server.

    arguments ─▶ weights ─▶ model loaded, port listens ─▶ serves until a signal
        2           1                   1

Rules:

1. A failed start ends with its cause as the last line of the log; the numbers are exit codes.
2. SIGTERM and SIGINT end it at once, whatever it does. The gateway
   waits for answers before, and partly fetched weights are kept for the next start.
3. llama.cpp writes its own log to standard error, in its own form.
"""

import signal
import sys
import threading
import time
from collections.abc import Sequence

from server.engine.arguments import Arguments, parse_arguments
from server.engine.llama import LlamaFailed, start_server
from server.engine.log import EngineLog
from server.weights.errors import WeightsFailed
from server.weights.gguf import ModelFile
from server.weights.obtaining import WeightsRequest, obtain_weights

_DRAFT, _PICTURES = "model-draft", "mmproj"


def main(argv: Sequence[str]) -> int:
    """Run the engine until a signal ends it; return the exit code of a start that failed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    arguments = parse_arguments(argv)
    log = EngineLog()
    log.capture_standard_logging()
    try:
        server = _start(arguments, log)
    except (WeightsFailed, LlamaFailed) as error:
        log.error(str(error))
        return 1
    log.phase("serving", "Connected")
    threading.Event().wait()
    del server
    return 0


def _start(arguments: Arguments, log: EngineLog) -> object:
    log.phase("downloading", f"Looking for the weights of {arguments.model_id}")
    model = obtain_weights(
        WeightsRequest(
            arguments.weights, arguments.model_id, arguments.weights_dir, arguments.weights_sha256
        ),
        log.write,
    )
    options = dict(arguments.options)
    for name in (_DRAFT, _PICTURES):
        if name in options:
            wanted = WeightsRequest(
                str(options[name]),
                f"{name} of {arguments.model_id}",
                arguments.weights_dir,
                None,
            )
            options[name] = str(obtain_weights(wanted, log.write).path)
    context_tokens = _context(arguments.context_tokens, model, log)
    log.phase("loading", f"Loading {model.path.name}")
    began = time.monotonic()
    server = start_server(
        model.path,
        port=arguments.port,
        key=arguments.key,
        alias=arguments.model_id,
        slots=arguments.slots,
        context_tokens=context_tokens,
        threads=arguments.threads,
        options=options,
    )
    log.write(f"Loaded {model.path.name} in {time.monotonic() - began:.1f} s")
    return server


def _context(asked_tokens: int, model: ModelFile, log: EngineLog) -> int:
    """Return how many tokens a request may hold: no more than the model was trained for."""
    trained_tokens = model.trained_context_tokens
    if trained_tokens is None or asked_tokens <= trained_tokens:
        return asked_tokens
    log.write(f"The model was trained for {trained_tokens} tokens; a request may hold as many")
    return trained_tokens


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
