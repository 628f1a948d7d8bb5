"""The page's sign-in, as a browser's requests see it."""

import logging
import re
from typing import Any

import pytest

from server.web.entry.gate import GATE
from tests.access.conftest import Open
from tests.access.keyed_gateway import KeyedGateway, close_code, until
from tests.web.gateway import Reply

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def sign_in(keyed: KeyedGateway, key: str, **headers: str) -> Reply:
    return await keyed.ask("POST", "/sign-in", data={"key": key}, headers=headers)


def cookie_of(reply: Reply) -> dict[str, str]:
    """Return the header with which a browser shows the cookie it was given."""
    return {"Cookie": reply.headers["Set-Cookie"].partition(";")[0]}


async def test_a_key_is_changed_for_a_cookie_that_is_not_the_key(keyed: KeyedGateway) -> None:
    page = await keyed.ask("GET", "/sign-in")
    assert page.status == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=", page.text)
    # A file of ours, and nothing that stands in the page.
    assert re.findall(r"<script.*", page.text) == [
        f'<script type="module" src="{keep}"></script>'
        for keep in re.findall(r"static/\w{12}/js/view/keep-fragment\.js", page.text)
    ]

    reply = await sign_in(keyed, keyed.keys["use"])

    assert (reply.status, reply.headers["Location"]) == (303, "./")
    cookie = reply.headers["Set-Cookie"]
    assert keyed.keys["use"] not in cookie
    for attribute in ("HttpOnly", "SameSite=Strict", "Max-Age=2592000"):
        assert attribute in cookie
    assert "Path" not in cookie, "behind a proxy it is for the page's own folder"
    assert "Secure" not in cookie, "it is not encrypted here, and the browser would drop it"
    signed_in = cookie_of(reply)
    home = await keyed.ask("GET", "/", headers=signed_in)
    assert home.status == 200
    assert "Sign out" in home.text
    assert (await keyed.ask("GET", "/models", headers=signed_in)).status == 200
    async with keyed.speaking(headers=signed_in) as speaker:
        assert (await speaker.ask("stop", model="m"))["error"]["code"] == "forbidden"


async def test_signing_out_makes_the_cookie_worthless(keyed: KeyedGateway) -> None:
    signed_in = cookie_of(await sign_in(keyed, keyed.keys["op"]))
    reply = await keyed.ask("POST", "/sign-out", headers=signed_in)
    assert reply.status == 303
    assert "Max-Age=0" in reply.headers["Set-Cookie"]
    assert (await keyed.ask("GET", "/models", headers=signed_in)).status == 401


async def test_a_sign_in_ends_with_its_key(keyed: KeyedGateway) -> None:
    signed_in = cookie_of(await sign_in(keyed, keyed.keys["use"]))
    async with keyed.speaking(headers=signed_in) as speaker:
        keyed.remove("use")
        assert await close_code(speaker) == 4401
    assert (await keyed.ask("GET", "/models", headers=signed_in)).status == 401
    assert (await keyed.ask("GET", "/", headers=signed_in)).headers["Location"] == "sign-in"


async def test_a_sign_in_ends_with_its_time(open_keyed: Open) -> None:
    keyed = await open_keyed(access={"sign_in_lifetime": 0.0})
    signed_in = cookie_of(await sign_in(keyed, keyed.keys["use"]))
    assert (await keyed.ask("GET", "/models", headers=signed_in)).status == 401


async def test_a_page_of_another_origin_signs_nobody_in_or_out(keyed: KeyedGateway) -> None:
    """Or it could have somebody ask questions in its own name."""
    for origin in ("http://evil.test", "null"):
        assert (await sign_in(keyed, keyed.keys["use"], Origin=origin)).status == 403
        out = await keyed.ask("POST", "/sign-out", headers={"Origin": origin})
        assert out.status == 403


async def test_wrong_keys_are_slowed_and_logged_without_the_key(
    keyed: KeyedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "sidestream_this-is-what-was-tried"
    with caplog.at_level(logging.DEBUG):
        statuses = [(await sign_in(keyed, wrong)).status for _ in range(8)]
        assert statuses == [401] * 5 + [429] * 3
        slowed = await sign_in(keyed, keyed.keys["op"])
    assert slowed.status == 429, "not even a right one is looked at now"
    assert 1 <= int(slowed.headers["Retry-After"]) <= 10
    assert "Try again in" in slowed.text
    assert "a wrong or expired key from 127.0.0.1" in caplog.text
    for secret in (wrong, keyed.keys["op"]):
        assert secret not in caplog.text


async def test_wrong_keys_of_tools_are_slowed_too_but_right_ones_are_not(
    keyed: KeyedGateway,
) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    replies = [await keyed.ask("GET", "/models", headers=wrong) for _ in range(8)]
    assert [reply.status for reply in replies] == [401] * 5 + [429] * 3
    assert int(replies[-1].headers["Retry-After"]) >= 1
    assert (await keyed.ask("GET", "/models", key="use")).status == 200


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", FORM, 401),
        (b"key=", FORM, 401),
        (b"other=1", FORM, 401),
        (b"key=a&key=b", FORM, 401),
        (b"key=%ff%fe", FORM, 401),
        (b"\xff\xfe", FORM, 400),
        (b"a&" * 1000, FORM, 400),
        (b"key=x", {**FORM, "Content-Encoding": "gzip"}, 400),
        (b"key=x", {"Content-Type": "application/json"}, 415),
        (b"key=x", {"Content-Type": "text/plain"}, 415),
        (b"key=" + b"x" * 900_000, FORM, 413),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_form_that_is_none_gets_a_clear_answer(
    keyed: KeyedGateway, body: bytes, headers: dict[str, str], status: int
) -> None:
    reply: Any = await keyed.ask("POST", "/sign-in", data=body, headers=headers)
    assert reply.status == status
    assert len(keyed.gateway.app[GATE].sign_ins) == 0


async def test_signing_in_again_ends_what_was_before(keyed: KeyedGateway) -> None:
    before = cookie_of(await sign_in(keyed, keyed.keys["op"]))
    after = cookie_of(await sign_in(keyed, keyed.keys["use"], **before))
    assert (await keyed.ask("GET", "/models", headers=before)).status == 401
    assert (await keyed.ask("GET", "/models", headers=after)).status == 200


async def test_sign_in_never_repeats_input_as_markup(keyed: KeyedGateway) -> None:
    reply = await sign_in(keyed, '"><script>alert(1)</script>')
    assert "alert(1)" not in reply.text
    assert reply.text.count("<script") == 1


async def test_a_forgotten_page_with_an_old_cookie_locks_nobody_out(keyed: KeyedGateway) -> None:
    old = {"Cookie": f"{keyed.gateway.app[GATE].cookie}=of-an-earlier-run"}
    for _ in range(20):
        assert (await keyed.ask("GET", "/models", headers=old)).status == 401
    assert (await sign_in(keyed, keyed.keys["use"])).status == 303
    await until(lambda: len(keyed.gateway.app[GATE].sign_ins) == 1)
