"""What a proxy says of a client counts only from a proxy that the settings trust."""

import logging

import pytest

from tests.access.conftest import Open
from tests.access.keyed_gateway import KeyedGateway

PROXY = {"trusted_proxies": ("127.0.0.1", "10.0.0.0/8")}


async def wrong(keyed: KeyedGateway, **headers: str) -> int:
    """Try a wrong key; such tries are counted by address."""
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    shown["Authorization"] = "Bearer wrong"
    return (await keyed.ask("GET", "/models", headers=shown)).status


async def test_a_spoofed_address_is_passed_over(
    keyed: KeyedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        statuses = [await wrong(keyed, X_Forwarded_For=f"203.0.113.{n}") for n in range(8)]
    assert statuses == [401] * 5 + [429] * 3, "they all count as one address"
    assert "from 127.0.0.1" in caplog.text
    assert "203.0.113" not in caplog.text


async def test_a_spoofed_name_is_passed_over(keyed: KeyedGateway) -> None:
    """Or a page whose name points here could say that it is us."""
    headers = {"X-Forwarded-Host": "localhost", "Host": "evil.test"}
    assert (await keyed.ask("GET", "/models", key="op", headers=headers)).status == 403
    headers = {"X-Forwarded-Host": "evil.test", "Origin": "http://evil.test"}
    assert (await keyed.ask("GET", "/models", key="op", headers=headers)).status == 403


async def test_a_page_that_is_not_encrypted_is_not_ours_where_we_are(open_keyed: Open) -> None:
    """Whoever holds the wire writes such a page, under our name."""
    keyed = await open_keyed(access=PROXY)
    for protocol, scheme, status in (
        ("https", "https", 200),
        ("https", "http", 403),
        ("http", "http", 200),
    ):
        origin = keyed.gateway.url.replace("http", scheme, 1)
        headers = {"X-Forwarded-Proto": protocol, "Origin": origin}
        reply = await keyed.ask("GET", "/models", key="op", headers=headers)
        assert reply.status == status, (protocol, scheme)


async def test_a_spoofed_protocol_is_passed_over(keyed: KeyedGateway) -> None:
    form = {"key": keyed.keys["op"]}
    reply = await keyed.ask("POST", "/sign-in", data=form, headers={"X-Forwarded-Proto": "https"})
    assert reply.status == 303
    assert "Secure" not in reply.headers["Set-Cookie"]


async def test_a_trusted_proxy_tells_clients_apart(
    open_keyed: Open, caplog: pytest.LogCaptureFixture
) -> None:
    keyed = await open_keyed(access=PROXY)
    with caplog.at_level(logging.WARNING):
        statuses = [await wrong(keyed, X_Forwarded_For=f"203.0.113.{n}") for n in range(8)]
    assert statuses == [401] * 8
    assert "from 203.0.113.7" in caplog.text


@pytest.mark.parametrize(
    "chain",
    [
        "203.0.113.9",
        "198.51.100.1, 203.0.113.9",
        "127.0.0.1, 203.0.113.9, 10.1.2.3",
        " 203.0.113.9 ,10.1.2.3 , 10.4.5.6",
        "x, 203.0.113.9",
    ],
)
async def test_the_last_address_that_is_no_proxys_counts(
    open_keyed: Open, caplog: pytest.LogCaptureFixture, chain: str
) -> None:
    """What stands before it, the client itself may have written."""
    keyed = await open_keyed(access=PROXY)
    with caplog.at_level(logging.WARNING):
        await wrong(keyed, X_Forwarded_For=chain)
    assert caplog.messages[-1].endswith(" from 203.0.113.9")


@pytest.mark.parametrize("chain", ["", "nonsense", "203.0.113.9, nonsense", "," * 100])
async def test_a_chain_that_is_none_leaves_the_proxys_address(
    open_keyed: Open, caplog: pytest.LogCaptureFixture, chain: str
) -> None:
    keyed = await open_keyed(access=PROXY)
    with caplog.at_level(logging.WARNING):
        await wrong(keyed, X_Forwarded_For=chain)
    assert caplog.messages[-1].endswith(" from 127.0.0.1")


async def test_behind_a_trusted_proxy_its_name_and_protocol_count(open_keyed: Open) -> None:
    keyed = await open_keyed(access=PROXY, server={"allowed_hosts": ("chat.example",)})
    outside = {
        "X-Forwarded-Host": "chat.example",
        "X-Forwarded-Proto": "https",
        "Origin": "https://chat.example",
    }
    reply = await keyed.ask("POST", "/sign-in", data={"key": keyed.keys["op"]}, headers=outside)
    assert reply.status == 303
    assert "Secure" in reply.headers["Set-Cookie"]
    other = {"X-Forwarded-Host": "evil.test"}
    assert (await keyed.ask("GET", "/models", key="op", headers=other)).status == 403
