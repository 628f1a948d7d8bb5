"""Two thousand bad requests of every kind leave the server as it was.

Each kind is bytes on a connection of its own, so that no client library puts anything right. What
is looked at afterwards is what bad requests could leave behind: tasks, open files, sessions,
visits, memory. The gateway runs in the test's own process, so all of it can be counted.
"""

import asyncio
import contextlib
import gc
import resource
from pathlib import Path

import pytest

from server.web.entry.gate import GATE
from server.web.keys import GENERATIONS, SESSIONS, SOCKETS
from tests.access.bad_requests import KINDS, Chance
from tests.access.conftest import Open
from tests.access.keyed_gateway import KeyedGateway, until

REQUESTS = 2_000
AT_ONCE = 40
# How long a client waits for an end that a socket which is open has no reason for.
PATIENCE_SECONDS = 0.3
# What the allocator may keep for itself; 2,000 leaks of any request's size are more.
MOST_GROWTH_BYTES = 16 << 20


async def do(keyed: KeyedGateway, sent: bytes, chance: Chance) -> None:
    """Send bytes, take what comes, and go: politely, or in the middle."""
    host, _, port = keyed.gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    is_polite = chance.random() < 0.5
    with contextlib.suppress(ConnectionError, TimeoutError):
        writer.write(sent)
        if is_polite:
            writer.write_eof()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await reader.read(65536) and is_polite:
                pass
    writer.transport.abort()


async def flood(keyed: KeyedGateway, count: int, seed: int) -> None:
    chance = Chance(seed)
    waiting = [KINDS[number % len(KINDS)] for number in range(count)]
    chance.shuffle(waiting)

    async def work() -> None:
        while waiting:
            await do(keyed, waiting.pop()(chance, keyed.keys["use"]), chance)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def memory_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc: nothing to count in")
async def test_two_thousand_bad_requests_leave_the_server_as_it_was(open_keyed: Open) -> None:
    keyed = await open_keyed(
        access={"requests_per_minute": 0, "requests_per_minute_per_address": 0},
        server={"max_frame_bytes": 10_000},
        answer_tokens=3,
    )
    app = keyed.gateway.app
    # Whatever the first of each kind sets up for good is not what is looked for.
    await flood(keyed, 10 * len(KINDS), seed=1)
    await until(lambda: not app[GATE].active_requests)
    gc.collect()
    tasks, open_files, memory = len(asyncio.all_tasks()), files(), memory_bytes()

    await flood(keyed, REQUESTS, seed=2)

    await until(lambda: len(asyncio.all_tasks()) <= tasks, ceiling_seconds=60)
    await until(lambda: files() <= open_files, ceiling_seconds=60)
    assert not app[GATE].active_requests
    assert not app[GENERATIONS]._live
    assert (len(app[SOCKETS]), len(app[SESSIONS])) == (0, 0)
    assert len(app[GATE].sign_ins) == 0
    assert memory_bytes() - memory < MOST_GROWTH_BYTES
    assert keyed.fake.state.counts["started"] == 0, "no model was ever asked"
    good = {"model": "m", "inputs": "Once"}
    assert (await keyed.ask("POST", "/generate", key="use", json=good)).status == 200
    async with keyed.speaking("use") as speaker:
        assert (await speaker.ask("hello"))["type"] == "result"
