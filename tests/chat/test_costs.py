"""What an answer cost: as its server says, or by set prices; unknown is not nothing."""

import json
from typing import Any

import pytest

from server.chat.costs import estimated_cost
from server.core.protocol import Cost
from tests.chat.conftest import OpenBackend, ask
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import like


def model(fake: Fake, **settings: Any) -> dict[str, Any]:
    """Return the settings of a model on the fake."""
    return {"runner": "remote", "url": fake.api, "dialect": "openai", "flavour": "vllm", **settings}


@pytest.mark.parametrize(
    ("tokens", "prices", "amount"),
    [
        ((1_000_000, 500_000), (3.0, 15.0), 10.5),
        ((10, 20), (1.0, 2.0), 0.00005),
        ((0, 0), (1.0, 2.0), 0.0),
        ((10, 20), (0.0, 0.0), 0.0),
        ((None, 20), (0.0, 2.0), 0.00004),
        ((None, 20), (1.0, 2.0), None),
        ((10, None), (1.0, 2.0), None),
        ((10, 20), (None, 2.0), None),
        ((10, 20), (1.0, None), None),
        ((10, 20), (None, None), None),
    ],
)
def test_tokens_times_prices_as_far_as_both_are_known(
    tokens: tuple[int | None, int | None],
    prices: tuple[float | None, float | None],
    amount: float | None,
) -> None:
    cost = estimated_cost(*tokens, price_in=prices[0], price_out=prices[1])
    if amount is None:
        assert cost is None
    else:
        assert cost is not None
        assert cost.estimated
        assert cost.amount == pytest.approx(amount)


async def test_an_answer_costs_what_prices_say(chat_backend: OpenBackend) -> None:
    async with serve(like("vllm", prompt_tokens=1000)) as fake:
        o = await chat_backend(
            models={"a": model(fake, price_in=1.0, price_out=2.0), "b": model(fake)}
        )
        session, reader = o.session()
        session.generate(ask("a", "b"))
        end = await reader.end("g1")
        assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (1000, 8)
        assert end.cost == Cost(0.001016, estimated=True)
        assert (await reader.end("g2")).cost is None


async def test_the_servers_cost_comes_first(chat_backend: OpenBackend) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "cost": 0.25}
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    ]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    events = [_event({"id": "c", "model": "m", **chunk}) for chunk in chunks]
    replay = {"POST /v1/completions": [head, *events, b"data: [DONE]\n\n"]}
    async with serve(like("vllm", replay=replay)) as fake:
        o = await chat_backend(models={"a": model(fake, price_in=1.0, price_out=2.0)})
        session, reader = o.session()
        session.generate(ask("a"))
        assert (await reader.end("g1")).cost == Cost(0.25)


@pytest.mark.parametrize(("price_in", "amount"), [(0.0, 0.000004), (1.0, None)])
async def test_a_cancelled_answer_costs_what_was_counted(
    chat_backend: OpenBackend, price_in: float, amount: float | None
) -> None:
    """The fake counts no prompt beforehand, so with a price on it nobody knows."""
    async with serve(like("vllm", hold_after=2)) as fake:
        o = await chat_backend(models={"a": model(fake, price_in=price_in, price_out=2.0)})
        session, reader = o.session()
        session.generate(ask("a"))
        await reader.sees(lambda: reader.seq("g1") == 2)
        session.cancel(None)
        cost = (await reader.end("g1")).cost
        assert cost == (None if amount is None else Cost(amount, estimated=True))


async def test_an_answer_that_never_began_has_no_cost(chat_backend: OpenBackend) -> None:
    async with serve(like("vllm", hold_after=-1)) as fake:
        o = await chat_backend(models={"a": model(fake, price_in=0.0, price_out=2.0)})
        session, reader = o.session()
        session.generate(ask("a"))
        await fake.state.reaches(held=1)
        session.cancel(None)
        assert (await reader.end("g1")).cost is None


async def test_an_answer_given_again_costs_nothing(chat_backend: OpenBackend) -> None:
    async with serve(like("vllm")) as fake:
        models = {"a": model(fake, price_in=1.0, price_out=2.0)}
        o = await chat_backend(models=models, cache_bytes=1_000_000)
        session, reader = o.session()
        for generation, is_cached in (("g1", False), ("g2", True)):
            session.generate(ask("a", parameters={"temperature": 0}))
            end = await reader.end(generation)
            assert (end.cached, end.cost is None) == (is_cached, is_cached)


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"
