"""Start the fake TGI by the command line of TGI's launcher, inside a container.

A container gets only what settings can ask for. So what the fake is to do wrong is the name of
the model: `fake/never-healthy`, `fake/gated` and so on; any other name is a quick, healthy TGI.
"""

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Callable

from tests.fakes.tgi import run
from tests.fakes.tgi_options import FakeOptions

FAULTS: dict[str, FakeOptions] = {
    "never-healthy": FakeOptions(never_healthy=True),
    "slow-to-load": FakeOptions(load_seconds=2.0, download_files=3),
    "dies-while-loading": FakeOptions(die_while_loading=1),
    "gated": FakeOptions(die_while_loading=1, die_cause="gated"),
    "ignores-sigterm": FakeOptions(ignore_sigterm=True),
    "slow-words": FakeOptions(delay_ms=50.0),
    "holds": FakeOptions(hold_after=3),
}


def eat_memory() -> None:
    """Take memory until somebody ends that."""
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1 << 20)))


def show_environment() -> None:
    """Print what a careless program might, and end as if that had been the reason."""
    print("HF_TOKEN=" + os.environ.get("HF_TOKEN", ""), flush=True)
    print(f"Authorization: Bearer {os.environ.get('HF_TOKEN', '')}", file=sys.stderr, flush=True)
    sys.exit(1)


def read_cache() -> None:
    """Write into the hub's cache, read a file of somebody else's there, and say so."""
    cache = os.environ["HUGGINGFACE_HUB_CACHE"]
    with open(f"{cache}/private") as file:  # noqa: PTH123
        print(file.read(), flush=True)
    with open(f"{cache}/written", "w") as file:  # noqa: PTH123
        file.write("by the container")


ACTIONS: dict[str, Callable[[], None]] = {
    "eats-memory": eat_memory,
    "shows-environment": show_environment,
    "reads-cache": read_cache,
}


def main() -> int:
    """Do as the model's name says."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model-id", required=True)
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "80")))
    parser.add_argument("--json-output", action="store_true")
    arguments, _ = parser.parse_known_args()
    name = arguments.model_id.rpartition("/")[2]
    if name in ACTIONS:
        ACTIONS[name]()
    fault = FAULTS.get(name, FakeOptions())
    options = FakeOptions(
        **{
            **vars(fault),
            "model_id": arguments.model_id,
            "json_output": arguments.json_output,
            "api_key": os.environ.get("API_KEY"),
        }
    )
    return asyncio.run(run(options, lambda: _bound(arguments.port)))


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))  # noqa: S104
    return listener


if __name__ == "__main__":
    sys.exit(main())
