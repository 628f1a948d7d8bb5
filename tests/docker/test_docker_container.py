"""What a started container may do and what it finds, as the engine and the container see it."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import ModelFailed
from server.core.protocol import ErrorInfo
from server.doctor.containers import clean
from server.doctor.findings import Wanted
from server.models.diagnosis.causes import explain_exit
from server.models.runners.base import Condition
from server.models.runners.docker.runner import DockerRunner
from server.settings.tables import DockerSettings
from server.settings.values import Size
from tests.docker.conftest import MakeRunner, model
from tests.docker.engine import Engine
from tests.docker.watching import NAME_A, A, answers, ends, says, silent

TOKEN = "hf_ThisIsNoRealToken0123"


async def test_a_container_is_fenced_in_on_all_sides(
    engine: Engine, make_runner: MakeRunner, settings: DockerSettings
) -> None:
    runner = make_runner(settings=replace(settings, log_max_size=Size(1 << 20)))
    limits: dict[str, Any] = {"memory": Size(256 << 20), "shm_size": Size(1 << 26)}
    limits |= {"cpus": 1.5, "pids_limit": 200}
    await runner.start(A, model("fake/tgi", **limits), silent)
    shown = engine.inspect(NAME_A)
    host = shown["HostConfig"]
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] in (None, [])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["NetworkMode"] == "bridge"
    assert (host["PidMode"], host["IpcMode"], host["UTSMode"]) == ("", "private", "")
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["Memory"] == host["MemorySwap"] == 256 << 20
    assert host["NanoCpus"] == 1_500_000_000
    assert host["PidsLimit"] == 200
    assert host["ShmSize"] == 1 << 26
    assert host["OomScoreAdj"] > 0
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": str(1 << 20), "max-file": "2"},
    }
    assert (host["Devices"] or [], host["DeviceRequests"] or []) == ([], [])
    assert [mount["Source"] for mount in shown["Mounts"]] == [str(settings.hf_cache / "hub")]
    published = [one for several in shown["NetworkSettings"]["Ports"].values() for one in several]
    assert {one["HostIp"] for one in published} == {"127.0.0.1"}
    assert (
        shown["Config"]["Labels"].items()
        >= {
            "sidestream.instance": "test",
            "sidestream.model": "a",
        }.items()
    )


def status_of(pid: int) -> dict[str, str]:
    """Return what the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


async def test_inside_it_root_has_no_capability_left(engine: Engine, runner: DockerRunner) -> None:
    await runner.start(A, model("fake/tgi"), silent)
    pid = engine.inspect(NAME_A)["State"]["Pid"]
    status = status_of(pid)
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


async def test_a_container_without_a_memory_limit_gets_less_than_the_machine(
    engine: Engine, runner: DockerRunner
) -> None:
    """The kernel then ends the model, not whatever else runs here."""
    await runner.start(A, model("fake/tgi"), silent)
    total = engine.ask("GET", "/info")["MemTotal"]
    assert 0 < engine.inspect(NAME_A)["HostConfig"]["Memory"] < total


async def test_root_in_the_container_uses_a_cache_that_belongs_to_the_user(
    engine: Engine, runner: DockerRunner, settings: DockerSettings
) -> None:
    """Without DAC_OVERRIDE it could neither read the user's files nor add to them."""
    hub = settings.hf_cache / "hub"
    hub.mkdir()
    (hub / "private").write_text("the user's own")
    (hub / "private").chmod(0o600)
    hub.chmod(0o700)
    for path in (hub, hub / "private"):
        os.chown(path, 1000, 1000)
    await runner.start(A, model("uses-cache"), silent)
    seen = await ends(runner, A)
    assert (seen.exit_code, seen.tail[0].text) == (0, "the user's own")
    assert (hub / "written").read_text() == "by the container"
    assert [cap.removeprefix("CAP_") for cap in engine.inspect(NAME_A)["HostConfig"]["CapAdd"]] == [
        "DAC_OVERRIDE"
    ]


async def test_a_token_goes_into_the_container_and_is_shown_nowhere(
    engine: Engine, make_runner: MakeRunner
) -> None:
    runner = make_runner(environment={"HF_TOKEN": TOKEN})
    await runner.start(A, model("shows-token"), silent)
    seen = await ends(runner, A)
    assert f"HF_TOKEN={TOKEN}" in engine.inspect(NAME_A)["Config"]["Env"]
    logged = [line.text async for line in runner.logs(A, tail=100, follow=False)]
    assert sorted(logged) == ["Authorization: Bearer [redacted]", "HF_TOKEN=[redacted]"]
    assert TOKEN not in repr(seen)
    assert TOKEN not in str(ErrorInfo.of(explain_exit(seen)))


async def test_the_key_that_tgi_prints_with_its_arguments_is_hidden(runner: DockerRunner) -> None:
    await runner.start(A, model("fake/with-key"), silent)
    seen = "\n".join(await says(runner, A, "Connected"))
    assert "api_key" in seen
    assert "very-secret-key" not in seen


async def test_two_instances_share_an_engine_and_see_only_their_own(
    engine: Engine, make_runner: MakeRunner, runner: DockerRunner
) -> None:
    ours = await runner.start(A, model("fake/tgi"), silent)
    await says(runner, A, "Connected")
    other = make_runner(instance="test-other")
    theirs = replace(A, instance="test-other")
    assert await other.list() == []
    assert (await other.inspect(theirs)).condition is Condition.MISSING
    await other.start(theirs, model("fake/tgi"), silent)
    await other.stop(theirs, grace_seconds=5)
    assert await answers(ours.url) == 200
    assert [seen.replica for seen in await runner.list()] == [A]


async def test_a_container_of_that_name_that_is_not_ours_is_left_alone(
    engine: Engine, runner: DockerRunner, fake: str
) -> None:
    engine.ask("POST", f"/containers/create?name={NAME_A}", {"Image": fake})
    try:
        for verb in (runner.start(A, model("fake/tgi"), silent), runner.stop(A, grace_seconds=0)):
            with pytest.raises(ModelFailed, match="is not this gateway's"):
                await verb
        assert (await runner.inspect(A)).condition is Condition.UNKNOWN
        assert engine.inspect(NAME_A)["State"]["Status"] == "created"
    finally:
        engine.remove(NAME_A)


async def test_labels_that_an_image_hands_on_make_no_container_ours(
    engine: Engine, runner: DockerRunner, fake: str
) -> None:
    """`docker commit` of a container of ours gives its labels to every container of the image."""
    labels = {"sidestream.instance": "test", "sidestream.model": "a"}
    engine.ask("POST", "/containers/create?name=test-somebodys", {"Image": fake, "Labels": labels})
    try:
        engine.act("test-somebodys", "start")
        assert await runner.list() == []
        assert (await runner.inspect(A)).condition is Condition.MISSING
        nothing_wanted = Wanted(instance="test", container_models=frozenset(), problems=())
        assert clean(nothing_wanted) == []
        assert engine.inspect("test-somebodys")
    finally:
        engine.remove("test-somebodys")


async def test_a_new_runner_takes_over_what_runs_and_knows_it_for_outdated(
    engine: Engine, make_runner: MakeRunner
) -> None:
    first = make_runner()
    endpoint = await first.start(A, model("fake/tgi"), silent)
    await says(first, A, "Connected")
    container_id = engine.inspect(NAME_A)["Id"]
    # As a gateway that is killed: nothing is stopped, nothing is handed over.
    second = make_runner(ports=(1, 1))
    assert [(seen.replica, seen.endpoint) for seen in await second.list()] == [(A, endpoint)]
    assert await second.start(A, model("fake/tgi"), silent) == endpoint
    assert not (await second.inspect(A)).is_outdated
    third = make_runner()
    assert await third.start(A, model("fake/tgi", pids_limit=100), silent) == endpoint
    assert (await third.inspect(A)).is_outdated
    assert await answers(endpoint.url) == 200
    assert engine.inspect(NAME_A)["Id"] == container_id


async def test_remains_of_an_aborted_start_are_no_server_and_block_nothing(
    engine: Engine, runner: DockerRunner, fake: str
) -> None:
    """A gateway that is killed between creating a container and starting it leaves one."""
    labels = {"sidestream.instance": "test", "sidestream.model": "a"}
    body = {"Image": fake, "Labels": labels}
    engine.ask("POST", f"/containers/create?name={NAME_A}", body)
    assert (await runner.inspect(A)).condition is Condition.MISSING
    assert await runner.list() == []
    await runner.start(A, model("fake/tgi"), silent)
    assert (await runner.inspect(A)).condition is Condition.RUNNING


async def test_twenty_starts_at_once_are_one_container(
    engine: Engine, runner: DockerRunner
) -> None:
    starts = [runner.start(A, model("fake/tgi"), silent) for _ in range(20)]
    assert len({endpoint.url for endpoint in await asyncio.gather(*starts)}) == 1
    assert list(engine.containers()) == [NAME_A]
