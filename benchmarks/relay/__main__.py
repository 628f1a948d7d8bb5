"""Measure the gateway beside nginx: `python3 run.py bench relay`.

Every load is taken through each relay in turn, round after round, so that whatever else the machine
does falls on all alike; the figures are medians of the rounds. Each measurement has a fresh relay
and a fresh load client, and ends within a minute or fails. `direct` carries nothing: what it shows
is the machine's own latency, and "added" means beyond that. The gateway is measured once for each
form in which it asks model servers; nginx and `direct` carry TGI's.
"""

import argparse
import asyncio
import json
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.relay import plot, report
from benchmarks.relay.load import Job
from benchmarks.relay.processes import machine, start_child
from benchmarks.relay.relays import (
    GATEWAYS,
    RELAYS,
    ROOT,
    Relay,
    RelayError,
    gateway,
    nginx_version,
    upstream,
)

RATE = 20.0
# At saturation every stream wants this many times the usual rate.
SATURATION_STREAMS = 1000
SATURATION_FACTOR = 5
PROBES = 50
IDLE_SOCKETS = 2000
MEASUREMENT_CEILING_SECONDS = 240.0


def main() -> int:
    """Run what the command line says; return 1 if a text arrived incomplete."""
    options = _parser().parse_args()
    _raise_open_files(4 * max([*options.loads, IDLE_SOCKETS]) + 1000)
    version = nginx_version()
    relays = options.only or list(RELAYS)[1:]
    if not version and "nginx" in relays:
        print("nginx is not installed (Debian: apt-get install nginx); it is left out")
        relays.remove("nginx")
    about = machine(version)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    if options.profile:
        return asyncio.run(_profile(options))
    measurements = asyncio.run(_measure(options, ["direct", *relays]))
    rows = report.summarise(measurements)
    print("\n" + report.table(rows) + "\n")
    print("\n".join(report.verdicts(rows)))
    if options.json:
        result = {"machine": about, "rows": rows, "measurements": measurements}
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.svg:
        caption = f"{about['cpu']}, {about['cores']} cores, {RATE:g} tokens/s a stream"
        options.svg.write_text(plot.draw(rows, caption))
    return 1 if any(row.get("incomplete") or row.get("failed") for row in rows) else 0


async def _measure(options: argparse.Namespace, relays: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with upstream() as port:
        for number in range(options.rounds):
            for load in [*options.loads, *options.extra]:
                # Every other round goes the other way about.
                for name in relays if number % 2 == 0 else reversed(relays):
                    if load == report.IDLE and name == "direct":
                        continue
                    async with RELAYS[name](port) as relay:
                        result = await _one(name, relay, port, load, options.seconds)
                    found.append({"round": number + 1, "load": load, "relay": name, **result})
                    print(f"  {number + 1}: {load} {name}: {_brief(result)}", flush=True)
    return found


async def _one(
    name: str, relay: Relay, upstream_port: int, load: int | str, seconds: float
) -> dict[str, Any]:
    is_saturated = load == report.SATURATION
    streams = load if isinstance(load, int) else SATURATION_STREAMS
    job = Job(
        name,
        relay.port,
        upstream_port,
        relay.pids,
        streams,
        RATE * (SATURATION_FACTOR if is_saturated else 1),
        seconds,
        probes=0 if is_saturated else PROBES,
        idle_sockets=IDLE_SOCKETS if load == report.IDLE else 0,
    )
    client = await start_child(
        *(sys.executable, "-m", "benchmarks.relay.load", json.dumps(asdict(job))),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(MEASUREMENT_CEILING_SECONDS):
            printed, _ = await client.communicate()
    except TimeoutError:
        return {"failed": f"not done within {MEASUREMENT_CEILING_SECONDS:g} s"}
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()
    if client.returncode != 0:
        raise RelayError(f"the load client failed with {load} through {name}; its words are above")
    result: dict[str, Any] = json.loads(printed)
    return result


async def _profile(options: argparse.Namespace) -> int:
    """Run the gateway under py-spy if it is there, else under cProfile, at the first load."""
    sampler = shutil.which("py-spy")
    load = options.loads[0]
    traced = () if sampler else ("-m", "cProfile", "-o", str(options.profile))
    wrapper = (*traced, "-m", "server")
    name = next((name for name in options.only or () if name in GATEWAYS), "gateway")
    async with upstream() as port, gateway(port, wrapper, form=GATEWAYS[name]) as relay:
        running = asyncio.create_task(_one(name, relay, port, load, options.seconds))
        if sampler:
            # Begins when all streams have been started and have settled.
            await asyncio.sleep(load / 500 + 3)
            flags = ("--native", "--format", "raw", "--output", str(options.profile))
            seconds = str(max(int(options.seconds) - 1, 1))
            command = (sampler, "record", *flags, "--duration", seconds, "--pid")
            await (await start_child(*command, str(relay.pids[0]))).wait()
        print(_brief(await running))
    print(f"The profile is in {options.profile}.")
    return 0


def _brief(result: dict[str, Any]) -> str:
    if "failed" in result:
        return f"FAILED: {result['failed']}"
    if "sockets" in result:
        return f"{result['memory_bytes_per_idle_socket'] / 1000:.1f} KB an idle socket"
    cpu = result["cpu_us_per_token"]
    latency, first = result["latency_ms"], result["first_token_ms"]
    return (
        f"{result['tokens_per_second']:,.0f} tokens/s"
        + (f", {cpu:.1f} µs/token" if cpu is not None else "")
        + f", p50 {latency['p50']:.2f} p99 {latency['p99']:.2f} ms"
        + (f", first {first['p50']:.2f} ms" if first else "")
        + (f", {result['incomplete']} INCOMPLETE" if result["incomplete"] else "")
    )


def _raise_open_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        print(f"only {hard} files may be open; {wanted} are wanted (ulimit -n)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py bench relay", description="Measure the gateway beside nginx."
    )
    add = parser.add_argument
    add("--loads", type=_numbers, default=[1, 100, 1000, 4000], help="streams: 1,100,1000,4000")
    add("--seconds", type=float, default=6.0, help="length of one measurement (6)")
    add("--rounds", type=int, default=3, help="times each is measured (3)")
    add("--only", type=_names, help=f"measure these alone, of {','.join(list(RELAYS)[1:])}")
    add(
        "--extra",
        type=_names,
        metavar="LIST",
        default=[report.SATURATION, report.IDLE],
        help="beside the loads: saturation,idle",
    )
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add("--svg", type=Path, metavar="FILE", help="draw the figures there")
    add("--profile", type=Path, metavar="FILE", help="profile the gateway at the first load")
    return parser


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


if __name__ == "__main__":
    started = time.monotonic()
    code = main()
    print(f"({time.monotonic() - started:.0f} s)")
    sys.exit(code)
