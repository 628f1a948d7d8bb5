"""A server far away: a relay on loopback that takes its time in both directions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Distance:
    """What went over the relay: `<` and `>` for each time that another side began to speak."""

    port: int = 0
    connections: int = 0
    turns: list[str] = field(default_factory=list)

    @property
    def round_trips(self) -> int:
        """Return how often the near side had to wait for the far one, connecting included."""
        return self.connections + self.turns.count("<")

    def forget(self) -> None:
        """Count from now on."""
        self.connections = 0
        self.turns.clear()


@asynccontextmanager
async def far_away(port: int, *, delay_seconds: float = 0.0) -> AsyncIterator[Distance]:
    """Relay to a port of this machine; every packet takes `delay_seconds` each way.

    A connection itself takes there and back before anything is relayed.
    """
    distance = Distance()
    running: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sign: str) -> None:
        loop = asyncio.get_running_loop()
        packets: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            while True:
                moment, data = await packets.get()
                await asyncio.sleep(max(0.0, moment - loop.time()))
                if not data:
                    break
                if distance.turns[-1:] != [sign]:
                    distance.turns.append(sign)
                writer.write(data)
            writer.close()

        arriving = asyncio.create_task(arrive())
        try:
            data = b"x"
            while data:
                data = await reader.read(65536)
                packets.put_nowait((loop.time() + delay_seconds, data))
            await arriving
        except ConnectionError:
            writer.close()
        finally:
            arriving.cancel()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        distance.connections += 1
        await asyncio.sleep(2 * delay_seconds)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, far_writer))
        for ends in ((reader, far_writer, ">"), (far_reader, writer, "<")):
            task = asyncio.create_task(carry(*ends))
            running.add(task)
            task.add_done_callback(running.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    distance.port = listener.sockets[0].getsockname()[1]
    try:
        yield distance
    finally:
        listener.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
