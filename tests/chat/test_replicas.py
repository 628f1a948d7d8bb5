"""Several servers of one model: who is asked, and what becomes of answers when one is lost."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from server.chat.session import Session
from server.core.placement import Capacity
from server.core.protocol import Generate, Message, State, Target
from tests.chat.conftest import ChatBackend, OpenBackend, ask
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import FakeOptions, like
from tests.support.fake_fleet import FakeRunner
from tests.support.gates import Gate
from tests.support.ports import free_ports
from tests.support.reader import Reader
from tests.support.specs import catalog


@asynccontextmanager
async def fakes(*options: FakeOptions) -> AsyncIterator[list[Fake]]:
    """Run several servers of the same model."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(serve(one)) for one in options]


async def opened(
    chat_backend: OpenBackend, several: list[Fake], *, urls: tuple[str, ...] = (), **settings: Any
) -> ChatBackend:
    """Open a backend with the model `a` on all of these servers, all of them ready."""
    own: dict[str, Any] = {"dialect": "openai", "flavour": "vllm", "max_concurrent": 2}
    own |= {"runner": "remote", "urls": (*(fake.api for fake in several), *urls), **settings}
    o: ChatBackend = await chat_backend(models={"a": own}, health_interval=0.05)
    await o.stage.sees(lambda model: ready(model) == len(several))
    return o


def ready(model: Any) -> int:
    """Return how many replicas are ready."""
    return sum(one.state == "ready" for one in model.replicas)


def ready_of(model: Any) -> list[int]:
    """Return the numbers of the replicas that are ready."""
    return [one.number for one in model.replicas or () if one.state == "ready"]


def held() -> FakeOptions:
    """Return a server that stops after its first token until it is released."""
    return like("vllm", hold_after=1)


async def answered(session: Session, reader: Reader, *messages: Message) -> Any:
    """Return the number of the replica that answers a conversation."""
    parameters = {"max_new_tokens": 8}
    command = Generate(1, [Target("a")], messages=list(messages), parameters=parameters)
    (number,) = session.generate(command)
    return (await reader.end(number)).details["replica"]


async def test_answers_are_divided_and_a_queue_forms_only_when_all_are_full(
    chat_backend: OpenBackend,
) -> None:
    async with fakes(held(), held(), held()) as several:
        o = await opened(chat_backend, several)
        session, reader = o.session()
        for _ in range(7):
            session.generate(ask("a"))
        for fake in several:
            await fake.state.reaches(started=2)
        await reader.sees(lambda: [s.position for s in reader.of(State, "g7")][-1:] == [1])
        assert [fake.state.counts["started"] for fake in several] == [2, 2, 2]
        model = o.stage.fleet.snapshot("a")
        assert model.limits["max_concurrent"] == 6
        assert model.replicas is not None
        assert [(one.number, one.answers, one.state) for one in model.replicas] == [
            (1, 2, "ready"),
            (2, 2, "ready"),
            (3, 2, "ready"),
        ]
        several[1].state.release()
        await several[1].state.reaches(started=3)
        for fake in several:
            fake.state.release()
        for number in range(1, 8):
            assert (await reader.end(f"g{number}")).finish_reason == "length"
        assert (await reader.end("g7")).details["replica"] == 2
        asked = [(await reader.end(f"g{number}")).details["replica"] for number in range(1, 7)]
        assert sorted(asked) == [1, 1, 2, 2, 3, 3]


async def test_a_replica_that_is_lost_before_its_first_token_has_another_asked(
    chat_backend: OpenBackend,
) -> None:
    async with fakes(like("vllm", cut_after=0), like("vllm")) as several:
        o = await opened(chat_backend, several)
        session, reader = o.session()
        session.generate(ask("a"))
        end = await reader.end("g1")
        assert (end.finish_reason, end.details["replica"]) == ("length", 2)
        (notice,) = [one for one in end.notices if one.code == "asked_another"]
        assert notice.details == {"replica": 1}
        assert [fake.state.counts["started"] for fake in several] == [1, 1]


async def test_each_replica_is_asked_once_and_the_last_ones_cause_is_told(
    chat_backend: OpenBackend,
) -> None:
    async with fakes(*[like("vllm", cut_after=0)] * 3) as several:
        o = await opened(chat_backend, several)
        session, reader = o.session()
        session.generate(ask("a"))
        end = await reader.end("g1")
        assert end.finish_reason == "failed"
        assert end.error is not None
        assert end.error.code == "engine_error"
        assert [one.code for one in end.notices] == ["asked_another"] * 2
        assert [fake.state.counts["started"] for fake in several] == [1, 1, 1]


async def test_after_its_first_token_an_answer_is_not_asked_for_again(
    chat_backend: OpenBackend,
) -> None:
    async with fakes(like("vllm", cut_after=3), like("vllm")) as several:
        o = await opened(chat_backend, several)
        session, reader = o.session()
        session.generate(ask("a"))
        end = await reader.end("g1")
        assert (end.finish_reason, end.details["replica"]) == ("failed", 1)
        assert reader.text("g1")
        assert several[1].state.counts["started"] == 0


async def test_a_replica_that_fails_at_once_has_another_asked(chat_backend: OpenBackend) -> None:
    async with fakes(like("vllm", error_status=500), like("vllm")) as several:
        o = await opened(chat_backend, several)
        session, reader = o.session()
        for number in range(1, 4):
            session.generate(ask("a"))
            end = await reader.end(f"g{number}")
            assert (end.finish_reason, end.details["replica"]) == ("length", 2)


async def test_an_overloaded_replica_has_another_asked_at_once(chat_backend: OpenBackend) -> None:
    async with fakes(like("vllm", overloaded=True), like("vllm")) as several:
        o = await opened(chat_backend, several)
        session, reader = o.session()
        session.generate(ask("a"))
        end = await reader.end("g1")
        assert (end.finish_reason, end.details["replica"]) == ("length", 2)


async def test_a_replica_that_comes_makes_room_for_those_that_wait(
    chat_backend: OpenBackend,
) -> None:
    port, _ = free_ports(2)
    async with fakes(held()) as several:
        o = await opened(chat_backend, several, urls=(f"http://127.0.0.1:{port}/v1",))
        session, reader = o.session()
        for _ in range(3):
            session.generate(ask("a"))
        await reader.sees(lambda: [s.position for s in reader.of(State, "g3")][-1:] == [1])
        async with serve(like("vllm"), port=port):
            end = await reader.end("g3")
            assert (end.finish_reason, end.details["replica"]) == ("length", 2)
        several[0].state.release()
        assert (await reader.end("g1")).finish_reason == "length"


async def test_another_max_concurrent_holds_for_what_waits(chat_backend: OpenBackend) -> None:
    async with fakes(held(), held()) as several:
        o = await opened(chat_backend, several, max_concurrent=1)
        session, reader = o.session()
        for _ in range(3):
            session.generate(ask("a"))
        await reader.sees(lambda: [s.position for s in reader.of(State, "g3")][-1:] == [1])
        settings = replace(o.stage.fleet.spec("a").settings, max_concurrent=2)
        o.stage.fleet.change(catalog(a=vars(settings)))
        await reader.sees(lambda: reader.seq("g3"))
        for fake in several:
            fake.state.release()


async def test_a_model_is_ready_while_one_of_its_servers_is(chat_backend: OpenBackend) -> None:
    ports = free_ports(2)
    urls = tuple(f"http://127.0.0.1:{port}/v1" for port in ports)
    o = await opened(chat_backend, [], urls=urls)
    model = await o.stage.sees(lambda m: [one.state for one in m.replicas or ()] == ["failed"] * 2)
    assert model.state == "failed"
    session, reader = o.session()
    session.generate(ask("a"))
    end = await reader.end("g1")
    assert end.error is not None
    assert f"127.0.0.1:{ports[0]}" in end.error.message
    async with serve(like("vllm"), port=ports[1]):
        model = await o.stage.state("ready")
        assert model.replicas is not None
        assert [(one.state, one.error is None) for one in model.replicas] == [
            ("failed", False),
            ("ready", True),
        ]
        session.generate(ask("a"))
        assert (await reader.end("g2")).details["replica"] == 2


async def test_a_conversation_comes_back_to_its_replica_unless_that_is_busy(
    chat_backend: OpenBackend,
) -> None:
    async with fakes(like("vllm"), like("vllm")) as several:
        o = await opened(chat_backend, several, affinity=1, max_concurrent=8)
        session, reader = o.session()
        asked = {}
        for words in ("One.", "Two."):
            asked[words] = await answered(session, reader, Message("user", words))
        assert sorted(asked.values()) == [1, 2]
        for words in ("Two.", "Two.", "One.", "Two."):
            turns = [Message("user", words), Message("assistant", "Yes."), Message("user", "Why?")]
            assert await answered(session, reader, *turns) == asked[words]


async def test_managed_replicas_start_together_and_the_first_ready_one_answers(
    chat_backend: OpenBackend,
) -> None:
    runner = FakeRunner()
    runner.loading = Gate()
    o = await chat_backend(runner, models={"a": {"weights": "x", "replicas": (3, 3)}})
    session, reader = o.session()
    session.generate(ask("a"))
    assert (await reader.end("g1")).finish_reason == "length"
    await o.stage.sees(lambda model: ready(model) == 3)
    assert runner.starts == 3


async def test_a_crash_ends_the_answers_of_that_replica_only(chat_backend: OpenBackend) -> None:
    runner = FakeRunner(hold_after=1)
    o = await chat_backend(runner, models={"a": {"weights": "x", "replicas": (2, 2)}}, restarts=3)
    o.stage.fleet.start("a")
    await o.stage.sees(lambda model: ready(model) == 2)
    session, reader = o.session()
    session.generate(ask("a"))
    session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g1") and reader.seq("g2"))
    runner.crash("a", 9, "no more")
    lost = await reader.end("g1")
    assert lost.error is not None
    assert (lost.finish_reason, lost.details["replica"]) == ("failed", 1)
    model = o.stage.fleet.snapshot("a")
    assert model.state == "ready"
    for fake in [server.fake for server in runner.servers.values()]:
        if fake is not None:
            fake.state.release()
    assert (await reader.end("g2")).finish_reason == "length"
    await o.stage.sees(lambda model: ready(model) == 2)


def release(runner: FakeRunner, number: int) -> None:
    """Let the answers of one replica go on."""
    fake = runner.server("a", number).fake
    assert fake is not None
    fake.state.release()


async def test_a_replica_writes_while_another_one_ends_its_answers(
    chat_backend: OpenBackend,
) -> None:
    runner = FakeRunner(hold_after=1)
    settings = {"weights": "x", "replicas": (2, 2), "max_concurrent": 2}
    o = await chat_backend(runner, models={"a": settings}, capacity=Capacity(max_running=2))
    o.stage.fleet.start("a")
    await o.stage.sees(lambda model: ready(model) == 2)
    session, reader = o.session()
    for _ in range(8):
        session.generate(ask("a"))
    await reader.sees(lambda: all(reader.seq(f"g{number}") for number in range(1, 5)))
    o.stage.fleet.restart("a")
    await o.stage.sees(lambda model: ready(model) == 1)
    # The first one has two answers to end; the second one goes on with those that wait.
    release(runner, 2)
    await reader.sees(lambda: reader.seq("g5") and reader.seq("g6"))
    assert not reader.seq("g7")
    model = o.stage.fleet.snapshot("a")
    assert model.replicas is not None
    assert [(one.state, one.answers) for one in model.replicas] == [("stopping", 2), ("ready", 2)]


async def test_an_answer_that_waited_longer_than_its_replica_lived_is_written_by_another(
    chat_backend: OpenBackend,
) -> None:
    runner = FakeRunner(hold_after=1)
    o = await chat_backend(runner, models={"a": {"weights": "x", "max_concurrent": 1}})
    session, reader = o.session()
    session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g1"))
    o.stage.fleet.restart("a")
    await o.stage.sees(lambda model: ready_of(model) == [2])
    # These are told of the additional replica: g4 waits until it is gone.
    for _ in range(3):
        session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g2"))
    release(runner, 1)
    await reader.sees(lambda: reader.seq("g3"))
    release(runner, 2)
    await o.stage.sees(lambda model: model.replicas is None)
    release(runner, 1)
    end = await reader.end("g4")
    assert (end.finish_reason, end.notices) == ("length", [])


async def test_a_restart_without_room_for_another_server_loses_nothing_that_waits(
    chat_backend: OpenBackend,
) -> None:
    runner = FakeRunner(hold_after=1)
    settings = {"weights": "x", "max_concurrent": 1}
    o = await chat_backend(runner, models={"a": settings}, capacity=Capacity(max_running=1))
    session, reader = o.session()
    for _ in range(3):
        session.generate(ask("a"))
    await reader.sees(lambda: reader.seq("g1"))
    o.stage.fleet.restart("a")
    await o.stage.state("stopping")
    for number in (1, 2, 3):
        await reader.sees(lambda name=f"g{number}": reader.seq(name))
        for server in runner.servers.values():
            if server.fake is not None:
                server.fake.state.release()
        assert (await reader.end(f"g{number}")).finish_reason == "length"
    assert runner.starts == 2
