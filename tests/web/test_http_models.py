"""Whoever has only HTTP can see, start and stop models, and knows when the service can serve."""

import pytest

from server.web.keys import GENERATIONS
from tests.web.conftest import Start, StartWithFake


async def test_a_start_that_is_waited_for_answers_when_the_model_is_ready(cold: Start) -> None:
    gateway = await cold()
    assert (await gateway.get("/models/m")).json["state"] == "stopped"
    started = await gateway.post("/models/m/start?wait=30")
    assert (started.status, started.json["state"]) == (202, "ready")
    again = await gateway.post("/models/m/start?wait=30")
    assert (again.status, again.json["state"]) == (202, "ready")
    stopped = await gateway.post("/models/m/stop?wait=30")
    assert (stopped.status, stopped.json["state"]) == (202, "stopped")


async def test_a_restart_that_is_waited_for_starts_the_server_anew(cold: Start) -> None:
    gateway = await cold()
    await gateway.post("/models/m/start?wait=30")
    before = (await gateway.get("/models/m/logs")).text.count(" ready\n")
    again = await gateway.post("/models/m/restart?wait=30")
    assert (again.status, again.json["state"], again.json["outdated"]) == (202, "ready", False)
    assert (await gateway.get("/models/m/logs")).text.count(" ready\n") > before


async def test_a_start_that_fails_answers_with_the_reason(cold: Start) -> None:
    gateway = await cold("--die-while-loading", "--die-cause", "disk")
    failed = await gateway.post("/models/m/start?wait=30")
    assert (failed.status, failed.json["state"]) == (202, "failed")
    assert failed.json["error"]["message"]


async def test_a_start_is_answered_without_waiting_for_it(cold: Start) -> None:
    gateway = await cold("--never-healthy")
    for path in ("/models/m/start", "/models/m/start?wait=0.05"):
        reply = await gateway.post(path)
        assert reply.status == 202
        assert reply.json["state"] != "ready"
    health = await gateway.get("/models/m/health")
    assert (health.status, health.json["code"]) == (503, "model_failed")
    stopped = await gateway.post("/models/m/stop?wait=30")
    assert stopped.json["state"] == "stopped"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/models/none/start", 404, "unknown_model"),
        ("POST", "/models/none/stop", 404, "unknown_model"),
        ("GET", "/models/none", 404, "unknown_model"),
        ("GET", "/models/none/logs", 404, "unknown_model"),
        ("POST", "/models/m/start?wait=soon", 400, "invalid_command"),
        ("POST", "/models/m/start?wait=-1", 400, "invalid_command"),
        ("POST", "/models/m/start?wait=nan", 400, "invalid_command"),
        ("POST", "/models/m/start?wait=" + "9" * 5000, 400, "invalid_command"),
        ("GET", "/models/m/logs?tail=-1", 400, "invalid_command"),
        ("GET", "/models/m/logs?tail=" + "9" * 5000, 400, "invalid_command"),
        ("GET", "/models/m/logs?follow=perhaps", 400, "invalid_command"),
        ("POST", "/models/m/stop", 409, "invalid_command"),
        ("POST", "/models/m/restart", 409, "invalid_command"),
        ("POST", "/models/none/restart", 404, "unknown_model"),
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/models", 405, "method_not_allowed"),
    ],
)
async def test_invalid_requests_are_refused(
    before_fake: StartWithFake, method: str, path: str, status: int, code: str
) -> None:
    gateway, _ = await before_fake()
    reply = await gateway.ask(method, path)
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    assert ("Allow" in reply.headers) == (status == 405)


async def test_every_model_is_listed_under_both_forms(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    assert [model["id"] for model in (await gateway.get("/models")).json] == ["m"]
    assert [model["id"] for model in (await gateway.get("/v1/models")).json["data"]] == ["m"]
    assert (await gateway.get("/v1/models/m")).json["id"] == "m"
    unknown = await gateway.get("/v1/models/none")
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "model_not_found")


async def test_ready_tells_why_not(start_gateway: Start, before_fake: StartWithFake) -> None:
    empty = await start_gateway({})
    reply = await empty.get("/ready")
    assert reply.status == 503
    assert reply.json == {"ready": False, "reasons": ["the settings name no model"]}
    gateway, _ = await before_fake()
    assert (await gateway.get("/ready")).json == {"ready": True, "reasons": []}
    gateway.app[GENERATIONS].refuse()
    reply = await gateway.get("/ready")
    assert (reply.status, reply.json["reasons"]) == (503, ["the server is about to stop"])
    assert (await gateway.get("/health")).status == 200


async def test_a_log_is_read_over_http(cold: Start) -> None:
    gateway = await cold()
    await gateway.post("/models/m/start?wait=30")
    reply = await gateway.get("/models/m/logs?tail=1000")
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "Connected" in reply.text
    assert len((await gateway.get("/models/m/logs?tail=2")).text.splitlines()) == 2
