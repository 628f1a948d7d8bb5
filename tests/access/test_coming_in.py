"""With keys, nobody comes in without one, whatever the transport; without, this machine does."""

import time

import aiohttp
import pytest

from server.access.principal import LOCAL
from server.web.entry import gate as gates
from server.web.entry.gate import GATE
from server.web.http.api import OPERATIONS
from tests.access.conftest import Open
from tests.access.keyed_gateway import KeyedGateway, close_code, until

PUBLIC = {"/health", "/ready"}
GUARDED = [operation for operation in OPERATIONS if operation.path not in PUBLIC]
PAGES = ["/", "/docs"]


async def upgrade_status(keyed: KeyedGateway, **words: object) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with keyed.speaking(**words):  # type: ignore[arg-type]
            pass
    return refused.value.status


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.id)
async def test_no_operation_is_done_without_a_key(open_keyed: Open, operation: object) -> None:
    keyed = await open_keyed()
    method, path = operation.method, operation.path.replace("{id}", "m")  # type: ignore[attr-defined]
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
        reply = await keyed.ask(method, path, headers=headers)
        assert reply.status == 401
        assert "unauthorized" in reply.text
        assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert keyed.fake.state.counts["started"] == 0


async def test_unknown_addresses_need_a_key_too(keyed: KeyedGateway) -> None:
    assert (await keyed.ask("GET", "/nowhere")).status == 401
    assert (await keyed.ask("DELETE", "/models")).status == 401
    assert (await keyed.ask("GET", "/nowhere", key="op")).status == 404


async def test_signs_of_life_need_no_key(keyed: KeyedGateway) -> None:
    for path in sorted(PUBLIC):
        assert (await keyed.ask("GET", path)).status == 200


async def test_a_key_opens_a_socket_and_nothing_else_does(keyed: KeyedGateway) -> None:
    async with keyed.speaking("use") as speaker:
        assert (await speaker.ask("hello"))["type"] == "result"
    assert await upgrade_status(keyed) == 401
    assert await upgrade_status(keyed, headers={"Authorization": "Bearer no"}) == 401
    key = keyed.keys["op"]
    for query in (f"?key={key}", f"?ticket={key}", f"?token={key}", "?ticket="):
        assert await upgrade_status(keyed, url=keyed.sockets_url + query) == 401


async def test_a_key_that_is_shown_wrongly_is_not_made_up_for_by_another(
    keyed: KeyedGateway,
) -> None:
    reply = await keyed.ask("POST", "/ws-ticket", key="op")
    address = f"{keyed.sockets_url}?ticket={reply.json['ticket']}"
    assert await upgrade_status(keyed, url=address, headers={"Authorization": "Bearer x"}) == 401


async def test_a_ticket_opens_one_socket(keyed: KeyedGateway) -> None:
    ticket = (await keyed.ask("POST", "/ws-ticket", key="use")).json
    assert ticket["expires_in_seconds"] == 30
    address = f"{keyed.sockets_url}?ticket={ticket['ticket']}"
    async with keyed.speaking(url=address) as speaker:
        assert (await speaker.ask("hello"))["type"] == "result"
        refused = await speaker.ask("stop", model="m")
        assert refused["error"]["code"] == "forbidden", "it has the rights of its key"
    assert await upgrade_status(keyed, url=address) == 401


async def test_a_ticket_is_worth_nothing_elsewhere(keyed: KeyedGateway) -> None:
    ticket = (await keyed.ask("POST", "/ws-ticket", key="op")).json["ticket"]
    assert (await keyed.ask("GET", f"/models?ticket={ticket}")).status == 401


async def test_a_ticket_ends_with_its_time(
    open_keyed: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "TICKET_SECONDS", 0.0)
    keyed = await open_keyed()
    ticket = (await keyed.ask("POST", "/ws-ticket", key="op")).json["ticket"]
    assert await upgrade_status(keyed, url=f"{keyed.sockets_url}?ticket={ticket}") == 401


async def test_a_ticket_ends_with_its_key(keyed: KeyedGateway) -> None:
    ticket = (await keyed.ask("POST", "/ws-ticket", key="use")).json["ticket"]
    keyed.remove("use")
    keyring = keyed.gateway.app[GATE].keyring
    await until(lambda: keyring.find(keyed.keys["use"]) is None)
    assert await upgrade_status(keyed, url=f"{keyed.sockets_url}?ticket={ticket}") == 401


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_leads_to_the_sign_in(keyed: KeyedGateway, path: str) -> None:
    reply = await keyed.ask("GET", path)
    assert (reply.status, reply.headers["Location"]) == (303, "sign-in")
    assert (await keyed.ask("GET", path, headers={"Authorization": "Bearer x"})).status == 401


async def test_an_expired_key_is_worth_nothing(open_keyed: Open) -> None:
    keyed = await open_keyed()
    keyed.write("late", expires_at=time.time() - 1)
    await keyed.add("new")
    assert (await keyed.ask("GET", "/models", key="late")).status == 401
    assert (await keyed.ask("GET", "/models", key="new")).status == 200


async def test_without_keys_a_key_in_a_request_is_ignored(
    open_keyed: Open,
) -> None:
    keyed = await open_keyed(keys=False)
    for headers in ({}, {"Authorization": "Bearer none"}):
        assert (await keyed.ask("GET", "/models", headers=headers)).status == 200
    assert (await keyed.ask("GET", "/")).status == 200
    assert (await keyed.ask("GET", "/sign-in")).headers["Location"] == "./"
    async with keyed.speaking() as speaker:
        assert (await speaker.ask("logs", model="m"))["type"] == "result"


async def test_the_first_key_shuts_the_door_and_the_last_one_opens_it(open_keyed: Open) -> None:
    keyed = await open_keyed(keys=False)
    async with keyed.speaking() as speaker:
        assert (await speaker.ask("hello"))["type"] == "result"
        keyed.write("op")
        assert await close_code(speaker) == 4401
    assert (await keyed.ask("GET", "/models")).status == 401
    keyed.remove("op")
    keyring = keyed.gateway.app[GATE].keyring
    await until(lambda: keyring.holder(LOCAL.id) is not None)
    assert (await keyed.ask("GET", "/models")).status == 200


async def test_an_exposed_gateway_without_keys_lets_nobody_in(open_keyed: Open) -> None:
    """As when the last key is removed while it runs; it does not start like that."""
    keyed = await open_keyed(keys=False, access={"trusted_proxies": ("192.0.2.1",)})
    assert (await keyed.ask("GET", "/models")).status == 401
    assert await upgrade_status(keyed) == 401
    assert (await keyed.ask("GET", "/health")).status == 200
