"""Run many streams for long, cut their connections at random, and look at text and memory.

`python3 run.py bench soak --minutes 30 --streams 500` starts the fast fake model server, a
gateway, and clients (`server/client`) that each hold a session of four answers at a time and
ask again as soon as these have ended. Between client and gateway stands a relay that breaks
connections, gracefully or with a reset, each after a random time. Every answer is taken apart
token by token: one that is lost, doubled or out of its place is a difference. The gateway's
memory is noted all along; flat means that it ends where it was after the warm-up.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.relay.processes import cpu_seconds, machine, memory_bytes
from benchmarks.relay.readers import MODELS
from benchmarks.relay.relays import gateway, nginx_version, upstream
from benchmarks.relay.tokens import Answer, Record, clock_us
from server.client import Client, Rhythm, SidestreamError, connect
from tests.wire.cutter import Cutter, Plan

SAMPLE_SECONDS = 10.0
# The allocator and every cache have had their first fill by then.
WARM_UP_SHARE = 0.2
CHURN = Rhythm()


@dataclass
class Tally:
    """What happened, all clients together."""

    answers: int = 0
    tokens: int = 0
    cuts: int = 0
    differences: list[str] = field(default_factory=list)
    samples: list[tuple[float, int]] = field(default_factory=list)


async def soak(options: argparse.Namespace) -> dict[str, object]:
    """Run everything and return the report."""
    tally = Tally()
    async with upstream() as upstream_port, gateway(upstream_port) as relay:
        await _set_rate(upstream_port, options.rate)
        cutter = Cutter(relay.port)
        front = await asyncio.start_server(cutter.accept, "127.0.0.1", 0)
        cutter.port = front.sockets[0].getsockname()[1]
        started, cpu_before = time.monotonic(), cpu_seconds(relay.pids)
        deadline = started + options.minutes * 60
        sampler = asyncio.create_task(_sample(relay.pids, started, tally))
        try:
            async with asyncio.TaskGroup() as clients:
                for number in range(options.streams // len(MODELS)):
                    chance = random.Random(options.seed + number)
                    clients.create_task(_client(cutter.plan(), deadline, chance, options, tally))
        finally:
            sampler.cancel()
            front.close()
            await cutter.close()
        cpu = cpu_seconds(relay.pids) - cpu_before
        seconds = time.monotonic() - started
    return _report(options, tally, seconds, cpu)


async def _client(
    plan: Plan, deadline: float, chance: random.Random, options: argparse.Namespace, tally: Tally
) -> None:
    """Hold one session: four answers, again and again, over a connection that breaks."""
    # All at once would be a flood that no real crowd is.
    await asyncio.sleep(chance.uniform(0, 5))
    async with connect(plan.url, rhythm=CHURN) as client:
        breaking = asyncio.create_task(_break(plan, chance, options.seconds_between_cuts))
        try:
            while time.monotonic() < deadline:
                await _ask_all(client, chance, options, tally)
        finally:
            breaking.cancel()
            tally.cuts += plan.connections - 1


async def _ask_all(
    client: Client, chance: random.Random, options: argparse.Namespace, tally: Tally
) -> None:
    tokens = chance.randint(options.tokens // 2, options.tokens)
    answers = await client.generate(list(MODELS), "Go on.", parameters={"max_new_tokens": tokens})
    for answer in answers:
        try:
            result = await answer.result()
        except SidestreamError as error:
            tally.differences.append(f"{time.strftime('%X')} {client.session} {answer.id}: {error}")
            continue
        checked = Answer(Record(), clock_us())
        checked.take(result.text.encode(), clock_us())
        checked.end(tokens)
        tally.answers += 1
        tally.tokens += checked.tokens
        if not checked.is_complete or result.finish_reason != "length":
            tally.differences.append(
                f"{client.session} {answer.id}: {result.finish_reason}, "
                f"{checked.tokens} of {tokens} tokens, in order: {checked.is_in_order}"
            )


async def _break(plan: Plan, chance: random.Random, mean_seconds: float) -> None:
    while True:
        await asyncio.sleep(chance.expovariate(1 / mean_seconds))
        plan.cut_now()


async def _sample(pids: list[int], started: float, tally: Tally) -> None:
    while True:
        seconds = time.monotonic() - started
        tally.samples.append((round(seconds, 1), memory_bytes(pids)))
        print(
            f"{seconds:7.0f} s  {tally.samples[-1][1] / 2**20:6.1f} MB  {tally.answers:7d} answers"
            f"  {tally.tokens:10d} tokens  {len(tally.differences)} differences",
            flush=True,
        )
        await asyncio.sleep(SAMPLE_SECONDS)


async def _set_rate(port: int, rate: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /bench/rate/%d HTTP/1.1\r\nhost: x\r\n\r\n" % rate)
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


def _report(
    options: argparse.Namespace, tally: Tally, seconds: float, cpu: float
) -> dict[str, object]:
    warm = [size for at, size in tally.samples if at >= seconds * WARM_UP_SHARE]
    third = max(len(warm) // 3, 1)
    first, last = warm[:third], warm[-third:]
    return {
        "machine": machine(nginx_version()),
        "streams": options.streams,
        "minutes": round(seconds / 60, 1),
        "answers": tally.answers,
        "tokens": tally.tokens,
        "reconnects": tally.cuts,
        "differences": tally.differences,
        "gateway_cpu_us_per_token": round(cpu * 1e6 / max(tally.tokens, 1), 1),
        "memory_mb_after_warm_up": round(sum(first) / len(first) / 2**20, 1),
        "memory_mb_at_the_end": round(sum(last) / len(last) / 2**20, 1),
        "memory_mb_highest": round(max(warm) / 2**20, 1),
        "samples": tally.samples,
    }


def main() -> int:
    """Soak, print the report, and return 1 if any text differed."""
    parser = argparse.ArgumentParser(prog="run.py bench soak", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--rate", type=float, default=10, help="tokens a second of each stream")
    parser.add_argument("--tokens", type=int, default=400, help="of the longest answers")
    parser.add_argument("--seconds-between-cuts", type=float, default=20, help="mean, per client")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the report here too")
    options = parser.parse_args()
    report = asyncio.run(soak(options))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))
    print(json.dumps({key: report[key] for key in report if key != "samples"}, indent=2))
    return 1 if report["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
