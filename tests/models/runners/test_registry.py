"""The tables of runners agree, and what is registered can be made."""

from pathlib import Path

from server.models.runners.programs.embedded import EmbeddedLauncher
from server.models.runners.registry import REGISTRY, RunnerContext, make_runners
from server.settings.checks import PROBLEMS
from server.settings.runners import RUNNERS
from server.settings.tables import SECTIONS, Settings


async def test_every_runner_of_the_settings_can_be_made_and_no_other() -> None:
    assert list(REGISTRY) == list(RUNNERS) == list(PROBLEMS)
    runners = make_runners(RunnerContext(Settings(), EmbeddedLauncher(Path()), set()))
    assert list(runners) == list(RUNNERS)
    for runner in runners.values():
        await runner.close()


def test_the_limits_of_every_runner_are_in_a_section() -> None:
    assert {kind.section for kind in RUNNERS.values()} <= SECTIONS.keys()
