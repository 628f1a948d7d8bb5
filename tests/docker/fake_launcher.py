"""Start what a test wants by the command line of TGI, llama-server or vLLM, inside a container.

A container gets only what settings can ask for. So what it is to do is the name of the model:

    fake/never-healthy, fake/gated, …   the fake TGI with that fault
    fake/anything-else                  a quick, healthy fake TGI
    program/serve, program/exit, …      `tests/support/program.py`, told to do that
    eats-memory, reads-cache, …         one of `ACTIONS`

Whichever it is, `docker kill --signal USR1` has it take memory until somebody ends that.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from tests.fakes.tgi import run
from tests.fakes.tgi_options import FakeOptions

FAULTS: dict[str, FakeOptions] = {
    "never-healthy": FakeOptions(never_healthy=True),
    "slow-to-load": FakeOptions(load_seconds=2.0, download_files=3),
    "dies-while-loading": FakeOptions(die_while_loading=1),
    "gated": FakeOptions(die_while_loading=1, die_cause="gated"),
    "slow-words": FakeOptions(delay_ms=50.0, answer_tokens=10_000),
    "with-key": FakeOptions(api_key="very-secret-key"),
}


def eat_memory() -> None:
    """Take memory until somebody ends that."""
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1 << 20)))


def show_token() -> None:
    """Print what a careless program might, and end as if that had been the reason."""
    token = os.environ.get("HF_TOKEN", "")
    print(f"HF_TOKEN={token}", flush=True)
    print(f"Authorization: Bearer {token}", file=sys.stderr, flush=True)
    if "DOOR_PASSWORD" in os.environ:
        print(f"the door opens to {os.environ['DOOR_PASSWORD']}", flush=True)
    sys.exit(1)


def use_cache() -> None:
    """Read a file in the hub's cache that only its owner may read, and write one."""
    cache = Path(os.environ["HUGGINGFACE_HUB_CACHE"])
    print((cache / "private").read_text(), flush=True)
    (cache / "written").write_text("by the container")


async def serve_as_ollama() -> int:
    """Answer as an Ollama does that fetches a model without an end."""

    async def show(request: web.Request) -> web.Response:
        return web.json_response({"error": "not found"}, status=404)

    async def pull(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"status":"pulling","digest":"a","total":100,"completed":25}\n')
        await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_post("/api/show", show)
    app.router.add_post("/api/pull", pull)
    runner = web.AppRunner(app)
    await runner.setup()
    host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
    await web.TCPSite(runner, host, int(port)).start()
    await asyncio.Event().wait()
    return 0


ACTIONS: dict[str, Callable[[], None]] = {
    "eats-memory": eat_memory,
    "shows-token": show_token,
    "uses-cache": use_cache,
}


def main() -> int:
    """Do as the model's name says."""
    signal.signal(signal.SIGUSR1, lambda *_: eat_memory())
    if sys.argv[1:] == ["serve"] and "FAKE_OLLAMA" in os.environ:
        return asyncio.run(serve_as_ollama())
    parser = argparse.ArgumentParser(allow_abbrev=False)
    # As vLLM has it, without an option.
    parser.add_argument("model", nargs="?", default="")
    parser.add_argument("--model-id", "--hf-repo", default="")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--json-output", action="store_true")
    arguments, _ = parser.parse_known_args()
    model_id = arguments.model_id or arguments.model
    kind, _, name = model_id.rpartition("/")
    if name in ACTIONS:
        ACTIONS[name]()
        return 0
    if kind == "program":
        listener = _bound(arguments.port)
        listener.set_inheritable(True)
        # An engine reads the two streams side by side: which of two lines comes first is luck.
        os.dup2(1, 2)
        program = str(Path(__file__).parents[1] / "support" / "program.py")
        words = ["-S", "-E", "-u", program, name, "--fd", str(listener.fileno())]
        os.execv(sys.executable, [sys.executable, *words])
    options = replace(
        FAULTS.get(name, FakeOptions()),
        model_id=model_id,
        json_output=arguments.json_output,
    )
    return asyncio.run(run(options, lambda: _bound(arguments.port)))


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    return listener


if __name__ == "__main__":
    sys.exit(main())
