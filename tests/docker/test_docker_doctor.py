"""What `run.py doctor` says of a real engine, removes there, and would have a proxy allow."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

from server.doctor.__main__ import main
from server.doctor.checks import CHECKS, check_docker
from server.doctor.containers import (
    POLICY,
    check_containers,
    check_docker_engines,
    check_leftovers,
    clean,
)
from server.doctor.findings import Wanted
from server.models.runners.base import Replica
from server.models.runners.docker.runner import DockerRunner
from server.settings.tables import DockerSettings
from tests.docker.conftest import MakeRunner, model
from tests.docker.engine import Engine
from tests.docker.proxy import proxy
from tests.docker.watching import A, B, ends, says, silent
from tests.support.docker_policy import is_allowed

WANTED = Wanted(instance="test", container_models=frozenset({"a"}), problems=())


async def test_a_container_whose_model_is_gone_is_reported_and_removed_on_request(
    engine: Engine, make_runner: MakeRunner
) -> None:
    runner = make_runner()
    for replica in (A, B):
        await runner.start(replica, model("fake/tgi", replica.model), silent)
    other = make_runner(instance="test-other")
    await other.start(Replica("test-other", "b"), model("fake/tgi", "b"), silent)
    found = check_leftovers(WANTED)
    assert (found.level, found.seen) == ("warn", "left over of 'test': sidestream-test-b")
    assert "--clean" in found.mend
    assert clean(WANTED) == ["sidestream-test-b"]
    assert clean(WANTED) == []
    assert set(engine.containers()) == {"sidestream-test-a", "sidestream-test-other-b"}
    assert check_leftovers(WANTED).level == "ok"


async def test_a_removal_that_takes_its_time_is_waited_for(
    engine: Engine, runner: DockerRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runner.start(B, model("fake/tgi", "b"), silent)
    monkeypatch.setattr("server.doctor.docker.PATIENCE_SECONDS", 1.0)
    async with proxy(tmp_path) as between:
        wanted = replace(WANTED, docker_host=between.host)
        between.hold(1, "answered")
        cleaning = asyncio.create_task(asyncio.to_thread(clean, wanted))
        await between.held.wait()
        done, _ = await asyncio.wait([cleaning], timeout=2)
        assert not done
        between.let_go()
        assert await cleaning == ["sidestream-test-b"]


async def test_while_the_settings_cannot_be_read_nothing_counts_as_left_over(
    engine: Engine, runner: DockerRunner
) -> None:
    await runner.start(A, model("fake/tgi"), silent)
    unread = replace(WANTED, container_models=None)
    assert clean(unread) == []
    for check in (check_leftovers, check_containers):
        assert check(unread).seen == "cannot be told while the settings cannot be read"
    assert list(engine.containers()) == ["sidestream-test-a"]


def test_the_engine_is_described_for_those_whose_models_need_it(
    engine: Engine, settings: DockerSettings
) -> None:
    here = replace(WANTED, images=frozenset({settings.image}))
    found = check_containers(here)
    assert found.level == "ok"
    assert "engine of root" in found.seen
    assert "fetches" not in found.seen
    absent = replace(WANTED, images=frozenset({"sidestream-test/absent:1"}))
    assert "the first start fetches sidestream-test/absent:1" in check_containers(absent).seen
    nobody = replace(WANTED, container_models=frozenset())
    assert check_containers(nobody).seen == "no model runs in one"


def test_the_engine_that_the_settings_name_is_the_one_that_is_asked(tmp_path: Path) -> None:
    nowhere = replace(WANTED, docker_host=f"unix://{tmp_path}/none.sock")
    assert check_docker(nowhere).level == "warn"
    assert check_containers(nowhere).level == "warn"
    assert check_leftovers(nowhere).level == "ok"
    assert {check_docker, check_containers, check_leftovers} <= set(CHECKS)


async def test_each_of_several_engines_is_described_and_looked_through(
    engine: Engine, runner: DockerRunner, tmp_path: Path
) -> None:
    await runner.start(B, model("fake/tgi", "b"), silent)
    away = f"unix://{tmp_path}/none.sock"
    wanted = replace(
        WANTED, docker_engines=(("here", engine.host), ("away", away)), uses_docker_host=False
    )
    found = check_docker_engines(wanted)
    assert found.level == "warn"
    assert "here: engine of root" in found.seen
    assert "away: no engine here" in found.seen
    assert "away: Install Docker" in found.mend
    twice = replace(wanted, docker_engines=(("one", engine.host), ("two", engine.host)))
    assert "remove one of the two sections" in check_docker_engines(twice).mend
    assert check_docker_engines(WANTED).seen == "no section [docker NAME]"
    assert check_containers(wanted).seen == "no model runs on the engine of [docker]"
    assert check_leftovers(wanted).seen == "left over of 'test': sidestream-test-b on here"
    # The engine of [docker] may have a section, too.
    assert clean(replace(wanted, uses_docker_host=True)) == ["sidestream-test-b"]
    assert not engine.containers()
    nowhere = replace(wanted, docker_engines=(("away", away),))
    assert check_leftovers(nowhere).seen == "cannot be looked for without a Docker engine"
    assert check_docker_engines(replace(wanted, container_models=None)).level == "ok"


async def test_the_policy_for_a_socket_proxy_is_all_that_is_asked_for_and_no_more(
    engine: Engine, make_runner: MakeRunner, settings: DockerSettings, tmp_path: Path
) -> None:
    async with proxy(tmp_path) as between:
        runner = make_runner(settings=replace(settings, host=between.host))
        await runner.start(A, model("fake/tgi"), silent)
        await says(runner, A, "Connected")
        await runner.list()
        engine.act("sidestream-test-a", "kill")
        await ends(runner, A)
        await runner.stop(A, grace_seconds=5)
        await runner.start(A, model("fake/tgi"), silent)
        await runner.stop(A, grace_seconds=5)
        asked = {tuple(request.split(" ", 1)) for request in between.requests}
    refused = [request for request in asked if not is_allowed(*request)]
    assert not refused
    # A pull and the events are the only ones that do not come by here.
    used = {pattern for verb, path in asked for method, pattern, _ in POLICY
            if verb == method and re.fullmatch(pattern, path.partition("?")[0])}  # fmt: skip
    assert {pattern for _, pattern, _ in POLICY} - used == {r"/events", r"/images/create"}


def test_the_policy_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--policy"]) == 0
    printed = capsys.readouterr().out
    assert "POST   ^(/v1\\.[0-9]+)?/containers/create$" in printed


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/somebody-elses/stop"),
        ("POST", "/containers/sidestream-a-b/exec"),
        ("POST", "/containers/sidestream-a-b/update"),
        ("DELETE", "/images/x"),
        ("POST", "/volumes/create"),
        ("POST", "/build"),
        ("GET", "/containers/sidestream-a-b/archive"),
    ],
)
def test_the_policy_allows_nothing_more_than_is_needed(method: str, path: str) -> None:
    assert not is_allowed(method, path)
