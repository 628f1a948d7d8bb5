"""The machines over HTTP, where there is no swarm: the gateway's own, with what runs on it."""

import socket
from typing import Any

from tests.web.conftest import Start
from tests.web.gateway import own


async def machine(seen: Any) -> dict[str, Any]:
    """Return the only machine."""
    assert seen.status == 200
    assert seen.json["problems"] == []
    (one,) = seen.json["machines"]
    return dict(one)


async def test_the_gateways_machine_is_told_with_the_servers_that_run_on_it(
    start_gateway: Start,
) -> None:
    gateway = await start_gateway({"m": own(), "idle": own()})
    before = await machine(await gateway.get("/machines"))
    assert (before["name"], before["kind"]) == (socket.gethostname(), "here")
    assert before["memory_bytes"] > 0
    assert (before["servers"], before["gpus"]) == ([], [])
    await gateway.post("/models/m/start")
    await gateway.until(lambda model: model.state == "ready")
    after = await machine(await gateway.get("/machines"))
    assert after["servers"] == [{"model": "m", "number": 1, "state": "ready"}]
