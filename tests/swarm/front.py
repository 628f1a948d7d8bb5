"""What stands before a gateway that moves: a load balancer that finds the node it is on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

_READ_BYTES = 65536
_CONNECT_SECONDS = 1.0


@asynccontextmanager
async def front(addresses: Sequence[str], port: int) -> AsyncIterator[str]:
    """Pass connections on to the first address that listens; yield where to connect."""
    connections: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        try:
            for address in addresses:
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(_CONNECT_SECONDS):
                        inner, outer = await asyncio.open_connection(address, port)
                    await _both_ways((reader, outer), (inner, writer))
                    return
        finally:
            writer.close()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    async with server:
        host, own_port, *_ = server.sockets[0].getsockname()
        yield f"{host}:{own_port}"
    for task in connections:
        task.cancel()


Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _both_ways(*ways: Way) -> None:
    """Copy until one side has ended."""
    copies = [asyncio.create_task(_copy(*way)) for way in ways]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        for _, writer in ways:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_READ_BYTES):
            writer.write(data)
            await writer.drain()
