"""An engine that does not answer: nothing is known, nothing is lost, and everything is told."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from server.core.errors import ModelFailed
from server.core.protocol import Progress
from server.models.runners.base import Condition
from server.models.runners.containers.errors import DockerUnreachable
from server.models.runners.docker.runner import DockerRunner
from server.settings.tables import DockerSettings
from tests.docker.conftest import MakeRunner, model
from tests.docker.engine import Engine
from tests.docker.proxy import proxy
from tests.docker.watching import CEILING_SECONDS, NAME_A, A, answers, ends, says, silent


async def test_without_an_engine_a_start_says_so_at_once(
    settings: DockerSettings, tmp_path: Path
) -> None:
    runner = DockerRunner(
        replace(settings, host=f"unix://{tmp_path}/none.sock"), instance="test", ports=(1, 1)
    )
    with pytest.raises(DockerUnreachable, match="there is no socket") as caught:
        await runner.start(A, model("fake/tgi"), silent)
    assert "install Docker" in str(caught.value.hint)
    assert (await runner.inspect(A)).condition is Condition.UNKNOWN
    with pytest.raises(DockerUnreachable):
        await runner.list()
    with pytest.raises(DockerUnreachable):
        await runner.stop(A, grace_seconds=0)
    await runner.close()


async def test_the_engines_machine_is_told_or_why_it_cannot_be(
    make_runner: MakeRunner, settings: DockerSettings, engine: Engine, tmp_path: Path
) -> None:
    (here,) = (await make_runner().machines()).machines
    assert here.machine.kind == "here"
    assert here.machine.version == engine.ask("GET", "/version")["Version"]
    away = make_runner(settings=replace(settings, host=f"unix://{tmp_path}/none.sock"))
    lost = await away.machines()
    assert [one.machine.kind for one in lost.machines] == ["here"]
    assert "there is no socket" in lost.problems[0]
    far = make_runner(settings=replace(settings, host="tcp://127.0.0.1:9"))
    unknown = await far.machines()
    assert unknown.machines == ()
    assert "The Docker engine cannot be asked" in unknown.problems[0]


@pytest.mark.parametrize(
    "host", ["garbage", "/var/run/docker.sock", "fd://", "unix://", "tcp://", "ssh://", "tcp://h:x"]
)
async def test_an_invalid_engine_address_is_an_error(settings: DockerSettings, host: str) -> None:
    runner = DockerRunner(
        settings, instance="test", ports=(1, 1), environment={"DOCKER_HOST": host}
    )
    with pytest.raises(DockerUnreachable, match="is no address of an engine") as caught:
        await runner.start(A, model("fake/tgi"), silent)
    assert "unix:///PATH" in str(caught.value.hint)
    await runner.close()


async def test_an_engine_without_tls_where_there_should_be_is_no_question_of_rights(
    settings: DockerSettings,
) -> None:
    """OpenSSL's error number 1 is no EPERM."""

    async def speak_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 400 Client sent an HTTP request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    there = replace(settings, host=f"https://127.0.0.1:{port}")
    runner = DockerRunner(there, instance="test", ports=(1, 1), environment={})
    async with server:
        with pytest.raises(DockerUnreachable) as caught:
            await runner.start(A, model("fake/tgi"), silent)
    assert "right" not in caught.value.message
    assert "SSL" in caught.value.message
    await runner.close()


async def test_a_server_lives_on_while_its_engine_is_away(
    engine: Engine, make_runner: MakeRunner, settings: DockerSettings, tmp_path: Path
) -> None:
    async with proxy(tmp_path) as between:
        runner = make_runner(settings=replace(settings, host=between.host))
        endpoint = await runner.start(A, model("fake/tgi"), silent)
        await says(runner, A, "Connected")
        waiting = asyncio.create_task(runner.wait(A))
        following = asyncio.create_task(says(runner, A, "never said"))
        await between.cut()
        assert (await runner.inspect(A)).condition is Condition.UNKNOWN
        assert await answers(endpoint.url) == 200
        assert not waiting.done()
        assert not following.done()
        # What happens meanwhile is seen once the engine is back.
        engine.act(NAME_A, "kill")
        await between.open()
        async with asyncio.timeout(CEILING_SECONDS):
            assert (await waiting).condition is Condition.EXITED
            with pytest.raises(AssertionError, match="never said"):
                await following
        await runner.stop(A, grace_seconds=0)


async def test_a_start_waits_for_an_engine_that_has_answered_before(
    engine: Engine, make_runner: MakeRunner, settings: DockerSettings, tmp_path: Path
) -> None:
    told: asyncio.Queue[Progress] = asyncio.Queue()
    async with proxy(tmp_path) as between:
        runner = make_runner(settings=replace(settings, host=between.host))
        await runner.start(A, model("fake/tgi"), silent)
        await runner.stop(A, grace_seconds=0)
        await between.cut()
        starting = asyncio.create_task(runner.start(A, model("fake/tgi"), told.put_nowait))
        async with asyncio.timeout(CEILING_SECONDS):
            assert (await told.get()).text.startswith("waiting for the Docker engine")
            await between.open()
            endpoint = await starting
        await says(runner, A, "Connected")
        assert await answers(endpoint.url) == 200
        await runner.stop(A, grace_seconds=0)


async def test_an_engine_that_hangs_is_found_out(
    engine: Engine,
    make_runner: MakeRunner,
    settings: DockerSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.models.runners.docker.containers.CALL_SECONDS", 0.3)
    monkeypatch.setattr("server.models.runners.containers.client._PING_SECONDS", 0.3)
    async with proxy(tmp_path) as between:
        runner = make_runner(settings=replace(settings, host=between.host))
        between.freeze()
        async with asyncio.timeout(CEILING_SECONDS):
            assert (await runner.inspect(A)).condition is Condition.UNKNOWN
            with pytest.raises(ModelFailed, match="no answer within"):
                await runner.start(A, model("fake/tgi"), silent)


async def test_an_end_is_noticed_although_the_events_of_the_engine_hang(
    engine: Engine,
    make_runner: MakeRunner,
    settings: DockerSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when a machine goes away without a word: who waited for its events waited for ever."""
    async with proxy(tmp_path) as between:
        runner = make_runner(settings=replace(settings, host=between.host))
        await runner.start(A, model("fake/tgi"), silent)
        await says(runner, A, "Connected")
        await between.cut()
        monkeypatch.setattr("server.models.runners.containers.client.CALL_SECONDS", 0.5)
        await between.open()
        between.freeze("GET /events")
        async with asyncio.timeout(CEILING_SECONDS):
            await between.is_keeping_quiet.wait()
            # It is killed right after it was seen to run.
            between.hold(0, "answered")
            waiting = asyncio.create_task(runner.wait(A))
            await between.held.wait()
            await asyncio.to_thread(engine.act, NAME_A, "kill")
            between.let_go()
            assert (await waiting).condition is Condition.EXITED
        monkeypatch.undo()
        await runner.stop(A, grace_seconds=0)


async def test_a_log_goes_on_where_its_connection_broke(
    engine: Engine, make_runner: MakeRunner, settings: DockerSettings, tmp_path: Path
) -> None:
    """No line is missing, and none comes twice, though several bear the same time stamp."""
    async with proxy(tmp_path) as between:
        runner = make_runner(settings=replace(settings, host=between.host))
        await runner.start(A, model("program/chatter"), silent)
        seen: list[str] = []
        async with asyncio.timeout(CEILING_SECONDS):
            async for line in runner.logs(A, tail=10_000, follow=True):
                seen.append(line.text)
                if len(seen) in {1, 700, 2500}:
                    await between.cut()
                    await between.open()
                if line.text == "ready":
                    break
        assert seen == [*map(str, range(5000)), "ready"]
        await runner.stop(A, grace_seconds=0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"403 Forbidden\r\nContent-Type: text/html\r\n\r\n<h1>Forbidden</h1>", "Forbidden"),
        (b"200 OK\r\nContent-Type: application/json\r\n\r\n<h1>Welcome</h1>", "cannot be read"),
        (b"500 Oops\r\nContent-Type: application/json\r\n\r\n{}", "cannot be read"),
        (b"200 OK\r\nContent-Type: application/json\r\n\r\n{}", "cannot be read"),
    ],
)
async def test_another_server_in_the_engines_place_is_an_error(
    settings: DockerSettings, tmp_path: Path, answer: bytes, said: str
) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        is_ping = request.startswith(b"GET /_ping")
        writer.write(b"HTTP/1.1 " + (b"200 OK\r\n\r\nOK" if is_ping else answer))
        writer.close()

    path = tmp_path / "proxy.sock"
    settings = replace(settings, host=f"unix://{path}")
    runner = DockerRunner(settings, instance="test", ports=(1, 1), environment={})
    async with await asyncio.start_unix_server(speak, path):
        with pytest.raises(ModelFailed, match=said) as caught:
            await runner.start(A, model("fake/tgi"), silent)
        assert (caught.value.hint is not None) == (said == "Forbidden")
        assert (await runner.inspect(A)).condition is Condition.UNKNOWN
        await runner.close()


async def test_closing_a_runner_leaves_its_containers_to_the_next(
    engine: Engine, make_runner: MakeRunner
) -> None:
    runner = make_runner()
    endpoint = await runner.start(A, model("fake/tgi"), silent)
    await says(runner, A, "Connected")
    await runner.close()
    assert await answers(endpoint.url) == 200
    engine.act(NAME_A, "kill")
    successor = make_runner()
    assert (await ends(successor, A)).exit_code == 137
