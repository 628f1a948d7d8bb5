"""The load client: `python -m benchmarks.relay.load`, one measurement per process.

It is told on its command line, as JSON, what to do, and prints what it saw, as JSON. CPU time and
memory of the relaying process are read here, at the very bounds of the window in which tokens are
counted. The order: connect, start the answers one after the other, wait for everybody's first
token, let it settle, measure, ask for the time to the first token beside that load, end all
answers, check that each is complete.
"""

import asyncio
import gc
import json
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

import uvloop

from benchmarks.relay.processes import cpu_seconds, memory_bytes, system_share
from benchmarks.relay.readers import MODELS, EventReader, Reader, ReaderError, SocketReader
from benchmarks.relay.tokens import Answer, Record

# Answers begun per second: no machine of GPUs is asked everything at once.
STARTS_PER_SECOND: Final = 500
SETTLE_SECONDS: Final = 1.0
# After which a run has failed: the slowest relay has had its last token ten times over.
CEILING_SECONDS: Final = 60.0
CONNECTS_AT_ONCE: Final = 64
# Where the relay is too slow there are fewer probes.
PROBES_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Job:
    """One measurement: through which relay, and how much."""

    relay: str
    port: int
    upstream_port: int
    pids: list[int]
    streams: int
    rate: float
    seconds: float
    probes: int = 0
    idle_sockets: int = 0

    @property
    def models_per_reader(self) -> int:
        """Return how many answers one connection carries."""
        return min(len(MODELS), self.streams) if self.is_gateway else 1

    @property
    def is_gateway(self) -> bool:
        """Tell whether the relay is the gateway, in whatever form it asks."""
        return self.relay.startswith("gateway")

    def reader(self, record: Record) -> Reader:
        """Return a reader that speaks to this relay."""
        if not self.is_gateway:
            return EventReader(record)
        # TGI has a chat rendered first, which says nothing of what a token costs.
        return SocketReader(record, is_chat=self.relay != "gateway")


async def measure(job: Job) -> dict[str, Any]:
    """Carry out the job; raises `ReaderError` and `TimeoutError` when the relay does not."""
    await _post(job.upstream_port, f"/bench/rate/{job.rate}")
    record = Record()
    memory_before = memory_bytes(job.pids)
    per_reader = job.models_per_reader
    readers = await _connect(job, record, -(-job.streams // per_reader))
    memory_connected = memory_bytes(job.pids)
    answers = await _start(readers, job.streams, per_reader)
    await _until(lambda: all(answer.tokens for answer in answers), "first tokens are missing")
    await asyncio.sleep(SETTLE_SECONDS)
    window = await _window(job, record)
    memory_running = memory_bytes(job.pids)
    firsts = await _probe(job, record) if job.probes else []
    await _post(job.upstream_port, "/bench/finish")
    await _until(lambda: all(answer.has_ended for answer in answers), "answers do not end")
    for reader in readers:
        reader.close()
    return {
        **window,
        "memory_bytes_per_stream": round((memory_running - memory_before) / job.streams),
        "memory_bytes_per_connection": round((memory_connected - memory_before) / len(readers)),
        "first_token_ms": _percentiles(firsts),
        "incomplete": sum(not answer.is_complete for answer in answers),
    }


async def measure_idle(job: Job) -> dict[str, Any]:
    """Return what a socket costs that does nothing."""
    record = Record()
    # The first ones fill caches and pools that the others share.
    readers = await _connect(job, record, 100)
    before = memory_bytes(job.pids)
    readers += await _connect(job, record, job.idle_sockets)
    after = memory_bytes(job.pids)
    cpu = cpu_seconds(job.pids)
    await asyncio.sleep(job.seconds)
    cpu = cpu_seconds(job.pids) - cpu
    for reader in readers:
        reader.close()
    return {
        "sockets": job.idle_sockets,
        "memory_bytes_per_idle_socket": round((after - before) / job.idle_sockets),
        "cpu_us_per_idle_socket_second": cpu * 1e6 / len(readers) / job.seconds,
    }


async def _connect(job: Job, record: Record, count: int) -> list[Reader]:
    readers = [job.reader(record) for _ in range(count)]

    async def open_one(reader: Reader) -> None:
        await reader.open("127.0.0.1", job.port)
        if job.idle_sockets and isinstance(reader, EventReader):
            await reader.touch()

    for at in range(0, count, CONNECTS_AT_ONCE):
        batch = readers[at : at + CONNECTS_AT_ONCE]
        async with asyncio.timeout(CEILING_SECONDS):
            await asyncio.gather(*map(open_one, batch))
    return readers


async def _start(readers: list[Reader], streams: int, per_reader: int) -> list[Answer]:
    answers: list[Answer] = []
    begin = time.monotonic()
    for reader in readers:
        answers += reader.ask(min(per_reader, streams - len(answers)))
        pause = begin + len(answers) / STARTS_PER_SECOND - time.monotonic()
        await asyncio.sleep(max(pause, 0))
    return answers


async def _window(job: Job, record: Record) -> dict[str, Any]:
    gc.collect()
    gc.disable()
    record.is_listening = True
    tokens, begin, cpu = record.tokens, time.monotonic(), cpu_seconds(job.pids)
    await asyncio.sleep(job.seconds)
    cpu = cpu_seconds(job.pids) - cpu
    seconds = time.monotonic() - begin
    tokens = record.tokens - tokens
    record.is_listening = False
    gc.enable()
    return {
        "seconds": seconds,
        "tokens": tokens,
        "tokens_per_second": tokens / seconds,
        "wanted_tokens_per_second": job.streams * job.rate,
        "cpu_us_per_token": cpu * 1e6 / max(tokens, 1) if job.pids else None,
        "cpu_share": cpu / seconds,
        "system_share": system_share(job.pids),
        "latency_ms": _percentiles(record.latencies_us),
    }


async def _probe(job: Job, record: Record) -> list[int]:
    """Ask for one token again and again beside the load; return the waits in microseconds."""
    waits: list[int] = []
    ends_at = time.monotonic() + PROBES_SECONDS
    while len(waits) < job.probes and (time.monotonic() < ends_at or not waits):
        [reader] = await _connect(job, record, 1)
        [answer] = reader.ask(1, max_new_tokens=1)
        await _until(lambda answer=answer: answer.has_ended, "a probe has no answer")
        reader.close()
        assert answer.first_us is not None
        waits.append(answer.first_us)
    return waits


async def _until(is_true: Any, failure: str) -> None:
    deadline = time.monotonic() + CEILING_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            raise ReaderError(failure)
        await asyncio.sleep(0.02)


async def _post(port: int, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


def _percentiles(values_us: Any) -> dict[str, float]:
    ordered = sorted(values_us)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {
        name: ordered[round(last * share)] / 1000
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def main() -> None:
    """Carry out the job on the command line."""
    job = Job(**json.loads(sys.argv[1]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            result = runner.run(measure_idle(job) if job.idle_sockets else measure(job))
        except (ReaderError, OSError) as error:
            result = {"failed": str(error) or type(error).__name__}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
