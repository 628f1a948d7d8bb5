"""Models as clients see them, made anew only when something of them has changed."""

from dataclasses import replace

import pytest

from server.core.protocol import ModelError
from server.dialects.base import EngineInfo
from server.models.catalog import build_catalog
from server.models.showing import ServerFacts, Use
from server.models.shown import Shown
from server.models.surroundings import Status
from server.settings import ModelSettings, Settings

REMOTE = ModelSettings(runner="remote", url="http://127.0.0.1:1/v1")
(SPEC,) = build_catalog(Settings(models={"one": REMOTE}))
READY = Status("ready", info=EngineInfo(model_id="m"))
PARTS = (SPEC, READY, EngineInfo(model_id="m"), Use(0, 0), ServerFacts(seen=1.0), None, None)


def test_a_model_of_which_nothing_has_changed_is_the_same() -> None:
    shown = Shown()
    model = shown.model(*PARTS)
    assert shown.model(*PARTS[:4], ServerFacts(seen=1.0), None, None) is model


@pytest.mark.parametrize(
    ("place", "part"),
    [
        (0, replace(SPEC, name="Other")),
        (1, Status("failed", error=ModelError("model_failed", "gone", None))),
        (2, EngineInfo(model_id="m", engine="vLLM")),
        (3, Use(1, 0)),
        (4, ServerFacts(seen=2.0)),
        (5, "loading"),
        (6, ModelError("model_failed", "no memory", None)),
    ],
)
def test_whatever_changes_is_shown(place: int, part: object) -> None:
    shown = Shown()
    before = shown.model(*PARTS)
    parts = [*PARTS[:place], part, *PARTS[place + 1 :]]
    after = shown.model(*parts)  # type: ignore[arg-type]
    assert after != before
    assert after == Shown().model(*parts)  # type: ignore[arg-type]


def test_models_that_are_gone_are_forgotten() -> None:
    shown = Shown()
    model = shown.model(*PARTS)
    shown.forget_others({"one"})
    assert shown.model(*PARTS) is model
    shown.forget_others(set())
    assert shown.model(*PARTS) is not model
