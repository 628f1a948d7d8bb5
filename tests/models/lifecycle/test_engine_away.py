"""A Docker engine that does not answer: each error is logged once, and shown on waiting models."""

import asyncio
import logging
from typing import Any

import pytest

from server.core.errors import ModelFailed
from server.models.lifecycle import deployments
from server.models.runners.base import Observation
from tests.support.fake_fleet import CEILING_SECONDS, FakeRunner, fake_fleet

MODELS: dict[str, dict[str, Any]] = {
    "asked": {"runner": "docker", "model_id": "x", "preload": True},
    "idle": {"runner": "docker", "model_id": "x"},
}


class AwayRunner(FakeRunner):
    """A runner whose engine does not answer as often as there are reasons, saying them."""

    def __init__(self, *reasons: str) -> None:
        super().__init__()
        self.reasons = list(reasons)
        self.errors_seen: list[tuple[str | None, str | None]] = []

    async def list(self) -> list[Observation]:
        if self.reasons:
            raise ModelFailed(self.reasons.pop(0))
        return await super().list()


async def test_an_absent_engine_is_logged_once_per_reason_and_shown_for_preloaded_models(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: it was logged every 15 seconds, and stood at models that nobody asked for."""
    monkeypatch.setattr(deployments, "_ENGINE_RETRY_SECONDS", 0.01)
    caplog.set_level(logging.INFO, logger=deployments.__name__)
    runner = AwayRunner("no socket", "no socket", "no socket", "nobody listens", "no socket")
    async with fake_fleet(runner, models=MODELS) as s, asyncio.timeout(CEILING_SECONDS):
        await s.fleet.adopt()
        await s.state("ready", "asked")
        errors = {
            model: {
                change.error.message for change in s.changes if change.id == model and change.error
            }
            for model in MODELS
        }
        assert s.fleet.snapshot("idle").state == "stopped"
    assert errors == {"asked": {"no socket", "nobody listens"}, "idle": set()}
    told = [record.getMessage() for record in caplog.records if record.name == deployments.__name__]
    assert told == [
        "docker: no socket",
        "docker: nobody listens",
        "docker: no socket",
        "docker: the engine answers now",
    ]
