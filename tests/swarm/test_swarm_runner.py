"""One server in a swarm: what it is started with, found again, refused, and ended by."""

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.models.diagnosis.causes import explain_exit
from server.models.runners.base import Condition, Replica
from server.models.runners.swarm.runner import SwarmRunner
from server.models.runners.swarm.tasks import name_of
from server.settings.tables import SwarmSettings
from server.settings.values import Size
from tests.docker.engine import INSTANCE
from tests.docker.watching import A, B, answers, ends, says, silent
from tests.swarm.bed import Bed, until
from tests.swarm.conftest import MakeRunner, model

CEILING_SECONDS = 60
STARTS = 5


def causes(error: ModelFailed) -> str:
    """Return the code of an error's cause."""
    return str((error.details or {})["cause"])


async def refused(runner: SwarmRunner, *model_id: str, **settings: Any) -> ModelFailed:
    """Return the error that a start ends with, which leaves nothing."""
    with pytest.raises(ModelFailed) as failed:
        async with asyncio.timeout(CEILING_SECONDS):
            await runner.start(A, model(*model_id, **settings), silent)
    assert (await runner.inspect(A)).condition is Condition.MISSING
    return failed.value


def container(bed: Bed, replica: Replica = A) -> dict[str, Any]:
    """Return the running container of a replica, as its node shows it."""
    (task, *_) = bed.tasks(name_of(replica))
    return bed.node_of(task).inspect(task["Status"]["ContainerStatus"]["ContainerID"])


async def test_a_second_runner_adopts_what_the_first_has_started(
    make_runner: MakeRunner, settings: SwarmSettings, bed: Bed
) -> None:
    first, second = make_runner(), make_runner()
    endpoint = await first.start(A, model("fake/tgi"), silent)
    another = Replica(INSTANCE, "a", 2)
    other = await first.start(another, model("fake/tgi"), silent)
    assert other.url != endpoint.url
    before = bed.services().keys()
    assert {seen.replica: seen.endpoint for seen in await second.list()} == {
        A: endpoint,
        another: other,
    }
    assert await second.start(A, model("fake/tgi"), silent) == endpoint
    assert not (await second.inspect(A)).is_outdated
    changed = make_runner(settings=replace(settings, stop_grace=3))
    assert await changed.start(A, model("fake/tgi"), silent) == endpoint
    assert (await changed.inspect(A)).is_outdated
    assert bed.services().keys() == before
    assert await answers(endpoint.url) == 200


async def test_a_server_gets_what_its_settings_say_and_no_more(
    make_runner: MakeRunner, bed: Bed
) -> None:
    """Its token is a file that only root reads, and stands in no description."""
    runner = make_runner(environment={"HF_TOKEN": "hf_very_secret_token"})
    said: dict[str, Any] = {"memory": Size(256 << 20), "cpus": 0.5, "pids_limit": 200}
    said |= {"shm_size": Size(32 << 20), "gpus": "1"}
    await runner.start(A, model("fake/tgi", **said), silent)
    shown = container(bed)
    host = shown["HostConfig"]
    assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], ["DAC_OVERRIDE"])
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (256 << 20, 500_000_000, 200)
    assert host["RestartPolicy"]["Name"] in {"", "no"}
    assert host["LogConfig"]["Config"] == {"max-file": "2", "max-size": str(10 << 20)}
    shm = next(one for one in host["Mounts"] if one["Target"] == "/dev/shm")
    assert shm["TmpfsOptions"]["SizeBytes"] == 32 << 20
    assert any(one.startswith("DOCKER_RESOURCE_GPU=gpu-") for one in shown["Config"]["Env"])
    assert "HF_TOKEN_PATH=/data/token" in shown["Config"]["Env"]
    assert "hf_very_secret_token" not in str([shown, bed.services(), bed.tasks()])
    (secret,) = bed.secrets()
    await runner.stop(A, grace_seconds=1)
    assert secret not in bed.secrets()


async def test_starts_that_are_cancelled_at_random_moments_leave_nothing(
    make_runner: MakeRunner, bed: Bed
) -> None:
    runner = make_runner(environment={"HF_TOKEN": "hf_very_secret_token"})
    moments = random.Random(16)
    for _ in range(STARTS):
        starting = asyncio.create_task(runner.start(A, model("program/serve"), silent))
        await asyncio.wait([starting], timeout=moments.uniform(0, 1.2))
        was_started = starting.done()
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        if was_started:
            await runner.stop(A, grace_seconds=1)
        assert not bed.services()
        assert not bed.secrets()
        assert not [name for name, state in bed.containers().items() if state == "running"]


async def test_what_cannot_be_started_is_told_with_its_cause(
    runner: SwarmRunner, make_runner: MakeRunner, settings: SwarmSettings, broken: str
) -> None:
    missing = await refused(runner, "fake/tgi", image="sidestream-test/nowhere:1")
    assert causes(missing) == "image_missing"
    unusable = await refused(runner, "fake/tgi", image=broken)
    assert causes(unusable) == "image_unusable"
    elsewhere = make_runner(settings=replace(settings, hf_cache=Path("/nowhere/at/all")))
    folder = await refused(elsewhere, "fake/tgi")
    assert causes(folder) == "cache_missing"
    assert "/nowhere/at/all/hub" in folder.message


async def test_an_image_that_one_node_has_is_run_there_or_refused(
    runner: SwarmRunner, bed: Bed, fake: str
) -> None:
    (worker, _) = bed.workers
    only_there = "sidestream-test/only-there:1"
    worker.ask("POST", f"/images/{fake}/tag?repo=sidestream-test/only-there&tag=1")
    try:
        here = model("fake/tgi", image=only_there, constraints=("node.hostname == node2",))
        endpoint = await runner.start(A, here, silent)
        assert worker.address in endpoint.url
        elsewhere = model(
            "fake/tgi", "b", image=only_there, constraints=("node.hostname == node3",)
        )
        with pytest.raises(ModelFailed, match=r"node3.*No such image") as failed:
            await runner.start(B, elsewhere, silent)
        assert causes(failed.value) == "image_missing"
    finally:
        worker.ask("DELETE", f"/images/{only_there}")


async def test_a_model_that_no_node_takes_waits_and_tells_why(
    runner: SwarmRunner, bed: Bed
) -> None:
    """Until one does, or until the start is given up, when the reason is still known."""
    told: list[Progress] = []
    has_reason = asyncio.Event()

    def tell(progress: Progress) -> None:
        told.append(progress)
        if "no suitable node" in progress.text:
            has_reason.set()

    waits = model("fake/tgi", constraints=("node.labels.disk == ssd",))
    starting = asyncio.create_task(runner.start(A, waits, tell))
    async with asyncio.timeout(CEILING_SECONDS):
        await has_reason.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    seen = await runner.inspect(A)
    assert seen.condition is Condition.MISSING
    assert seen.cause is not None
    assert (seen.cause.code, told[-1].phase) == ("no_node", "waiting")
    assert "scheduling constraints not satisfied" in seen.cause.message
    starting = asyncio.create_task(runner.start(A, waits, tell))
    await asyncio.sleep(0)
    bed.label(bed.workers[1], disk="ssd")
    async with asyncio.timeout(CEILING_SECONDS):
        endpoint = await starting
    assert bed.workers[1].address in endpoint.url
    assert (await runner.inspect(A)).cause is None


async def test_how_a_server_ended_is_told(runner: SwarmRunner, bed: Bed) -> None:
    for replica, (name, spec) in {
        A: ("a", model("program/serve")),
        B: ("b", model("fake/dies-while-loading", "b")),
    }.items():
        await runner.start(replica, spec, silent)
        if name == "a":
            await says(runner, replica, "ready")
            shown = container(bed, replica)
            node = bed.node_of(bed.tasks(name_of(replica))[0])
            node.act(shown["Id"], "kill")
    killed = explain_exit(await ends(runner, A))
    assert causes(killed) == "killed"
    assert "memory" in str(killed.hint)
    died = await ends(runner, B)
    assert died.exit_code == 1
    assert died.tail


async def test_what_somebody_else_does_to_a_service(runner: SwarmRunner, bed: Bed) -> None:
    """Scaling it to none stops it, a change replaces it, and it may be removed altogether."""
    await runner.start(A, model("program/serve"), silent)
    await says(runner, A, "ready")
    change(bed, replicas=0)
    stopped = await ends(runner, A)
    assert stopped.was_told_to_stop
    assert causes(explain_exit(stopped)) == "stopped_by_somebody"
    await runner.start(A, model("program/serve"), silent)
    await says(runner, A, "ready")
    waiting = asyncio.create_task(ends(runner, A))
    # It has seen the first task once it waits for the poller.
    await runner._tasks.after(runner._tasks.count)
    change(bed, replicas=1, force=1)
    replaced = await waiting
    assert not replaced.was_told_to_stop
    assert causes(explain_exit(replaced)) in {"gone", "stopped_by_somebody"}
    await runner.start(A, model("program/serve"), silent)
    waiting = asyncio.create_task(ends(runner, A))
    bed.manager.ask("DELETE", f"/services/{name_of(A)}")
    assert (await waiting).condition is Condition.MISSING


async def test_services_of_others_are_left_alone(runner: SwarmRunner, bed: Bed, fake: str) -> None:
    """Also one that has our labels under another name, and one that has our name without them."""
    await runner.start(A, model("program/serve"), silent)
    spec = bed.services()[name_of(A)]["Spec"]
    bed.manager.ask("POST", "/services/create", spec | {"Name": "copied", "EndpointSpec": {}})
    assert [seen.replica for seen in await runner.list()] == [A]
    await runner.stop(A, grace_seconds=1)
    spec["Labels"] = {}
    bed.manager.ask("POST", "/services/create", spec | {"EndpointSpec": {}})
    try:
        with pytest.raises(ModelFailed, match="not this gateway's") as failed:
            await runner.start(A, model("program/serve"), silent)
        assert causes(failed.value) == "name_taken"
        assert bed.manager.ask("GET", f"/services/{name_of(A)}") is not None
    finally:
        for name in ("copied", name_of(A)):
            bed.manager.ask("DELETE", f"/services/{name}")


async def test_a_worker_is_asked_in_vain_and_the_next_in_the_list_instead(
    make_runner: MakeRunner, settings: SwarmSettings, bed: Bed
) -> None:
    worker = bed.workers[0].host
    alone = make_runner(settings=replace(settings, host=(worker,)))
    with pytest.raises(ModelFailed, match="not a swarm manager") as failed:
        await alone.start(A, model("program/serve"), silent)
    assert causes(failed.value) == "swarm_not_ready"
    assert (await alone.inspect(A)).condition is Condition.UNKNOWN
    both = make_runner(
        settings=replace(settings, host=("unix:///nowhere", worker, bed.manager.host))
    )
    assert await answers((await both.start(A, model("fake/tgi"), silent)).url) == 200


async def test_a_container_on_an_overlay_network_is_reached_by_its_own_address(
    make_runner: MakeRunner, settings: SwarmSettings, bed: Bed
) -> None:
    network = {"Name": "models", "Driver": "overlay", "CheckDuplicate": True}
    bed.manager.ask("POST", "/networks/create", network)
    try:
        runner = make_runner(settings=replace(settings, network="models"))
        endpoint = await runner.start(A, model("fake/tgi"), silent)
        networks = container(bed)["NetworkSettings"]["Networks"]
        assert endpoint.url == f"http://{networks['models']['IPAddress']}:8080"
        assert not container(bed)["NetworkSettings"]["Ports"].get("8080/tcp")
        await runner.stop(A, grace_seconds=1)
    finally:
        until(lambda: not bed.containers())
        bed.manager.ask("DELETE", "/networks/models")


def change(bed: Bed, *, replicas: int, force: int = 0) -> None:
    """Change a service as somebody else might."""
    shown = bed.manager.ask("GET", f"/services/{name_of(A)}")
    spec = shown["Spec"]
    spec["Mode"]["Replicated"]["Replicas"] = replicas
    spec["TaskTemplate"]["ForceUpdate"] = force
    version = shown["Version"]["Index"]
    bed.manager.ask("POST", f"/services/{name_of(A)}/update?version={version}", spec)
