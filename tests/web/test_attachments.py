"""Attachments over HTTP and in messages, through the real gateway before fake model servers."""

import asyncio
import base64
import gc
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from server.archive.attachments import StoredAttachments
from server.settings.attachments import AttachmentSettings
from server.settings.conversations import ConversationSettings
from server.settings.tables import AnswerSettings, EngineSettings, Settings
from server.settings.values import Size
from server.web.http.openai.requests import ChatOptions
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import Canned, FakeOptions
from tests.support.dialogue import Dialogue, dialogue
from tests.support.pictures import BOMB, REAL, SVG, png
from tests.web.gateway import Gateway, Reply, own, ports, remote, running, server_settings

ATTACHMENTS = AttachmentSettings(
    max_file_size=Size(100_000),
    max_pixels=1_000_000,
    max_text_size=Size(10_000),
    max_prompt_size=Size(3_000),
)


@dataclass(frozen=True)
class Page:
    """HTTP, a socket, and two model servers: one with eyes, `sees`, and one without, `blind`."""

    gateway: Gateway
    client: Dialogue
    sees: Fake
    blind: Fake

    async def put(self, data: bytes, name: str = "") -> Reply:
        return await self.gateway.ask("PUT", f"/attachments?name={name}", data=data)

    async def id_of(self, data: bytes, name: str = "") -> str:
        reply = await self.put(data, name)
        assert reply.status == 200, reply.text
        found: str = reply.json["id"]
        return found

    async def get(self, name: str, **headers: str) -> tuple[int, Any, bytes]:
        url = f"{self.gateway.url}/attachments/{name}"
        async with self.gateway.http.get(url, headers=headers) as response:
            return response.status, response.headers, await response.read()

    async def ready(self) -> None:
        """Return once both servers were described."""
        for model in ("sees", "blind"):
            (one,) = await self.client.ask(model)
            await self.client.end(one)


def props(*, vision: bool) -> dict[str, Canned]:
    return {
        "GET /props": Canned(
            {"default_generation_settings": {}, "modalities": {"vision": vision, "audio": False}}
        )
    }


@asynccontextmanager
async def opened(**words: Any) -> AsyncIterator[Page]:
    """Open a page; `words` are settings besides."""
    async with AsyncExitStack() as stack:
        fakes = {
            name: await stack.enter_async_context(
                serve(FakeOptions(text=text, routes=props(vision=name == "sees")))
            )
            for name, text in {"sees": "It is red.", "blind": "I read."}.items()
        }
        models = {
            name: remote(fake.url, dialect="openai", flavour="llama.cpp")
            for name, fake in fakes.items()
        }
        settings = Settings(
            **{"server": server_settings(), "models": models, "attachments": ATTACHMENTS, **words}
        )
        gateway = await stack.enter_async_context(running(settings))
        client = await stack.enter_async_context(dialogue(gateway.url.removeprefix("http://")))
        yield Page(gateway, client, **fakes)


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with opened() as page:
        await page.ready()
        yield page


def image(attachment: str) -> dict[str, Any]:
    return {"type": "image", "attachment": attachment}


def says(*parts: Any) -> list[dict[str, Any]]:
    """Return a conversation of one message of these parts; text is a part of text."""
    whole = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return [{"role": "user", "content": whole}]


def data_url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


# --- put and shown --------------------------------------------------------------------------------


async def test_a_picture_is_put_and_shown(page: Page) -> None:
    reply = await page.put(REAL["jpeg"], "sea%20%C3%A5.png")
    digest = hashlib.sha256(REAL["jpeg"]).hexdigest()
    assert (reply.status, reply.json) == (
        200,
        {
            "id": digest,
            "media_type": "image/jpeg",
            "kind": "image",
            "bytes": len(REAL["jpeg"]),
            "name": "sea å.png",
            "width": 23,
            "height": 17,
        },
    )
    status, headers, body = await page.get(digest)
    assert (status, body) == (200, REAL["jpeg"])
    assert headers["Content-Type"] == "image/jpeg"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["Content-Disposition"] == "inline; filename*=UTF-8''sea%20%C3%A5.png"
    assert "private" in headers["Cache-Control"]
    again = await page.get(digest, **{"If-None-Match": headers["ETag"]})
    assert (again[0], again[2]) == (304, b"")


async def test_a_head_has_the_size_of_a_file_that_is_not_read(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = await page.id_of(REAL["png"])
    _, whole, _ = await page.get(picture)

    async def read(*_: object) -> bytes:
        raise AssertionError("it is read")

    monkeypatch.setattr(StoredAttachments, "read", read)
    async with page.gateway.http.head(f"{page.gateway.url}/attachments/{picture}") as response:
        assert (response.status, await response.read()) == (200, b"")
        assert int(response.headers["Content-Length"]) == len(REAL["png"])
        named = ("Content-Type", "Content-Disposition", "ETag", "Content-Security-Policy")
        assert [response.headers[name] for name in named] == [whole[name] for name in named]


async def test_a_text_file_is_put_and_shown_as_text(page: Page) -> None:
    reply = await page.put(b"\xef\xbb\xbfa < b", "page.html")
    assert (reply.json["kind"], reply.json["media_type"]) == ("text", "text/plain")
    _, headers, body = await page.get(reply.json["id"])
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Content-Disposition"].startswith("attachment; ")
    assert body == b"\xef\xbb\xbfa < b"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "invalid_attachment"),
        (BOMB, 413, "too_large"),
        (SVG, 415, "unsupported_attachment"),
        (b"<!doctype html><script>alert(1)</script>", 415, "unsupported_attachment"),
        (REAL["png"][:100], 422, "invalid_attachment"),
        (b"\x89PNG\r\n\x1a\nnot at all", 422, "invalid_attachment"),
        (b"\0\1\2", 415, "unsupported_attachment"),
        (b"x" * 10_001, 413, "too_large"),
        (b"x" * 100_001, 413, "too_large"),
    ],
    ids=range(9),
)
async def test_unsupported_bytes_are_refused_as_attachments(
    page: Page, data: bytes, status: int, code: str
) -> None:
    reply = await page.put(data, "a.png")
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    assert reply.json["error"]["message"]
    assert (await page.get(hashlib.sha256(data).hexdigest()))[0] == 404


async def test_a_name_that_is_too_long_is_refused(page: Page) -> None:
    assert (await page.put(b"hello", "n" * 201)).json["error"]["code"] == "invalid_command"


async def test_a_body_that_is_cut_leaves_nothing(page: Page) -> None:
    address = page.gateway.url.removeprefix("http://")
    host, _, port = address.partition(":")
    for length in (0, 1, len(REAL["png"]) - 1):
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"PUT /attachments HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(REAL['png'])}"
        writer.write(f"{head}\r\n\r\n".encode() + REAL["png"][:length])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert (await page.get(hashlib.sha256(REAL["png"]).hexdigest()))[0] == 404
    # Nor what was put whole up to where it was cut.
    cut = REAL["png"][:-1]
    assert (await page.get(hashlib.sha256(cut).hexdigest()))[0] == 404


async def test_unknown_attachments_are_answered_with_404(page: Page) -> None:
    for name in ("0" * 64, "x", "..%2F..%2Fetc"):
        reply = await page.gateway.get(f"/attachments/{name}")
        assert (reply.status, reply.json["error"]["code"]) == (404, "unknown_attachment")


# --- in messages ----------------------------------------------------------------------------------


async def test_a_model_that_sees_is_sent_the_picture(page: Page) -> None:
    picture = await page.id_of(REAL["png"])
    (one,) = await page.client.ask("sees", messages=says("What is it?", image(picture)))
    assert (await page.client.end(one))["finish_reason"] == "stop"
    assert page.client.text(one) == "It is red."
    assert page.sees.state.requests[-1]["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": data_url(REAL["png"])}},
            ],
        }
    ]


async def test_a_text_file_is_text_for_every_server(page: Page) -> None:
    notes = await page.id_of(b"\xef\xbb\xbfone\ntwo\n", "no%22tes.txt")
    file = {"type": "file", "attachment": notes}
    (one,) = await page.client.ask("blind", messages=says("Count.", file, "Well?"))
    await page.client.end(one)
    (two,) = await page.client.ask("blind", messages=says({**file, "name": "b.md"}))
    await page.client.end(two)
    contents = [r["messages"][0]["content"] for r in page.blind.state.requests[-2:]]
    assert contents == [
        'Count.\n<file name="no\'tes.txt">\none\ntwo\n</file>\nWell?',
        '<file name="b.md">\none\ntwo\n</file>\n',
    ]


async def test_parts_of_text_alone_are_plain_text(page: Page) -> None:
    (one,) = await page.client.ask("blind", messages=says("Why", " not?"))
    await page.client.end(one)
    assert page.blind.state.requests[-1]["messages"] == [{"role": "user", "content": "Why not?"}]


async def test_pictures_for_a_model_without_vision_are_refused_before_any_generation_starts(
    page: Page,
) -> None:
    picture = await page.id_of(REAL["png"])
    asked = page.sees.state.generations
    failed = await page.client.try_to(
        type="generate",
        targets=[{"model": "sees"}, {"model": "blind"}],
        messages=says("What?", image(picture)),
    )
    error = failed["error"]
    assert (error["code"], error["details"]) == ("cannot_see", {"model": "blind"})
    assert "blind" in error["message"]
    assert page.sees.state.generations == asked


async def test_lenient_requests_leave_pictures_out_for_a_model_without_vision(page: Page) -> None:
    picture = await page.id_of(REAL["png"])
    result = await page.client.say(
        type="generate",
        targets=[{"model": "sees"}, {"model": "blind", "lenient": True}],
        messages=says("What?", image(picture), image(picture)),
    )
    seen, read = [await page.client.end(one) for one in result["generations"]]
    assert "notices" not in seen
    (notice,) = read["notices"]
    assert (notice["code"], notice["details"]) == ("picture_left_out", {"pictures": 2})
    assert page.blind.state.requests[-1]["messages"] == [{"role": "user", "content": "What?"}]


@pytest.mark.parametrize("text", [[], [" "]])
async def test_a_message_without_its_picture_is_not_empty(page: Page, text: list[str]) -> None:
    picture = await page.id_of(REAL["png"])
    result = await page.client.say(
        type="generate",
        targets=[{"model": "blind", "lenient": True}],
        messages=says(*text, image(picture), image(picture)),
    )
    await page.client.end(result["generations"][0])
    (message,) = page.blind.state.requests[-1]["messages"]
    assert message == {"role": "user", "content": "[a picture was left out]"}


async def test_pictures_fail_only_the_answer_of_a_cold_model_found_to_lack_vision() -> None:
    async with serve(FakeOptions(text="It is red.", routes=props(vision=True))) as fake:
        models = {"sees": remote(fake.url, dialect="openai", flavour="llama.cpp"), "cold": own()}
        async with opened(models=models, engines=EngineSettings(ports=ports())) as page:
            picture = await page.id_of(REAL["png"])
            one, two = await page.client.ask("sees", "cold", messages=says(image(picture)))
            end = await page.client.end(two)
            assert (end["finish_reason"], end["error"]["code"]) == ("failed", "cannot_see")
            assert (await page.client.end(one))["finish_reason"] == "stop"


@pytest.mark.parametrize(("setting", "sees"), [("yes", True), ("no", False), ("auto", None)])
async def test_settings_say_what_the_server_does_not(setting: str, sees: bool | None) -> None:
    async with serve(FakeOptions(text="Yes.")) as fake:
        models = {"m": remote(fake.url, dialect="openai", flavour="vllm", vision=setting)}
        async with opened(models=models) as page:
            picture = await page.id_of(REAL["png"])
            (first,) = await page.client.ask("m")
            await page.client.end(first)
            told = (await page.gateway.get("/models/m")).json["capabilities"]
            assert told.get("vision") is sees
            answer = await page.client.try_to(
                type="generate", targets=[{"model": "m"}], messages=says(image(picture))
            )
            assert (answer["type"] == "error") == (sees is False)


@pytest.mark.parametrize("is_lenient", [False, True])
async def test_a_servers_own_refusal_is_told_or_it_is_asked_without(is_lenient: bool) -> None:
    """No list says that this one is blind, and it refuses only what it cannot look at."""
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(serve(FakeOptions(text="I read.", is_blind=True)))
        models = {"m": remote(fake.url, dialect="openai")}
        page = await stack.enter_async_context(opened(models=models))
        picture = await page.id_of(REAL["png"])
        result = await page.client.say(
            type="generate",
            targets=[{"model": "m", "lenient": is_lenient}],
            messages=says("What?", image(picture)),
        )
        end = await page.client.end(result["generations"][0])
        if is_lenient:
            assert [notice["code"] for notice in end["notices"]] == ["picture_left_out"]
            assert page.client.text(end["generation"]) == "I read."
        else:
            assert (end["finish_reason"], end["error"]["code"]) == ("failed", "cannot_see")


async def test_capabilities_say_who_sees(page: Page) -> None:
    models = {model["id"]: model for model in (await page.gateway.get("/models")).json}
    assert [models[name]["capabilities"]["vision"] for name in ("sees", "blind")] == [True, False]
    listed = (await page.gateway.get("/v1/models")).json["data"]
    assert {model["id"]: model["architecture"]["input_modalities"] for model in listed} == {
        "sees": ["text", "image"],
        "blind": ["text"],
    }


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (lambda p, _: says(image("0" * 64)), "unknown_attachment"),
        (lambda p, _: says({"type": "file", "attachment": p}), "invalid_command"),
        (lambda _, t: says(image(t)), "invalid_command"),
        (lambda p, _: [{"role": "system", "content": [image(p)]}], "invalid_command"),
        (lambda p, _: [{"role": "assistant", "content": [image(p)]}], "invalid_command"),
        (lambda *_: [{"role": "user", "content": []}], "invalid_command"),
        (lambda *_: says({"type": "video", "attachment": "0" * 64}), "invalid_command"),
        (lambda *_: says({"type": "image", "attachment": "../../etc"}), "invalid_command"),
        (lambda *_: says({"type": "image"}), "invalid_command"),
        (lambda p, _: says(*[image(p)] * 6), "prompt_too_long"),
    ],
    ids=range(10),
)
async def test_bad_parts_are_refused_in_words(page: Page, messages: Any, code: str) -> None:
    picture, text = await page.id_of(REAL["png"]), await page.id_of(b"hello")
    failed = await page.client.try_to(
        type="generate", targets=[{"model": "sees"}], messages=messages(picture, text)
    )
    assert failed["error"]["code"] == code, failed
    assert failed["error"]["message"]
    assert await page.client.say(type="ping") == {}


async def test_files_count_for_the_length_of_a_prompt() -> None:
    async with opened(answers=AnswerSettings(max_prompt_chars=100)) as page:
        file = {"type": "file", "attachment": await page.id_of(b"x" * 99)}
        failed = await page.client.try_to(
            type="generate", targets=[{"model": "sees"}], messages=says("hi", file)
        )
        assert failed["error"]["code"] == "prompt_too_long"


async def test_cached_answers_are_those_to_the_same_picture() -> None:
    async with opened(answers=AnswerSettings(cache_size=Size(1 << 20))) as page:
        one, two = await page.id_of(REAL["png"]), await page.id_of(REAL["jpeg"])
        ends = []
        for picture in (one, one, two):
            (name,) = await page.client.ask(
                "sees", messages=says(image(picture)), parameters={"temperature": 0}
            )
            ends.append(await page.client.end(name))
        assert [end.get("cached", False) for end in ends] == [False, True, False]


# --- in conversations -----------------------------------------------------------------------------


async def test_a_conversation_shows_what_was_attached_and_asks_again(page: Page) -> None:
    picture = await page.id_of(REAL["png"], "a.png")
    notes = await page.id_of(b"hello", "b.txt")
    begun = await page.gateway.post("/conversations", {"columns": [{"id": "a", "model": "sees"}]})
    name = begun.json["id"]
    messages = says("What?", image(picture), {"type": "file", "attachment": notes})
    result = await page.client.say(
        type="generate",
        targets=[{"model": "sees", "column": "a"}],
        messages=messages,
        record={"conversation": name, "turn": "t1"},
    )
    await page.client.end(result["generations"][0])
    kept = (await page.gateway.get(f"/conversations/{name}?full=1")).json
    assert kept["turns"][0]["text"] == "What?"
    assert kept["turns"][0]["attachments"] == [
        {"type": "image", "attachment": picture},
        {"type": "file", "attachment": notes, "name": "b.txt"},
    ]
    assert {file["id"]: file["name"] for file in kept["attachments"]} == {
        picture: "a.png",
        notes: "b.txt",
    }
    (answer,) = kept["answers"]
    asked = [kept["messages"][place] for place in answer["asked"]]
    first = page.sees.state.requests[-1]["messages"]
    (again,) = await page.client.ask("sees", messages=asked)
    await page.client.end(again)
    assert page.sees.state.requests[-1]["messages"] == first
    # It may be asked with next.
    await page.gateway.ask("DELETE", f"/conversations/{name}?forever=1")
    (again,) = await page.client.ask("sees", messages=asked)
    await page.client.end(again)
    assert page.sees.state.requests[-1]["messages"] == first


async def test_without_conversations_attachments_are_held_in_memory() -> None:
    async with opened(conversations=ConversationSettings(enabled=False)) as page:
        picture = await page.id_of(REAL["png"])
        assert (await page.get(picture))[2] == REAL["png"]
        (one,) = await page.client.ask("sees", messages=says(image(picture)))
        assert (await page.client.end(one))["finish_reason"] == "stop"


# --- OpenAI's form --------------------------------------------------------------------------------


def chat(url: str, model: str = "sees", **more: Any) -> dict[str, Any]:
    content = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


async def test_our_own_form_names_what_was_put(page: Page) -> None:
    notes, picture = await page.id_of(b"The sea.", "notes.txt"), await page.id_of(png(2, 2))
    file = {"type": "file", "attachment": notes}
    for path in ("/generate", "/generate_stream"):
        body = {"model": "sees", "messages": says("Why?", file, image(picture))}
        assert (await page.gateway.post(path, body)).status == 200
        (message,) = page.sees.state.requests[-1]["messages"]
        assert [part["type"] for part in message["content"]] == ["text", "text", "image_url"]
        assert "The sea." in message["content"][1]["text"]


async def test_our_own_form_refuses_what_was_not_put(page: Page) -> None:
    part = {"type": "file", "attachment": "0" * 64}
    for role in ("user", "system"):
        messages = [{"role": role, "content": [part]}, *says("Why?")]
        reply = await page.gateway.post("/generate", {"model": "sees", "messages": messages})
        assert (reply.status, reply.json["error"]["code"]) == (404, "unknown_attachment")
    body = {"model": "blind", "messages": says("Why?", image(await page.id_of(png(2, 2))))}
    reply = await page.gateway.post("/generate", body)
    assert (reply.status, reply.json["error"]["code"]) == (422, "cannot_see")


async def test_openais_form_takes_pictures_and_stores_none(page: Page) -> None:
    reply = await page.gateway.post("/v1/chat/completions", chat(data_url(REAL["webp_alpha"])))
    assert reply.status == 200, reply.text
    assert reply.json["choices"][0]["message"]["content"] == "It is red."
    # What it is follows from the bytes.
    assert page.sees.state.requests[-1]["messages"][0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": data_url(REAL["webp_alpha"], "webp")},
    }
    assert (await page.get(hashlib.sha256(REAL["webp_alpha"]).hexdigest()))[0] == 404


async def test_a_request_is_not_held_while_it_is_answered() -> None:
    fake = FakeOptions(text="It is red.", hold_after=1)
    async with serve(fake) as held:
        models = {"m": remote(held.url, dialect="openai")}
        async with opened(models=models) as page:
            asking = asyncio.create_task(
                page.gateway.post("/v1/chat/completions", chat(data_url(REAL["png"]), "m"))
            )
            await held.state.reaches(tokens=1)
            gc.collect()
            kept = [one for one in gc.get_objects() if isinstance(one, ChatOptions)]
            held.state.release()
            assert (await asking).status == 200
    assert kept == []


async def test_a_picture_may_be_larger_than_a_frame(page: Page) -> None:
    async with opened(server=server_settings(max_frame_bytes=1_024)) as small:
        large = chat(data_url(png(40, 40, pixels=bytes(range(256)) * 7)))
        assert (await small.gateway.post("/v1/chat/completions", large)).status == 200
        huge = chat("data:image/png;base64," + "A" * 5_200)
        assert (await small.gateway.post("/v1/chat/completions", huge)).status == 413


@pytest.mark.parametrize(
    ("url", "status", "code", "words"),
    [
        ("http://169.254.169.254/latest", 400, "invalid_command", "is not fetched"),
        ("https://example.org/a.png", 400, "invalid_command", "is not fetched"),
        ("file:///etc/passwd", 400, "invalid_command", "is not fetched"),
        ("data:image/png,abc", 400, "invalid_command", "is not fetched"),
        ("data:image/png;base64,%%%", 400, "invalid_attachment", "is not base64"),
        ("data:image/png;base64,é", 400, "invalid_attachment", "is not base64"),
        ("data:image/png;base64,", 400, "invalid_attachment", "is empty"),
        ("data:image/png;base64,aGVsbG8=", 400, "invalid_attachment", "none, but text"),
        (data_url(BOMB), 413, "too_large", "40,000 x 40,000"),
        (data_url(SVG, "svg+xml"), 415, "unsupported_attachment", "SVG"),
        (data_url(REAL["png"][:99]), 400, "invalid_attachment", "breaks off"),
    ],
    ids=range(11),
)
async def test_openais_form_refuses_what_is_no_picture(
    page: Page, url: str, status: int, code: str, words: str
) -> None:
    asked = page.sees.state.generations
    reply = await page.gateway.post("/v1/chat/completions", chat(url))
    error = reply.json["error"]
    assert (reply.status, error["code"]) == (status, code)
    assert words in error["message"]
    assert "$.messages[0].content[1].image_url.url" in error["message"]
    assert error["param"] == "messages"
    assert page.sees.state.generations == asked


async def test_openais_form_takes_a_number_of_pictures(page: Page) -> None:
    body = chat(data_url(png()))
    body["messages"][0]["content"] *= 1_001
    reply = await page.gateway.post("/v1/chat/completions", body)
    assert (reply.status, reply.json["error"]["code"]) == (400, "context_length_exceeded")
    assert "1,000 pictures" in reply.json["error"]["message"]


async def test_openais_form_says_who_cannot_see(page: Page) -> None:
    body = chat(data_url(REAL["png"]), "blind")
    reply = await page.gateway.post("/v1/chat/completions", body)
    assert (reply.status, reply.json["error"]["code"]) == (400, "cannot_see")
    lenient = {**body, "sidestream": {"lenient": True}}
    reply = await page.gateway.post("/v1/chat/completions", lenient)
    assert [n["code"] for n in reply.json["sidestream"]["notices"]] == ["picture_left_out"]


async def test_only_users_show_pictures_in_openais_form(page: Page) -> None:
    body = chat(data_url(REAL["png"]))
    body["messages"][0]["role"] = "system"
    reply = await page.gateway.post("/v1/chat/completions", body)
    assert (reply.status, reply.json["error"]["code"]) == (400, "invalid_command")
