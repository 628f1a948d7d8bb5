"""Pages of other origins reach nothing, on any transport, unless the settings let them in."""

from typing import Any

import aiohttp
import pytest

from server.web.http.api import OPERATIONS
from tests.access.conftest import Open
from tests.access.keyed_gateway import KeyedGateway

FRIEND = "https://tools.example"
FOREIGN = ["http://evil.test", "null", "http://127.0.0.1:1", "https://tools.example.evil.test"]
EMBEDDED = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


@pytest.fixture
async def friendly(open_keyed: Open) -> KeyedGateway:
    """Run a gateway that lets pages of one other origin in."""
    return await open_keyed(access={"allowed_origins": (FRIEND,)}, answer_tokens=3)


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_foreign_page_is_refused_by_every_operation(
    keyed: KeyedGateway, origin: str
) -> None:
    paths = [(operation.method, operation.path) for operation in OPERATIONS]
    for method, path in [*paths, ("GET", "/"), ("GET", "/docs"), ("GET", "/ws"), ("PUT", "/x")]:
        headers = {"Origin": origin}
        reply = await keyed.ask(method, path.replace("{id}", "m"), key="op", headers=headers)
        assert reply.status == 403, path
        assert "forbidden" in reply.text
        assert "Access-Control-Allow-Origin" not in reply.headers
    assert keyed.fake.state.counts["started"] == 0


async def test_a_foreign_page_gets_no_leave_to_ask(keyed: KeyedGateway) -> None:
    asks = {"Origin": "http://evil.test", "Access-Control-Request-Method": "POST"}
    reply = await keyed.ask("OPTIONS", "/generate", headers=asks)
    assert reply.status == 403
    assert not [name for name in reply.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_foreign_page_embeds_nothing(keyed: KeyedGateway, site: str) -> None:
    """Another port of this machine is the same site, and no less foreign."""
    frame = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    for more in ({}, {"Sec-Fetch-Mode": "cors"}, frame):
        headers = {**EMBEDDED, "Sec-Fetch-Site": site, **more}
        for path in ("/models", "/models/m/logs?follow=1", "/static/x/js/main.js", "/"):
            reply = await keyed.ask("GET", path, key="op", headers=headers)
            assert reply.status == 403, (path, more)


async def test_a_link_from_elsewhere_leads_to_the_page(keyed: KeyedGateway) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    reply = await keyed.ask("GET", "/", key="use", headers={**link, "Sec-Fetch-Dest": "document"})
    assert reply.status == 200


async def test_the_pages_own_origin_may_do_everything(keyed: KeyedGateway) -> None:
    own = {"Origin": keyed.gateway.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert (await keyed.ask("GET", "/models", key="op", headers=own)).status == 200
    async with keyed.speaking("use", headers=own) as speaker:
        assert (await speaker.ask("hello"))["type"] == "result"


async def test_a_page_of_an_allowed_origin_asks_and_reads(friendly: KeyedGateway) -> None:
    headers = {"Origin": FRIEND, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    wants = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    leave = await friendly.ask("OPTIONS", "/generate", headers={**headers, **wants})
    assert leave.status == 204
    assert leave.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "POST" in leave.headers["Access-Control-Allow-Methods"]
    assert leave.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
    assert "Access-Control-Allow-Credentials" not in leave.headers

    body: dict[str, Any] = {"model": "m", "inputs": "Once"}
    reply = await friendly.ask("POST", "/generate", key="use", headers=headers, json=body)
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "Origin" in reply.headers["Vary"]
    async with friendly.speaking("use", headers={"Origin": FRIEND}) as speaker:
        assert (await speaker.ask("hello"))["type"] == "result"


async def test_but_only_with_a_key_and_it_reads_why_not(friendly: KeyedGateway) -> None:
    reply = await friendly.ask("GET", "/models", headers={"Origin": FRIEND})
    assert reply.status == 401
    assert reply.headers["Access-Control-Allow-Origin"] == FRIEND
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with friendly.speaking(headers={"Origin": FRIEND}):
            pass


async def test_not_with_the_cookie_of_somebody_signed_in(open_keyed: Open) -> None:
    """A page on another port of this machine is of the same site: the browser adds the cookie."""
    page = "http://localhost:3000"
    keyed = await open_keyed(access={"allowed_origins": (page,)})
    signed_in = await keyed.ask("POST", "/sign-in", data={"key": keyed.keys["op"]})
    cookie = {"Cookie": signed_in.headers["Set-Cookie"].partition(";")[0]}
    theirs = {**cookie, "Origin": page}
    assert (await keyed.ask("POST", "/models/m/stop", headers=theirs)).status == 401
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with keyed.speaking(headers=theirs):
            pass
    ours = {**cookie, "Origin": keyed.gateway.url}
    assert (await keyed.ask("GET", "/models", headers=ours)).status == 200


@pytest.mark.parametrize("origin", [*FOREIGN, "http://tools.example", f"{FRIEND}:8443"])
async def test_others_stay_out(friendly: KeyedGateway, origin: str) -> None:
    reply = await friendly.ask("GET", "/models", key="use", headers={"Origin": origin})
    assert reply.status == 403
    assert "Access-Control-Allow-Origin" not in reply.headers
