"""Measure how much sooner a second answer begins: `python3 run.py bench connections`.

An `https` server on loopback stands behind a relay that takes its time, 50 ms there and back unless
told otherwise. A client asks it over a fresh connection and then again over the same one, for some
rounds; the figures are medians. What is beyond the round trips is the machine's own work.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from server.dialects.base import Endpoint
from server.dialects.http.client import HTTPClient, Timeouts
from tests.support.certificates import authority, server_context
from tests.support.far import Distance, far_away
from tests.support.raw_http import CHUNKS, always, serving

ANSWER = CHUNKS + b"5\r\nhello\r\n0\r\n\r\n"


def main() -> int:
    """Run what the command line says; return 1 if a second answer had a handshake."""
    parser = argparse.ArgumentParser(prog="bench connections", description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=50.0, help="there and back")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    return asyncio.run(measure(options.delay_ms, options.rounds))


async def measure(delay_ms: float, rounds: int) -> int:
    """Print both times, their ratio and the round trips."""
    first: list[float] = []
    second: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ca_file = str(authority(folder))
        async with (
            serving(always(ANSWER), tls=server_context(folder)) as server,
            far_away(server.port, delay_seconds=delay_ms / 2000) as distance,
        ):
            for _ in range(rounds):
                url = f"https://127.0.0.1:{distance.port}"
                client = HTTPClient(Endpoint(url, ca_file=ca_file), Timeouts())
                try:
                    first_ms, first_trips = await _ask(client, distance)
                    second_ms, second_trips = await _ask(client, distance)
                finally:
                    await client.close()
                first.append(first_ms)
                second.append(second_ms)
    fresh, kept = statistics.median(first), statistics.median(second)
    print(f"{delay_ms:g} ms there and back, {rounds} rounds, until the first byte of an answer:")
    print(f"  first request   {fresh:7.1f} ms   {first_trips} round trips")
    print(f"  second request  {kept:7.1f} ms   {second_trips} round trip(s)")
    print(f"  first / second  {fresh / kept:7.2f}")
    return int(second_trips != 1)


async def _ask(client: HTTPClient, distance: Distance) -> tuple[float, int]:
    """Return the milliseconds until an answer's first byte, and how often they were waited for."""
    distance.forget()
    began = time.perf_counter()
    heard: list[float] = []

    def hear(data: bytes) -> bool:
        heard.append(time.perf_counter())
        return False

    async with client.request("POST", "/generate", {"inputs": "hello"}) as stream:
        await stream.read(hear)
    return (heard[0] - began) * 1000, distance.round_trips


if __name__ == "__main__":
    sys.exit(main())
