"""What `run.py doctor` says of a real swarm, and removes there."""

import asyncio
from typing import Any

from server.doctor.checks import CHECKS
from server.doctor.findings import Finding, Wanted
from server.doctor.nodes import LABEL, look_at_nodes
from server.doctor.swarm import check_swarm, clean_swarm
from server.models.runners.swarm.tasks import name_of
from tests.docker.engine import INSTANCE
from tests.docker.watching import A, B, silent
from tests.swarm.bed import Bed, until
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


async def test_a_gateway_of_the_swarm_whose_state_does_not_follow_it_is_reported(
    bed: Bed, fake: str
) -> None:
    """Unless it stays on one node, or its volume is of a driver or a folder that may follow."""
    target = "/var/lib/sidestream"
    local = {"Type": "volume", "Source": "state", "Target": target}
    nfs = {"type": "nfs4", "o": "addr=10.0.0.9", "device": ":/state"}
    folder = {"type": "none", "o": "bind", "device": "/mnt/storage"}
    for mount, constraints, seen, mend in (
        (local, [], "on a local volume", "leaves it behind"),
        (local, ["node.hostname == node2"], "on a local volume", ""),
        (None, [], "in its container", "leaves it behind"),
        (local | volume("local", nfs), ["node.id==x"], "on nfs4", "get damaged"),
        (local | volume("local", folder), [], "on /mnt/storage of its node", ""),
        (local | volume("block", {}), [], "on a volume of block", ""),
        ({"Type": "bind", "Source": "/srv", "Target": target}, [], "in the folder /srv", ""),
    ):
        container = {"Image": fake, "Mounts": [] if mount is None else [mount]}
        spec = {
            "Name": "sidestream_gateway",
            "Labels": {"sidestream.gateway": ""},
            "TaskTemplate": {
                "ContainerSpec": container,
                "Placement": {"Constraints": constraints},
            },
            "Mode": {"Replicated": {"Replicas": 0}},
        }
        bed.manager.ask("POST", "/services/create", spec)
        try:
            told = await found(bed.manager.host)
        finally:
            bed.manager.ask("DELETE", "/services/sidestream_gateway")
        assert f"the gateway sidestream_gateway has its state {seen}" in told.seen
        assert (told.level, mend in told.mend) == ("warn" if mend else "ok", True), told


def volume(driver: str, options: dict[str, str]) -> dict[str, Any]:
    """Return what a mount has of its volume."""
    return {"VolumeOptions": {"DriverConfig": {"Name": driver, "Options": options}}}


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


def looked(bed: Bed, image: str) -> dict[str, Finding]:
    """Look inside a container on each node; nothing is left of it anywhere."""
    known = Wanted(
        instance=INSTANCE,
        swarm_hosts=(bed.manager.host,),
        swarm_models=frozenset({"a"}),
        swarm_images=frozenset({image}),
    )
    findings = {one.name: one for one in look_at_nodes(known)}
    assert bed.manager.ask("GET", "/services") == []
    assert bed.tasks() == []
    # A node removes an ended container a little later than the manager forgets its task.
    until(lambda: not any(node.ask("GET", "/containers/json?all=1") for node in bed.nodes))
    return findings


async def test_a_container_on_each_node_tells_what_services_lack_there(bed: Bed, fake: str) -> None:
    away, only_one = bed.workers
    bed.set_availability(away, "drain")
    found = await asyncio.to_thread(looked, bed, fake)
    assert list(found) == [f"node {node.name}" for node in bed.nodes]
    for node in (bed.manager, only_one):
        seen = found[f"node {node.name}"]
        assert "no-new-privileges does not hold" in seen.seen
        assert "/dev/shm has 1024 MB" in seen.seen
        assert "daemon.json" in seen.mend
    assert found[f"node {away.name}"].seen == "not looked into: it is drain"
    nothing = await asyncio.to_thread(looked, bed, "sidestream-test/nowhere:1")
    assert all("not looked into" in one.seen for one in nothing.values())
    assert "sidestream-test/nowhere:1" in nothing[f"node {only_one.name}"].seen


async def test_a_look_fetches_no_image_and_removes_what_an_earlier_one_has_left(
    bed: Bed, fake: str
) -> None:
    manager, image = bed.manager, "sidestream-test/only-there:1"
    container = manager.ask("POST", "/containers/create", {"Image": fake})["Id"]
    manager.ask("POST", f"/commit?container={container}&repo=sidestream-test/only-there&tag=1")
    manager.remove(container)
    template = {"ContainerSpec": {"Image": "sha256:none"}}
    left = {"Name": "left", "Labels": {LABEL: INSTANCE}, "TaskTemplate": template}
    manager.ask("POST", "/services/create", left)
    try:
        found = await asyncio.to_thread(looked, bed, image)
    finally:
        manager.ask("DELETE", f"/images/{image}")
    assert "no-new-privileges" in found[f"node {manager.name}"].seen
    for worker in bed.workers:
        assert "No such image" in found[f"node {worker.name}"].seen
