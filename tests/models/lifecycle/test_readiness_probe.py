"""The probe of a remote server: what is known until it is ready, or why it is not."""

import asyncio
from typing import cast

import pytest

from server.core.errors import (
    EngineError,
    EngineLost,
    EngineOverloaded,
    EngineTimeout,
    ModelFailed,
    SidestreamError,
)
from server.dialects.base import Endpoint, EngineInfo, ServedModel, Upstream
from server.models.lifecycle import attempt as attempts
from server.models.lifecycle.attempt import Attempt
from server.models.lifecycle.readiness_probe import ReadinessProbe
from server.models.lifecycle.start_estimates import StartEstimates
from server.models.logbook import LogBook
from server.models.metrics import StartCounters
from server.models.runners.base import Replica
from tests.support.fake_fleet import CEILING_SECONDS, LIMITS, FakeRunner
from tests.support.specs import spec

ENDPOINT = Endpoint("http://h:1")


class Server:
    """A server that is connected to, looked at and asked for its list, each with what is set."""

    def __init__(self) -> None:
        self.no_connection: SidestreamError | None = None
        self.no_list: SidestreamError | None = None
        self.is_well = False
        self.lists_asked = 0
        self.looks = 0
        self.was_looked_at = asyncio.Event()
        self.is_closed = False

    async def connect(self, endpoint: Endpoint) -> Upstream:
        if self.no_connection is not None:
            raise self.no_connection
        return cast(Upstream, self)

    async def is_healthy(self, *, timeout_seconds: float) -> bool:
        self.looks += 1
        self.was_looked_at.set()
        return self.is_well

    async def models(self) -> list[ServedModel]:
        self.lists_asked += 1
        if self.no_list is not None:
            raise self.no_list
        return []

    async def describe(self, model: str) -> EngineInfo:
        if self.no_list is not None:
            raise self.no_list
        return EngineInfo(model)

    async def close(self) -> None:
        self.is_closed = True


def attempt_at(server: Server, runner: FakeRunner, log: LogBook) -> Attempt:
    """Return an attempt to bring up a server of ours, called `a`."""
    return Attempt(
        spec("x"),
        Replica("test", "a"),
        runner,
        server.connect,
        LIMITS,
        log,
        estimates=StartEstimates(),
        counters=StartCounters(),
        on_progress=lambda event, progress: None,
    )


def to_somebody_elses(server: Server) -> ReadinessProbe:
    return ReadinessProbe(server.connect, asks_why=True, gives_up=True, is_patient=False)


async def test_a_server_that_is_well_is_given_and_closed_at_the_end() -> None:
    server = Server()
    server.is_well = True
    probe = to_somebody_elses(server)
    assert await probe.probe(ENDPOINT) is not None
    assert server.lists_asked == 0
    await probe.close()
    assert server.is_closed
    await to_somebody_elses(server).close()


async def test_a_server_that_says_it_is_not_ready_is_not_ready() -> None:
    server = Server()
    probe = to_somebody_elses(server)
    server.no_connection = EngineOverloaded("asleep")
    assert await probe.probe(ENDPOINT) is None
    assert probe.not_ready_message == "asleep"
    server.no_connection, server.no_list = None, EngineOverloaded("waking up")
    assert await probe.probe(ENDPOINT) is None
    assert probe.not_ready_message == "waking up"
    server.is_well, server.no_list = True, None
    assert await probe.probe(ENDPOINT) is not None


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (EngineLost("refused"), "no model server answers at URL"),
        (EngineTimeout("silence"), "no model server answers at URL in time"),
        (EngineError("404", hint="look"), "what answers at URL cannot be used: 404"),
        (None, "what answers at URL cannot be used: it answers, and says that it is not well"),
    ],
)
async def test_why_it_never_is_well_is_told(problem: SidestreamError | None, message: str) -> None:
    server = Server()
    server.no_list = problem
    probe = to_somebody_elses(server)
    assert await probe.probe(ENDPOINT) is None
    assert not probe.not_ready_message
    failed = probe.failure("URL")
    assert failed.message == message
    assert failed.hint
    assert problem is None or problem.hint in (None, failed.hint)


async def test_a_server_of_another_kind_is_not_waited_for() -> None:
    server = Server()
    server.no_connection = EngineError("a web page")
    with pytest.raises(EngineError, match="a web page"):
        await to_somebody_elses(server).probe(ENDPOINT)


async def test_servers_of_ours_are_only_looked_at() -> None:
    server = Server()
    probe = ReadinessProbe(server.connect, asks_why=False, gives_up=False, is_patient=False)
    assert await probe.probe(ENDPOINT) is None
    assert server.lists_asked == 0


async def test_a_model_is_described_only_while_its_server_answers() -> None:
    server = Server()
    probe = to_somebody_elses(server)
    assert await probe.described("m") is None
    await probe.probe(ENDPOINT)
    assert await probe.described("m") == EngineInfo("m")
    server.no_list = EngineError("not now")
    assert await probe.described("m") is None


async def test_the_connections_of_an_attempt_go_even_if_its_end_is_cancelled() -> None:
    """Regression: a gateway that stopped while an attempt ended left its connections open."""
    server = Server()
    attempt = attempt_at(server, FakeRunner(), LogBook())
    attempt._probe.upstream = cast(Upstream, server)
    is_ending, may_end = asyncio.Event(), asyncio.Event()

    async def follow_a_log() -> None:
        try:
            await may_end.wait()
        finally:
            is_ending.set()
            await may_end.wait()

    following = asyncio.create_task(follow_a_log())
    attempt._following.append(following)
    await asyncio.sleep(0)
    closing = asyncio.create_task(attempt.close())
    async with asyncio.timeout(CEILING_SECONDS):
        await is_ending.wait()
        closing.cancel()
        await asyncio.wait([closing])
    assert server.is_closed
    may_end.set()
    await asyncio.wait([following])


@pytest.fixture
def looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server that does not say that it serves be probed once within the test's time."""
    monkeypatch.setattr(attempts, "_FIRST_PROBE_SECONDS", 10 * CEILING_SECONDS)


@pytest.mark.usefixtures("looks_once")
@pytest.mark.parametrize(
    "line",
    [
        '{"level":"INFO","fields":{"message":"up","progress":{"phase":"serving"}}}',
        "0.00.321.235 I srv  llama_server: listening on http://127.0.0.1:19998",
        '{"timestamp":"2026-11-29T13:36:26.612150Z","level":"INFO","message":"Connected"}',
        "(APIServer pid=1) INFO:     Application startup complete.",
        "[2026-11-29 20:35:28] The server is fired up and ready to roll!",
    ],
    ids=["embedded", "llama.cpp", "tgi", "vllm", "sglang"],
)
async def test_a_server_that_says_that_it_serves_is_probed_at_once(line: str) -> None:
    server, runner, log = Server(), FakeRunner(), LogBook()
    attempt = attempt_at(server, runner, log)
    bringing_up = asyncio.create_task(attempt.bring_up())
    async with asyncio.timeout(CEILING_SECONDS):
        await server.was_looked_at.wait()
        server.is_well = True
        runner.say("a", "loading", line)
        assert (await bringing_up).info == EngineInfo("")
    assert server.looks == 2
    await attempt.close()
    await runner.close()


@pytest.mark.usefixtures("looks_once")
async def test_repeated_ready_lines_do_not_probe_each_time() -> None:
    server, runner, log = Server(), FakeRunner(), LogBook()
    attempt = attempt_at(server, runner, log)
    bringing_up = asyncio.create_task(attempt.bring_up())
    async with asyncio.timeout(CEILING_SECONDS):
        for text in ("Connected", "Connected", "Connected", "bye"):
            await server.was_looked_at.wait()
            runner.say("a", text)
            async for _ in log.read(tail=1, follow=True):
                if log.tail(1)[0].text == text:
                    break
            # Time for a probe, if there is to be one.
            for _ in range(20):
                await asyncio.sleep(0)
        runner.crash("a", 1)
        with pytest.raises(ModelFailed):
            await bringing_up
    assert server.looks == 2
    await attempt.close()
    await runner.close()
