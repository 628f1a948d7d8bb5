"""With keys, nobody comes in without one, whatever the transport; without, this machine does."""

import time

import aiohttp
import pytest

from server.access.principal import LOCAL
from server.web.entry import gate as gates
from server.web.entry.gate import GATE
from server.web.http.api import OPERATIONS
from tests.access.conftest import Open
from tests.access.house import House, close_code, until

PUBLIC = {"/health", "/ready"}
GUARDED = [operation for operation in OPERATIONS if operation.path not in PUBLIC]
PAGES = ["/", "/docs"]


async def upgrade_status(house: House, **words: object) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with house.speaking(**words):  # type: ignore[arg-type]
            pass
    return refused.value.status


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.id)
async def test_no_operation_is_done_without_a_key(open_house: Open, operation: object) -> None:
    house = await open_house()
    method, path = operation.method, operation.path.replace("{id}", "m")  # type: ignore[attr-defined]
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
        reply = await house.ask(method, path, headers=headers)
        assert reply.status == 401
        assert "unauthorized" in reply.text
        assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert house.fake.state.counts["started"] == 0


async def test_what_does_not_exist_is_not_told_either(house: House) -> None:
    assert (await house.ask("GET", "/nowhere")).status == 401
    assert (await house.ask("DELETE", "/models")).status == 401
    assert (await house.ask("GET", "/nowhere", key="op")).status == 404


async def test_signs_of_life_need_no_key(house: House) -> None:
    for path in sorted(PUBLIC):
        assert (await house.ask("GET", path)).status == 200


async def test_a_key_opens_a_socket_and_nothing_else_does(house: House) -> None:
    async with house.speaking("use") as speaker:
        assert (await speaker.ask("hello"))["type"] == "result"
    assert await upgrade_status(house) == 401
    assert await upgrade_status(house, headers={"Authorization": "Bearer no"}) == 401
    key = house.keys["op"]
    for query in (f"?key={key}", f"?ticket={key}", f"?token={key}", "?ticket="):
        assert await upgrade_status(house, url=house.sockets_url + query) == 401


async def test_a_key_that_is_shown_wrongly_is_not_made_up_for_by_another(house: House) -> None:
    reply = await house.ask("POST", "/ws-ticket", key="op")
    address = f"{house.sockets_url}?ticket={reply.json['ticket']}"
    assert await upgrade_status(house, url=address, headers={"Authorization": "Bearer x"}) == 401


async def test_a_ticket_opens_one_socket(house: House) -> None:
    ticket = (await house.ask("POST", "/ws-ticket", key="use")).json
    assert ticket["expires_in_seconds"] == 30
    address = f"{house.sockets_url}?ticket={ticket['ticket']}"
    async with house.speaking(url=address) as speaker:
        assert (await speaker.ask("hello"))["type"] == "result"
        refused = await speaker.ask("stop", model="m")
        assert refused["error"]["code"] == "forbidden", "it has the rights of its key"
    assert await upgrade_status(house, url=address) == 401


async def test_a_ticket_is_worth_nothing_elsewhere(house: House) -> None:
    ticket = (await house.ask("POST", "/ws-ticket", key="op")).json["ticket"]
    assert (await house.ask("GET", f"/models?ticket={ticket}")).status == 401


async def test_a_ticket_ends_with_its_time(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "TICKET_SECONDS", 0.0)
    house = await open_house()
    ticket = (await house.ask("POST", "/ws-ticket", key="op")).json["ticket"]
    assert await upgrade_status(house, url=f"{house.sockets_url}?ticket={ticket}") == 401


async def test_a_ticket_ends_with_its_key(house: House) -> None:
    ticket = (await house.ask("POST", "/ws-ticket", key="use")).json["ticket"]
    house.remove("use")
    keyring = house.gateway.app[GATE].keyring
    await until(lambda: keyring.find(house.keys["use"]) is None)
    assert await upgrade_status(house, url=f"{house.sockets_url}?ticket={ticket}") == 401


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_leads_to_the_sign_in(house: House, path: str) -> None:
    reply = await house.ask("GET", path)
    assert (reply.status, reply.headers["Location"]) == (303, "/sign-in")
    assert (await house.ask("GET", path, headers={"Authorization": "Bearer x"})).status == 401


async def test_an_expired_key_is_worth_nothing(open_house: Open) -> None:
    house = await open_house()
    house.write("late", expires_at=time.time() - 1)
    await house.add("new")
    assert (await house.ask("GET", "/models", key="late")).status == 401
    assert (await house.ask("GET", "/models", key="new")).status == 200


async def test_without_keys_this_machine_needs_none_and_a_key_shown_is_not_looked_at(
    open_house: Open,
) -> None:
    house = await open_house(keys=False)
    for headers in ({}, {"Authorization": "Bearer none"}):
        assert (await house.ask("GET", "/models", headers=headers)).status == 200
    assert (await house.ask("GET", "/")).status == 200
    assert (await house.ask("GET", "/sign-in")).headers["Location"] == "/"
    async with house.speaking() as speaker:
        assert (await speaker.ask("logs", model="m"))["type"] == "result"


async def test_the_first_key_shuts_the_door_and_the_last_one_opens_it(open_house: Open) -> None:
    house = await open_house(keys=False)
    async with house.speaking() as speaker:
        assert (await speaker.ask("hello"))["type"] == "result"
        house.write("op")
        assert await close_code(speaker) == 4401
    assert (await house.ask("GET", "/models")).status == 401
    house.remove("op")
    keyring = house.gateway.app[GATE].keyring
    await until(lambda: keyring.holder(LOCAL.id) is not None)
    assert (await house.ask("GET", "/models")).status == 200


async def test_where_others_reach_it_nobody_comes_in_without_keys(open_house: Open) -> None:
    """As when the last key is removed while it runs; it does not start like that."""
    house = await open_house(keys=False, access={"trusted_proxies": ("192.0.2.1",)})
    assert (await house.ask("GET", "/models")).status == 401
    assert await upgrade_status(house) == 401
    assert (await house.ask("GET", "/health")).status == 200
