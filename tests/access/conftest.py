"""A gateway with two remote models before one fake, and a folder of its own for its keys."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from server.access.exposure import key_file_of
from server.settings.access import AccessSettings
from server.settings.models import ModelSettings
from server.settings.tables import AnswerSettings, Settings
from tests.access.keyed_gateway import KeyedGateway
from tests.conftest import StartFake
from tests.web.gateway import remote, running, server_settings

Open = Callable[..., Awaitable[KeyedGateway]]


@pytest.fixture
async def open_keyed(tmp_path: Path, fake_tgi: StartFake) -> AsyncIterator[Open]:
    """Return `await open_keyed(access={}, server={}, answers={}, **options of the fake)`.

    Its keys are `op`, an operator's, and `use`, a user's; `keys=False` leaves it open.
    """
    async with AsyncExitStack() as stack:

        async def start(
            *,
            keys: bool = True,
            access: dict[str, Any] | None = None,
            server: dict[str, Any] | None = None,
            answers: dict[str, Any] | None = None,
            models: Mapping[str, ModelSettings] | None = None,
            **options: Any,
        ) -> KeyedGateway:
            fake = await fake_tgi(**options)
            settings = Settings(
                server=server_settings(state_dir=tmp_path / "state", **(server or {})),
                access=AccessSettings(**(access or {})),
                answers=AnswerSettings(**(answers or {})),
                models=models or {"m": remote(fake.url), "other": remote(fake.url)},
            )
            file = key_file_of(settings)
            keyed = KeyedGateway(None, fake, file)  # type: ignore[arg-type]
            if keys:
                keyed.write("op")
                keyed.write("use", "user")
            keyed.gateway = await stack.enter_async_context(running(settings))
            return keyed

        yield start


@pytest.fixture
async def keyed(open_keyed: Open) -> KeyedGateway:
    """Run a gateway whose fake pauses each answer after its first token."""
    return await open_keyed(text="one two three", hold_after=1)
