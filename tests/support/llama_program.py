"""llama.cpp's own HTTP server, out of the wheel that the embedded engine uses, as a process.

`python -m tests.support.llama_program MODEL.gguf --port N [--slots N] [--context N] [--alias NAME]`
serves until SIGTERM. It stands in for a llama-server where none is installed.
"""

import argparse
import os
import signal
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.llama_program")
    parser.add_argument("model")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--context", type=int, default=2048, help="tokens of one slot")
    parser.add_argument("--alias", default="", help="the model's name in the list")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=0, help="tokens that are read in one piece")
    parser.add_argument("--template", default="", help="a chat template in place of the model's")
    arguments = parser.parse_args()
    # Before the threads of the library begin, which shall not be the ones to get the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = arguments.model
    options.hostnames = ["127.0.0.1"]
    options.port = arguments.port
    options.n_parallel = arguments.slots
    options.n_ctx = arguments.slots * arguments.context
    options.n_threads_http = arguments.slots + 8
    options.endpoint_slots = True
    options.endpoint_metrics = True
    options.ui = False
    options.warmup = False
    options.cpuparams.n_threads = arguments.threads
    options.cpuparams_batch.n_threads = arguments.threads
    if arguments.batch:
        options.n_batch = options.n_ubatch = arguments.batch
    if arguments.template:
        options.chat_template = arguments.template
    if arguments.alias:
        options.model_alias = {arguments.alias}
    if arguments.api_key:
        options.api_keys = [arguments.api_key]
    server = xllamacpp.Server(options)
    print(f"listening on {server.listening_address}", flush=True)
    signal.sigwait((signal.SIGTERM, signal.SIGINT))
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
