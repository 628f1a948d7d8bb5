"""A generation service with sessions, and a fake fleet behind it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

import tests.support.properties  # noqa: F401
from server.access.principal import Principal
from server.access.quota import Quota
from server.chat.admission import Admission
from server.chat.answer_cache import AnswerCache
from server.chat.generation_service import GenerationService
from server.chat.session import Session, SessionLimits
from server.chat.session_store import SessionStore, StoreLimits
from server.core.protocol import Generate, Target
from server.settings.access import AccessSettings
from tests.support.fake_fleet import FakeFleet, FakeRunner, fake_fleet
from tests.support.reader import Reader


def person(name: str) -> Principal:
    """Return somebody who may do everything."""
    return Principal(name, name, "operator")


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class ChatBackend:
    """Everything a client speaks to, short of the socket."""

    stage: FakeFleet
    service: GenerationService
    store: SessionStore
    clock: Clock

    def session(self, principal: str = "me") -> tuple[Session, Reader]:
        """Open a session with one reader attached."""
        session, reader = self.store.create(person(principal)), Reader()
        session.add_outbox(reader.outbox)
        return session, reader


OpenBackend = Callable[..., Any]


@pytest.fixture
async def chat_backend() -> AsyncIterator[OpenBackend]:
    """Return `await chat_backend(...)`: open one, told how the models and the limits are."""
    async with AsyncExitStack() as stack:

        async def opened(
            runner: FakeRunner | None = None,
            *,
            models: dict[str, dict[str, Any]] | None = None,
            upstreams: dict[str, dict[str, Any]] | None = None,
            cache_bytes: int = 0,
            queue_timeout: float = 20.0,
            max_queue: int = 100,
            live: int = 100,
            retained: int = 100,
            retained_chars: int = 1_000_000,
            sessions: int = 100,
            owner: int = 1000,
            prompt_chars: int = 1_000_000,
            answer_seconds: float = 1000.0,
            ttl: float = 300.0,
            **limits: Any,
        ) -> ChatBackend:
            s = await stack.enter_async_context(
                fake_fleet(runner, models=models, upstreams=upstreams, **limits)
            )
            service = GenerationService(
                s.fleet,
                Admission(max_slots=max_queue),
                AnswerCache(max_bytes=cache_bytes, max_age_seconds=60.0),
                queue_timeout_seconds=queue_timeout,
                max_live_per_owner=owner,
                max_prompt_chars=prompt_chars,
                generation_timeout_seconds=answer_seconds,
                quota=Quota(AccessSettings(), applies=lambda: False, clock=lambda: 0.0),
            )
            stack.push_async_callback(service.close, grace_seconds=0)
            clock = Clock()
            store = SessionStore(
                service,
                StoreLimits(sessions, ttl, SessionLimits(live, retained, retained_chars)),
                clock=clock,
            )
            return ChatBackend(s, service, store, clock)

        yield opened


def ask(*models: str, prompt: str = "Tell me.", **fields: Any) -> Generate:
    """Ask models for a short answer."""
    parameters = {"max_new_tokens": 8} | fields.pop("parameters", {})
    targets = fields.pop("targets", None) or [Target(model) for model in models]
    return Generate(1, targets, prompt=prompt, parameters=parameters, **fields)
