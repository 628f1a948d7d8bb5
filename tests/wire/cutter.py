"""A TCP relay whose connections are cut after so many bytes, on either side, as was planned.

Every connection says which plan it follows by its path (`/ws?plan=3`); the first connection of a
plan follows its first cut, the second its second, and after the last cut they are left alone.
Bytes are counted from the connection's first, so that the handshake can be cut too.
"""

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["up", "down"]


@dataclass(frozen=True)
class Cut:
    """Where a connection breaks: after `offset` bytes to the server (up) or from it (down)."""

    side: Side
    offset: int
    is_abrupt: bool = False
    """With a reset, which may also destroy what was sent just before."""


@dataclass
class Plan:
    """What happens to the connections of one client, and what has happened."""

    cuts: list[Cut]
    url: str
    made: int = 0
    connections: int = 0
    carried: list[dict[Side, int]] = field(default_factory=list)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut_now(self) -> None:
        """Break what is open, without a good-bye."""
        for writer in self._open:
            writer.transport.abort()


class Cutter:
    """Relay connections to one port."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._plans: dict[str, Plan] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._names = map(str, itertools.count())
        self.port = 0

    def plan(self, cuts: Iterable[Cut] = ()) -> Plan:
        """Return a plan; its `url` leads through here."""
        name = next(self._names)
        self._plans[name] = Plan(list(cuts), f"ws://127.0.0.1:{self.port}/ws?plan={name}")
        return self._plans[name]

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay a new connection."""
        task = asyncio.create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Break every connection."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        name = re.search(rb"[?&]plan=(\w+)", head)
        assert name, head
        plan = self._plans[name[1].decode()]
        plan.connections += 1
        cut = plan.cuts.pop(0) if plan.cuts else None
        carried: dict[Side, int] = {"up": 0, "down": 0}
        plan.carried.append(carried)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        mine = {writer, far_writer}
        plan._open |= mine
        pumps = [
            asyncio.create_task(_pump(reader, far_writer, cut, "up", carried, head)),
            asyncio.create_task(_pump(far_reader, writer, cut, "down", carried)),
        ]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            was_cut = any(pump.result() for pump in done)
            if not was_cut:  # one side has ended by itself; the other gets what there is
                await asyncio.wait(pumps)
            plan.made += was_cut
        finally:
            for pump in pumps:
                pump.cancel()
            plan._open -= mine
            for each in mine:
                if cut is not None and cut.is_abrupt:
                    each.transport.abort()
                else:
                    each.close()


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    cut: Cut | None,
    side: Side,
    carried: dict[Side, int],
    data: bytes = b"",
) -> bool:
    """Carry bytes one way; tell whether the cut's place was reached."""
    with contextlib.suppress(ConnectionError):
        while True:
            is_here = cut is not None and cut.side == side
            if cut is not None and is_here and carried[side] + len(data) >= cut.offset:
                data = data[: cut.offset - carried[side]]
                carried[side] += len(data)
                writer.write(data)
                return True
            carried[side] += len(data)
            writer.write(data)
            await writer.drain()
            data = await reader.read(65536)
            if not data:
                break
        if writer.can_write_eof():
            writer.write_eof()
    return False


@asynccontextmanager
async def cutting(target_port: int) -> AsyncIterator[Cutter]:
    """Run a relay to `target_port` until the block ends."""
    cutter = Cutter(target_port)
    server = await asyncio.start_server(cutter.accept, "127.0.0.1", 0)
    cutter.port = server.sockets[0].getsockname()[1]
    try:
        yield cutter
    finally:
        server.close()
        await cutter.close()
        await server.wait_closed()
