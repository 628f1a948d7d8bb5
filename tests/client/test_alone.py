"""The client comes alone: no other part of the server, no library but aiohttp."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import importlib.abc, sys

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        parts = name.split(".")
        is_ours = parts[0] == "server" and parts[1:2] not in ([], ["client"])
        if is_ours or parts[0] in {blocked}:
            raise ImportError(f"{{name}} is not here")

sys.meta_path.insert(0, Nothing())
import asyncio
import server.client

async def main():
    try:
        async with server.client.connect("ws://127.0.0.1:1/ws"):
            pass
    except server.client.SidestreamError as error:
        print(error.code)

asyncio.run(main())
"""


def test_client_can_be_used_without_the_libraries_of_the_server() -> None:
    blocked = {"msgspec", "jinja2", "aiodocker", "huggingface_hub", "uvloop", "xllamacpp"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(blocked=blocked)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("connection_closed\n", "")


def test_the_test_would_notice() -> None:
    program = PROGRAM.replace("import server.client\n", "import server.client, server.core\n")
    done = subprocess.run(
        [sys.executable, "-c", program.format(blocked="{}")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "server.core is not here" in done.stderr
