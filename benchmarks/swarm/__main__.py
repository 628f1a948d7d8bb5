"""Measure what Swarm costs: `python3 run.py bench swarm`, as root, on the bed of the tests.

Three engines with networks of their own form a swarm with a heartbeat of one second. A service is
started by the runner, and a plain container by its node's engine, in turns, each until the server
in it answers. Then a worker's plug is pulled, and its wire is cut: until the server answers on the
other worker; and, after the wire is mended, until the old server has ended.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from server.models.catalogue.catalog import ModelSpec
from server.models.runners.swarm.runner import SwarmRunner
from server.models.runners.swarm.tasks import name_of
from server.settings.tables import SwarmSettings
from tests.docker import image
from tests.docker.engine import INSTANCE, LABEL
from tests.docker.watching import A, answers, ends, silent
from tests.support.specs import catalog
from tests.swarm.bed import Bed, Node, make_bed, only_session, until
from tests.swarm.test_swarm_nodes import running

_PORT: Final = 8080
_NAME: Final = "bench"


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="bench swarm", description=__doc__)
    parser.add_argument("--starts", type=int, default=9, help="of a service and of a container")
    parser.add_argument("--losses", type=int, default=3, help="of each kind")
    options = parser.parse_args()
    fake = image.fake_image()
    with only_session(), make_bed(fake) as bed, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "hub").mkdir()
        settings = SwarmSettings(
            host=(bed.manager.host,),
            image=fake,
            allowed_images=("sidestream-test/*",),
            hf_cache=Path(folder),
            stop_grace=2,
        )
        asyncio.run(_measure(bed, settings, fake, options.starts, options.losses))
    return 0


async def _measure(bed: Bed, settings: SwarmSettings, fake: str, starts: int, losses: int) -> None:
    print(f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    runner = SwarmRunner(settings, instance=INSTANCE, environment={})
    try:
        await _compare_starts(bed, runner, fake, starts)
        for fate in ("pull_plug", "cut"):
            await _lose(bed, runner, fate, losses)
    finally:
        await runner.stop(A, grace_seconds=0)
        await runner.close()


async def _compare_starts(bed: Bed, runner: SwarmRunner, fake: str, starts: int) -> None:
    services, containers = [], []
    for worker in itertools.islice(itertools.cycle(bed.workers), starts):
        spec = _model(f"node.id == {worker.id}")
        began = time.monotonic()
        await answers((await runner.start(A, spec, silent)).url)
        services.append(time.monotonic() - began)
        await runner.stop(A, grace_seconds=0)
        containers.append(await _plain_start(worker, fake))
    _print("service: create to answer", services)
    _print("plain container: create to answer", containers)
    ratios = [service / plain for service, plain in zip(services, containers, strict=True)]
    print(f"{'ratio of the two':45} {statistics.median(ratios):5.2f}")


async def _plain_start(node: Node, fake: str) -> float:
    """Return the seconds from a container's creation until its server answers."""
    port = f"{_PORT}/tcp"
    body = {
        "Image": fake,
        "Cmd": ["--model-id", "fake/tgi", "--port", str(_PORT)],
        "Labels": {LABEL: INSTANCE},
        "ExposedPorts": {port: {}},
        "HostConfig": {"PortBindings": {port: [{"HostPort": ""}]}, "Init": True},
    }
    began = time.monotonic()
    node.ask("POST", f"/containers/create?name={_NAME}", body)
    try:
        node.act(_NAME, "start")
        published = node.inspect(_NAME)["NetworkSettings"]["Ports"][port][0]["HostPort"]
        await answers(f"http://{node.address}:{published}")
        return time.monotonic() - began
    finally:
        node.remove(_NAME)


async def _lose(bed: Bed, runner: SwarmRunner, fate: str, losses: int) -> None:
    elsewhere, two = [], []
    for _ in range(losses):
        await runner.start(A, _model("node.role == worker"), silent)
        task = next(one for one in bed.tasks(name_of(A)) if one["Status"]["State"] == "running")
        node = bed.node_of(task)
        waiting = asyncio.create_task(ends(runner, A))
        began = time.monotonic()
        getattr(node, fate)()
        await waiting
        await runner.stop(A, grace_seconds=0)
        await answers((await runner.start(A, _model("node.role == worker"), silent)).url)
        elsewhere.append(time.monotonic() - began)
        if node.is_on:
            node.mend()
        else:
            node.start()
        began = time.monotonic()
        until(lambda node=node: not running(bed, node))  # type: ignore[misc]
        two.append(time.monotonic() - began)
        bed.heal()
        await runner.stop(A, grace_seconds=0)
    what = "plug pulled" if fate == "pull_plug" else "wire cut"
    _print(f"{what} to answer from another node", elsewhere)
    if fate == "cut":
        _print("wire mended to one server only", two)


def _model(*constraints: str) -> ModelSpec:
    settings = {"runner": "swarm", "gpus": "none", "model_id": "fake/tgi"}
    return catalog(a={**settings, "constraints": constraints}).get("a")


def _print(what: str, seconds: Sequence[float]) -> None:
    median, least, most = statistics.median(seconds), min(seconds), max(seconds)
    print(f"{what:45} {median:5.2f} s ({least:.2f} to {most:.2f}, {len(seconds)} times)")


def _processor() -> str:
    told = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition("\n")[0]
    return told.lstrip("\t: ") or "an unnamed processor"


if __name__ == "__main__":
    raise SystemExit(main())
