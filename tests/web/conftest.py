"""A gateway before fakes, as the tests of HTTP want it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from server.settings.conversations import ConversationSettings
from server.settings.models import ModelSettings
from server.settings.tables import AnswerSettings, EngineSettings, Settings
from tests.conftest import StartFake
from tests.fakes.tgi import Fake
from tests.support.dialogue import Dialogue
from tests.web.gateway import Gateway, own, ports, remote, running, server_settings
from tests.web.speaking import ready, speaking

Start = Callable[..., Awaitable[Gateway]]
StartWithFake = Callable[..., Awaitable[tuple[Gateway, Fake]]]


@pytest.fixture
async def start_gateway() -> AsyncIterator[Start]:
    """Return `await start_gateway(models, *flags, server={}, answers={}, engines={})`."""
    async with AsyncExitStack() as stack:

        async def start(
            models: dict[str, ModelSettings],
            *fake_flags: str,
            server: dict[str, Any] | None = None,
            answers: dict[str, Any] | None = None,
            engines: dict[str, Any] | None = None,
            conversations: ConversationSettings | None = None,
        ) -> Gateway:
            settings = Settings(
                conversations=conversations or ConversationSettings(),
                server=server_settings(**(server or {})),
                answers=AnswerSettings(**(answers or {})),
                engines=EngineSettings(**{"ports": ports(), "stop_grace": 1.0, **(engines or {})}),
                models=models,
            )
            return await stack.enter_async_context(running(settings, *fake_flags))

        yield start


@pytest.fixture
async def before_fake(fake_tgi: StartFake, start_gateway: Start) -> StartWithFake:
    """Return `gateway, fake = await before_fake(answer_tokens=3)`: its model `m` is that fake."""

    async def start(
        *,
        server: dict[str, Any] | None = None,
        answers: dict[str, Any] | None = None,
        model: dict[str, Any] | None = None,
        **options: Any,
    ) -> tuple[Gateway, Fake]:
        fake = await fake_tgi(**options)
        models = {"m": remote(fake.url, **(model or {}))}
        return await start_gateway(models, server=server, answers=answers), fake

    return start


@pytest.fixture
async def cold(start_gateway: Start) -> Start:
    """Return `await cold("--load-seconds", "1")`: a model `m` that has yet to be started."""

    async def start(*fake_flags: str, **words: Any) -> Gateway:
        return await start_gateway({"m": own()}, *fake_flags, **words)

    return start


@pytest.fixture
async def client(start_gateway: Start, fake_tgi: StartFake) -> AsyncIterator[Dialogue]:
    """Speak to a gateway with two remote models, which are ready."""
    models = {
        "smollm2-135m": remote((await fake_tgi(model_id="one")).url, name="SmolLM2"),
        "gpt2": remote((await fake_tgi(model_id="two", no_template=True)).url),
    }
    async with speaking(await start_gateway(models)) as client:
        for model in models:
            await ready(client, model)
        yield client
