"""A start that is cancelled leaves nothing, at whichever request to the engine it is hit."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from server.models.runners.base import Condition
from server.settings.tables import DockerSettings
from tests.docker.conftest import MakeRunner, model
from tests.docker.engine import Engine
from tests.docker.proxy import Moment, proxy
from tests.docker.watching import CEILING_SECONDS, A, silent


@pytest.mark.parametrize("moment", ["asked", "answered"])
async def test_cancelled_at_any_request_nothing_is_left(
    engine: Engine,
    make_runner: MakeRunner,
    settings: DockerSettings,
    tmp_path: Path,
    moment: Moment,
) -> None:
    async with proxy(tmp_path) as between:
        runner = make_runner(settings=_through(settings, between.host))
        await runner.start(A, model("fake/tgi"), silent)
        await runner.stop(A, grace_seconds=0)
        hit = set()
        for number in range(100):
            between.hold(number, moment)
            starting = asyncio.create_task(runner.start(A, model("fake/tgi"), silent))
            held = asyncio.create_task(between.held.wait())
            async with asyncio.timeout(CEILING_SECONDS):
                await asyncio.wait([starting, held], return_when=asyncio.FIRST_COMPLETED)
                held.cancel()
                if starting.done():
                    between.let_go()
                    break
                hit.add(between.requests[number].partition("?")[0])
                starting.cancel()
                # So that the cancel comes before the answer.
                await asyncio.sleep(0)
                between.let_go()
                with pytest.raises(asyncio.CancelledError):
                    await starting
            assert not engine.containers(), f"left by a cancel at {between.requests[number]}"
            assert (await runner.inspect(A)).condition is Condition.MISSING
        assert "POST /containers/create" in hit
        assert any(request.endswith("/start") for request in hit)
        await runner.stop(A, grace_seconds=0)


async def test_a_cancel_during_the_cleaning_up_does_not_stop_it(
    engine: Engine, make_runner: MakeRunner, settings: DockerSettings, tmp_path: Path
) -> None:
    async with proxy(tmp_path) as between:
        runner = make_runner(settings=_through(settings, between.host))
        # The first start asks for more than later ones do.
        await runner.start(A, model("fake/tgi"), silent)
        await runner.stop(A, grace_seconds=0)
        between.requests.clear()
        await runner.start(A, model("fake/tgi"), silent)
        create = next(n for n, request in enumerate(between.requests) if "/create" in request)
        await runner.stop(A, grace_seconds=0)
        between.hold(create, "answered")
        starting = asyncio.create_task(runner.start(A, model("fake/tgi"), silent))
        await between.held.wait()
        for _ in range(3):
            starting.cancel()
            await asyncio.sleep(0)
        between.let_go()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert not engine.containers()


def _through(settings: DockerSettings, host: str) -> DockerSettings:
    return replace(settings, host=host)
