"""A model's id may have slashes and other signs; all its addresses lead to it all the same."""

from typing import Any

import pytest
from aiohttp import web

from server.web.http.api import OPERATIONS
from server.web.http.operations import add_operations
from tests.web.conftest import Start
from tests.web.gateway import Gateway, own

HUB = "meta-llama/Llama-3.1-8B"
# What an id with a route's name at its end is called in an address.
IDS = {HUB: HUB, "a/start": "a%2Fstart", "q/x:8b@1+y": "q/x:8b@1+y", "m": "m"}


@pytest.fixture
async def gateway(start_gateway: Start) -> Gateway:
    return await start_gateway({model_id: own() for model_id in IDS})


@pytest.mark.parametrize("model_id", IDS)
@pytest.mark.parametrize("is_encoded", [True, False], ids=["encoded", "plain"])
async def test_every_address_of_a_model_leads_to_it(
    gateway: Gateway, model_id: str, is_encoded: bool
) -> None:
    name = IDS[model_id]
    if is_encoded:
        name = name.replace("/", "%2F").replace(":", "%3A").replace("+", "%2B").replace("@", "%40")
    assert (await gateway.get(f"/models/{name}")).json["id"] == model_id
    assert (await gateway.get(f"/v1/models/{name}")).json["id"] == model_id
    assert (await gateway.get(f"/models/{name}/health")).status in {200, 503}
    assert (await gateway.get(f"/models/{name}/logs")).status == 200
    refused = await gateway.post(f"/models/{name}/generate", {"inputs": 1})
    assert (refused.status, refused.json["error_type"]) == (400, "validation")
    refused = await gateway.post(f"/models/{name}", {"inputs": 1})
    assert (refused.status, refused.json["error_type"]) == (400, "validation")
    refused = await gateway.post(f"/models/{name}/v1/chat/completions", {"messages": 1})
    assert (refused.status, refused.json["error"]["param"]) == (400, "messages")


async def test_a_model_with_a_slash_is_started_and_stopped(gateway: Gateway) -> None:
    started = await gateway.post(f"/models/{HUB}/start?wait=30")
    assert (started.status, started.json["id"], started.json["state"]) == (202, HUB, "ready")
    assert (await gateway.get(f"/models/{HUB}/info")).status == 200
    assert f'model="{HUB}"' in (await gateway.get("/metrics")).text
    stopped = await gateway.post(f"/models/{HUB.replace('/', '%2F')}/stop?wait=30")
    assert (stopped.status, stopped.json["state"]) == (202, "stopped")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        # The route's name counts, unless the slash before it is encoded.
        ("POST", "/models/a/start", 404, "unknown_model"),
        ("GET", "/models/m/generate", 405, "method_not_allowed"),
        ("GET", f"/models/{HUB}/v1/completions", 405, "method_not_allowed"),
        ("GET", "/models/meta-llama", 404, "unknown_model"),
    ],
)
async def test_addresses_of_no_model_are_refused(
    gateway: Gateway, method: str, path: str, status: int, code: str
) -> None:
    reply = await gateway.ask(method, path)
    error: Any = reply.json
    found = error.get("code") or error["error"]["code"]
    assert (reply.status, found) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("GET", "/v1/models/", None, "list"),
        ("GET", "//v1/models", None, "list"),
        ("GET", "/models//m", None, "m"),
        ("GET", "/models/m/?x=1", None, "m"),
        ("HEAD", "/models/", None, ""),
        ("GET", f"/v1//models//{HUB}/", None, HUB),
        ("GET", "//health", None, "ok"),
        ("POST", "/v1//chat/completions", {"model": 1}, "model"),
        ("POST", "//v1/chat/completions", {"model": 1}, "model"),
        ("POST", "/v1/chat/completions/", {"model": 1}, "model"),
        ("POST", "/v1/completions//", {"model": 1}, "model"),
        ("POST", f"/models/{HUB}//v1//chat/completions", {"messages": 1}, "messages"),
        ("POST", f"/models/{HUB}/", {"inputs": 1}, "inputs"),
        ("POST", f"/models/{HUB}//generate/", {"inputs": 1}, "inputs"),
        ("POST", "/v1//nothing", {}, "nothing has this address"),
        ("POST", "//v1/nothing", {}, "nothing has this address"),
        ("PUT", "/v1//completions", {}, "PUT"),
    ],
)
async def test_slashes_too_many_are_overlooked(
    gateway: Gateway, method: str, path: str, body: Any, says: str
) -> None:
    reply = await gateway.ask(method, path, body)
    assert says in reply.text
    if "nothing" in path:
        assert (reply.status, reply.json["error"]["code"]) == (404, "not_found")
    elif method == "PUT":
        assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    else:
        assert reply.status == (400 if body else 200)
    if "v1" in path and reply.status >= 400:
        assert reply.json["error"]["type"] == "invalid_request_error"


async def test_an_encoded_slash_is_none_too_many(gateway: Gateway) -> None:
    for path in ("/models/m%2F", "/models/%2Fm", "/models/meta-llama%2F%2FLlama-3.1-8B"):
        reply = await gateway.get(path)
        assert (reply.status, reply.json["error"]["code"]) in (
            (404, "unknown_model"),
            (404, "not_found"),
        )


def test_each_route_keeps_the_address_that_stands_in_the_description() -> None:
    app = web.Application()
    add_operations(app, OPERATIONS)
    routes = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }
    assert routes >= {(operation.method, operation.path) for operation in OPERATIONS}
