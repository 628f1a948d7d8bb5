"""The machines of a real swarm over HTTP: what is on them, who has their GPUs, what is wrong."""

from pathlib import Path
from typing import Any

import aiohttp

from tests.conftest import KeepLog
from tests.docker.engine import INSTANCE
from tests.support.dialogue import dialogue
from tests.support.gateway import gateway
from tests.swarm.bed import Bed, until
from tests.swarm.settings import settings_of
from tests.swarm.test_swarm_nodes import running

MODELS = """\
[model both]
runner = swarm
gpus = 1
replicas = 2
model_id = fake/tgi
"""


async def machines(address: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the machines by name, and what is wrong with the swarm."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://{address}/machines") as response,
    ):
        assert response.status == 200
        told = await response.json()
    return {one["name"]: one for one in told["machines"]}, told["problems"]


async def test_an_operator_sees_the_nodes_their_models_their_gpus_and_what_is_wrong(
    bed: Bed, fake: str, tmp_path: Path, keep_log: KeepLog
) -> None:
    keep_log("the gateway", tmp_path / "server.log")
    settings = settings_of(bed, fake, tmp_path, MODELS)
    async with (
        gateway(settings, tmp_path, instance=INSTANCE) as server,
        dialogue(server.address) as client,
    ):
        answers = await client.ask("both", "both", parameters={"max_new_tokens": 1})
        for answer in answers:
            await client.end(answer)
        await client.until(lambda _: all(running(bed, node) for node in bed.workers))
        seen, problems = await machines(server.address)
        assert (list(seen), problems) == ([node.name for node in bed.nodes], [])
        manager = seen[bed.manager.name]
        assert (manager["role"], manager["is_leader"], manager["state"]) == (
            "manager",
            True,
            "ready",
        )
        assert (manager["servers"], manager["problems"]) == ([], [])
        assert [gpu["used_by"] for gpu in manager["gpus"]] == [""]
        for number, worker in enumerate(bed.workers, 1):
            told = seen[worker.name]
            assert told["gpus"] == [{"kind": "GPU", "id": f"gpu-{number + 1}", "used_by": "both"}]
            assert [one["model"] for one in told["servers"]] == ["both"]
            assert (told["address"], told["role"]) == (worker.address, "worker")
            assert told["memory_bytes"] > 0
        lost, drained = bed.workers
        lost.pull_plug()
        bed.set_availability(drained, "drain")
        until(lambda: bed.state(lost) == "down")
        seen, _ = await machines(server.address)
        assert f"{lost.name} is down" in seen[lost.name]["problems"][0]
        assert f"{drained.name} is drained" in seen[drained.name]["problems"][0]
        bed.manager.kill_engine()
        seen, problems = await machines(server.address)
        assert {one["state"] for one in seen.values()} == {"unknown"}
        assert "cannot be asked" in problems[0]
        bed.manager.start_engine()
        bed.heal()
