"""What `run.py doctor` says of a real swarm, and removes there."""

import asyncio

from server.doctor.checks import CHECKS
from server.doctor.findings import Finding, Wanted
from server.doctor.swarm import check_swarm, clean_swarm
from server.models.runners.swarm.tasks import name_of
from tests.docker.engine import INSTANCE
from tests.docker.watching import A, B, silent
from tests.swarm.bed import Bed
from tests.swarm.conftest import MakeRunner, model


def wanted(*hosts: str) -> Wanted:
    """Return settings in which the model `a` is in a swarm."""
    return Wanted(instance=INSTANCE, swarm_hosts=hosts, swarm_models=frozenset({"a"}))


async def found(*hosts: str) -> Finding:
    """Return what the check says."""
    return await asyncio.to_thread(check_swarm, wanted(*hosts))


async def test_the_swarm_is_seen_with_what_is_wrong_in_it(bed: Bed) -> None:
    assert check_swarm in CHECKS
    manager, worker = bed.manager.host, bed.workers[0].host
    well = await found(worker, manager)
    assert well.level == "ok", well
    assert "heartbeat 1 s" in well.seen
    assert all(f"{node.name} " in well.seen and "1 GPU" in well.seen for node in bed.nodes)
    alone = await found(worker)
    assert (alone.level, "is a worker" in alone.seen) == ("warn", True)
    assert "`host`" in alone.mend
    assert (await found("unix:///nowhere")).level == "warn"
    bed.set_availability(bed.workers[0], "drain")
    assert "drain" in (await found(manager)).seen
    nothing = Wanted(swarm_models=frozenset())
    assert check_swarm(nothing).seen == "no model runs in one"


async def test_a_service_whose_model_is_gone_is_reported_and_removed_on_request(
    bed: Bed, make_runner: MakeRunner
) -> None:
    runner = make_runner(environment={"HF_TOKEN": "hf_very_secret_token"})
    for replica in (A, B):
        await runner.start(replica, model("program/serve", replica.model), silent)
    left = await found(bed.manager.host)
    assert (left.level, name_of(B) in left.seen, name_of(A) in left.seen) == ("warn", True, False)
    assert "--clean" in left.mend
    assert await asyncio.to_thread(clean_swarm, wanted(bed.manager.host)) == [name_of(B)]
    assert list(bed.services()) == [name_of(A)]
    assert len(bed.secrets()) == 1
