"""One model on two real servers of its kind: an answer from each, and one that is killed."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import KeepLog
from tests.real.over_servers import LONG, SHORT, over
from tests.support.real_servers import RealServer, available, start


@pytest.fixture(autouse=True)
def _log(tmp_path: Path, keep_log: KeepLog) -> None:
    keep_log("the gateway", tmp_path / "server.log")


def kill(server: RealServer) -> None:
    """Kill a server with all its processes."""
    for pid in [*server.processes(), server.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("name", available("llama.cpp", "tgi"))
async def test_a_killed_replica_ends_its_own_answer_and_the_other_one_answers_on(
    name: str, tmp_path: Path
) -> None:
    async with start(name) as one, start(name) as two:
        settings = f"[model m]\nrunner = remote\nurls = {one.url}, {two.url}\n"
        async with over(settings, tmp_path) as o:
            await o.sees(
                "m", lambda model: all(each["state"] == "ready" for each in model["replicas"])
            )
            (first,) = await o.client.ask("m", prompt="Count to a hundred.", parameters=LONG)
            (second,) = await o.client.ask("m", prompt="Count to a hundred.", parameters=LONG)
            for answer in (first, second):
                await o.client.delta(answer, 3)
            kill(one)
            lost, kept = await o.client.end(first), await o.client.end(second)
            assert (lost["finish_reason"], lost["details"]["replica"]) == ("failed", 1)
            assert lost["error"]["message"]
            assert kept["details"]["replica"] == 2
            assert kept["finish_reason"] in ("length", "stop")
            model = (await o.models())["m"]
            assert model["state"] == "ready"
            # Also before the gateway knows it: what has not begun is answered by the other one.
            _, end = await o.answer("m", {"prompt": "Go on."}, parameters=SHORT)
            assert end["details"]["replica"] == 2
