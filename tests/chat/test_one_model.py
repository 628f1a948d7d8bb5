"""A server that holds one model at a time: asked for one after the other, and said so."""

from typing import Any

from server.core.protocol import Notice, State
from tests.chat.conftest import OpenBackend, ask
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import like
from tests.support.reader import Reader

FOR_ONE = Notice("waits_for_model", "waits for one on this server", {"model": "u/one"})
LOADS = Notice("server_loads", "the server loads the model")


def server(fake: Fake, **settings: Any) -> dict[str, dict[str, Any]]:
    """Return the settings of a server with two models, one of which it holds."""
    common = {"url": fake.api, "dialect": "openai", "flavour": "vllm", "models": ("one", "two")}
    return {"u": {**common, "holds_one_model": True, **settings}}


def notices(reader: Reader, generation: str) -> list[Notice | None]:
    """Return what was said of a generation's states, once each."""
    return [state.notice for state in reader.of(State, generation)]


async def test_two_models_and_four_prompts_change_the_model_once(chat_backend: OpenBackend) -> None:
    async with serve(like("vllm", models=("one", "two"), hold_after=1)) as fake:
        o = await chat_backend(upstreams=server(fake))
        session, reader = o.session()
        session.generate(ask("u/one", "u/two"))
        await reader.sees(lambda: reader.seq("g1"))
        for _ in range(3):
            session.generate(ask("u/one", "u/two"))
        await fake.state.reaches(started=4)
        await reader.sees(lambda: notices(reader, "g8")[-1:] == [FOR_ONE])
        positions = [reader.of(State, one)[-1].position for one in ("g2", "g4", "g6", "g8")]
        assert positions == [1, 2, 3, 4]
        assert fake.state.counts["started"] == 4
        fake.state.release()
        for number in range(1, 9):
            assert (await reader.end(f"g{number}")).finish_reason == "length"
        assert [body["model"] for body in fake.state.requests] == ["one"] * 4 + ["two"] * 4
        # Those that had to wait say afterwards that the server loads their model.
        assert LOADS in notices(reader, "g2")
        assert LOADS not in notices(reader, "g3")


async def test_cancelling_what_waits_for_another_model(chat_backend: OpenBackend) -> None:
    async with serve(like("vllm", models=("one", "two"), hold_after=1)) as fake:
        o = await chat_backend(upstreams=server(fake))
        session, reader = o.session()
        session.generate(ask("u/one", "u/two"))
        await reader.sees(lambda: FOR_ONE in notices(reader, "g2"))
        assert session.cancel(["g2"]) == ["g2"]
        assert (await reader.end("g2")).finish_reason == "cancelled"
        assert [body["model"] for body in fake.state.requests] == ["one"]


async def test_a_cancelled_answer_makes_way_for_the_other_model(chat_backend: OpenBackend) -> None:
    async with serve(like("vllm", models=("one", "two"), hold_after=1)) as fake:
        o = await chat_backend(upstreams=server(fake))
        session, reader = o.session()
        session.generate(ask("u/one", "u/two"))
        await reader.sees(lambda: reader.seq("g1") and FOR_ONE in notices(reader, "g2"))
        session.cancel(["g1"])
        await fake.state.reaches(cancelled=1, started=2)
        assert fake.state.requests[-1]["model"] == "two"
        fake.state.release()
        assert (await reader.end("g2")).finish_reason == "length"


async def test_a_server_that_holds_all_its_models_answers_with_all_at_once(
    chat_backend: OpenBackend,
) -> None:
    async with serve(like("vllm", models=("one", "two"), hold_after=1)) as fake:
        o = await chat_backend(upstreams=server(fake, holds_one_model=False))
        session, reader = o.session()
        session.generate(ask("u/one", "u/two"))
        await reader.sees(lambda: reader.seq("g1") and reader.seq("g2"))
        assert not any(notices(reader, "g2"))
        fake.state.release()
        for one in ("g1", "g2"):
            await reader.end(one)
