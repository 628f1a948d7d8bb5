"""Attachments and keys: each owner's own, over every transport, and none without a key."""

from typing import Any

from tests.access.keyed_gateway import KeyedGateway
from tests.support.pictures import REAL


async def put(keyed: KeyedGateway, data: bytes, key: str | None) -> Any:
    return await keyed.ask("PUT", "/attachments?name=a", key=key, data=data)


async def test_without_a_key_nothing_is_put_or_shown(keyed: KeyedGateway) -> None:
    name = (await put(keyed, b"hello", "use")).json["id"]
    assert (await put(keyed, b"hello", None)).status == 401
    assert (await keyed.ask("GET", f"/attachments/{name}")).status == 401


async def test_somebody_elses_is_as_one_that_does_not_exist(keyed: KeyedGateway) -> None:
    name = (await put(keyed, b"secret", "use")).json["id"]
    assert (await keyed.ask("GET", f"/attachments/{name}", key="use")).text == "secret"
    replies = [
        await keyed.ask("GET", f"/attachments/{wanted}", key="op") for wanted in (name, "0" * 64)
    ]
    told = [
        (reply.status, reply.text.replace(name, "").replace("0" * 64, ""), len(reply.headers))
        for reply in replies
    ]
    assert told[0] == told[1]
    assert replies[0].json["error"]["code"] == "unknown_attachment"


async def test_attachments_of_others_cannot_be_named_in_messages(keyed: KeyedGateway) -> None:
    name = (await put(keyed, REAL["png"], "use")).json["id"]
    file = (await put(keyed, b"secret", "use")).json["id"]
    async with keyed.speaking("op") as speaker:
        for part in ({"type": "image", "attachment": name}, {"type": "file", "attachment": file}):
            answer = await speaker.ask(
                "generate",
                targets=[{"model": "m"}],
                messages=[{"role": "user", "content": [part]}],
            )
            assert answer["error"]["code"] == "unknown_attachment"


async def test_another_page_puts_nothing(keyed: KeyedGateway) -> None:
    headers = {"Origin": "https://elsewhere.example"}
    reply = await keyed.ask("PUT", "/attachments", key="use", data=b"hello", headers=headers)
    assert (reply.status, reply.json["error"]["code"]) == (403, "forbidden")
    embedded = await keyed.ask(
        "GET", f"/attachments/{'0' * 64}", key="use", headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert embedded.status == 403
