"""The processes that a benchmark starts end with it, however it ends."""

import asyncio
import subprocess
import sys
from contextlib import suppress

from tests.support.processes import Watched

# A process that starts another, which never ends by itself, tells its id and waits.
_PARENT = """
import asyncio, sys
from benchmarks.relay.processes import start_child

async def main():
    child = await start_child(sys.executable, "-c", "import time; time.sleep(1000)")
    print(child.pid, flush=True)
    await child.wait()

asyncio.run(main())
"""
_REQUESTS = 3


async def test_a_child_of_a_killed_benchmark_ends() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    child = Watched(int(await parent.stdout.readline()))
    parent.kill()
    await parent.wait()
    await child.gone()


async def test_the_probe_of_a_gateway_that_is_gone_ends() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(_REQUESTS):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        probe = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.evaluate.probe", str(port)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        _, said = await _end(probe)
    assert b"the gateway is gone" in said


async def _end(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    """Return what a process says until it ends; its input stays open."""
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            return await asyncio.gather(process.stdout.read(), process.stderr.read())
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
