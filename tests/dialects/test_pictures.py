"""Pictures on the wire to model servers, and who is known to take them."""

import asyncio
import base64
import gc
import json
import re
import threading
import tracemalloc
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import (
    CannotSee,
    EngineLost,
    InvalidCommand,
    InvalidParameters,
    UnknownAttachment,
)
from server.core.protocol import ImagePart, Message, PastCall, TextPart
from server.dialects.base import Ask, Endpoint, EngineInfo, Prompt, Upstream
from server.dialects.http.client import Timeouts
from server.dialects.messages import in_openais_form
from server.dialects.ollama.upstream import OllamaUpstream
from server.dialects.openai.flavours import FLAVOURS
from server.dialects.openai.upstream import OpenAIUpstream
from server.dialects.pictures import MOST_WRITTEN, Picture, as_openai, insert_pictures
from server.dialects.tgi.pictures import with_names, with_pictures
from server.dialects.tgi.upstream import TGI
from tests.conftest import StartFake
from tests.dialects.ollama_fake import MODEL, FakeOllama, saying
from tests.dialects.ollama_fake import serve as serve_ollama
from tests.fakes.openai import serve
from tests.fakes.openai_options import Canned, FakeOptions, like
from tests.support.answers import Answer, answered
from tests.support.pictures import REAL
from tests.system import SHARED

PNG, JPEG = "1" * 64, "2" * 64
FILES = {PNG: Picture("image/png", REAL["png"]), JPEG: Picture("image/jpeg", REAL["jpeg"])}
CHAT = (
    Message("system", "Be brief."),
    Message("user", [ImagePart(PNG), TextPart("What?"), ImagePart(JPEG)]),
    Message("assistant", "Colours."),
    Message("user", "And now?"),
)


class Fetching:
    """Give pictures, and count how often."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self, attachment: str) -> Picture:
        self.times += 1
        return FILES[attachment]


def url(name: str) -> str:
    """Return the URL that a picture has to be sent as."""
    picture = FILES[name]
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()}"


async def shown(upstream: Upstream, content: Any = CHAT, **parameters: Any) -> Answer:
    """Ask with pictures, as the relay does."""
    prompt = await upstream.prompt(content, needs_count=True)
    assert prompt.tokens is None
    chosen = frozenset(parameters)
    return await answered(
        upstream, Ask(prompt, parameters, chosen=chosen, fetch_picture=Fetching())
    )


@asynccontextmanager
async def closing(upstream: Upstream) -> AsyncIterator[Any]:
    try:
        yield upstream
    finally:
        await upstream.close()


def openai(address: str, flavour: str = "plain") -> OpenAIUpstream:
    return OpenAIUpstream(
        Endpoint(address, dialect="openai", model="m"), FLAVOURS[flavour], Timeouts()
    )


def ollama(address: str) -> OllamaUpstream:
    return OllamaUpstream(Endpoint(address, dialect="ollama", model=MODEL), Timeouts())


# --- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_openais_form_has_urls_with_the_picture_in_them(flavour: str) -> None:
    async with (
        serve(FakeOptions(text="Red.")) as fake,
        closing(openai(fake.url, flavour)) as upstream,
    ):
        assert (await shown(upstream)).text == "Red."
        (body,) = fake.state.requests
        assert body["messages"] == [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": url(PNG)}},
                    {"type": "text", "text": "What?"},
                    {"type": "image_url", "image_url": {"url": url(JPEG)}},
                ],
            },
            {"role": "assistant", "content": "Colours."},
            {"role": "user", "content": "And now?"},
        ]
        assert not any("token" in route for route in fake.state.routes)


async def test_asked_again_the_pictures_are_fetched_again() -> None:
    fetching = Fetching()
    async with (
        serve(FakeOptions(text="Red.", refuses=("min_p",))) as fake,
        closing(openai(fake.url)) as upstream,
    ):
        question = Ask(Prompt(CHAT), {"min_p": 0.1}, is_lenient=True, fetch_picture=fetching)
        assert (await answered(upstream, question)).text == "Red."
        first, second = fake.state.requests
        assert first["messages"] == second["messages"]
    assert fetching.times == 4


async def test_ollama_has_base64_beside_the_text() -> None:
    fake = FakeOllama()
    async with serve_ollama(fake), closing(ollama(fake.url)) as upstream:
        await shown(upstream)
        (body,) = fake.bodies("/api/chat")
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": "What?",
            "images": [base64.b64encode(REAL[name]).decode() for name in ("png", "jpeg")],
        },
        {"role": "assistant", "content": "Colours."},
        {"role": "user", "content": "And now?"},
    ]


async def test_tgi_has_markdown_in_the_rendered_prompt(fake_tgi: StartFake) -> None:
    fake = await fake_tgi()
    async with closing(TGI(Endpoint(fake.url), Timeouts())) as upstream:
        await shown(upstream, max_new_tokens=3)
        plain = await upstream.prompt(
            [Message(m.role, "§What?§" if n == 1 else str(m.content)) for n, m in enumerate(CHAT)],
            needs_count=False,
        )
        seen, whole = fake.state.requests[-1]["inputs"], str(plain.content)
    assert seen == whole.replace("§", f"![]({url(PNG)})", 1).replace("§", f"![]({url(JPEG)})")


async def test_tgi_renders_and_counts_names_only(fake_tgi: StartFake) -> None:
    fake = await fake_tgi()
    async with closing(TGI(Endpoint(fake.url), Timeouts())) as upstream:
        prompt = await upstream.prompt(CHAT, needs_count=True)
        assert prompt.pictures == (PNG, JPEG)
        assert len(str(prompt.content)) < 500
        assert await upstream.count(prompt) is None


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for message in messages %}{{ message.role }}{% endfor %}", "leaves pictures out"),
        ("{% for m in messages * 9 %}{{ m.content }}{% endfor %}", "repeats pictures"),
    ],
)
async def test_a_template_that_drops_or_repeats_pictures_is_told(
    fake_tgi: StartFake, template: str, told: str
) -> None:
    fake = await fake_tgi(no_template=True)
    async with closing(TGI(Endpoint(fake.url, chat_template=template), Timeouts())) as upstream:
        with pytest.raises(InvalidCommand, match=told):
            await upstream.prompt(CHAT, needs_count=False)


async def test_typed_text_is_never_taken_for_a_picture(fake_tgi: StartFake) -> None:
    """One picture and thousands of typed names of it would be written thousands of times."""
    fake = await fake_tgi(no_template=True)
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    typed = f"[picture sha256:{PNG}]" * 3
    chat = [Message("user", [ImagePart(PNG), TextPart(typed), ImagePart(PNG)])]
    async with closing(TGI(Endpoint(fake.url, chat_template=template), Timeouts())) as upstream:
        await shown(upstream, chat, max_new_tokens=3)
        (body,) = fake.state.requests[-1:]
        first, again = [await upstream.prompt(chat, needs_count=False) for _ in range(2)]
    picture = f"![]({url(PNG)})"
    assert body["inputs"] == picture + typed + picture
    # The key of a cached answer is made from it.
    assert first == again


async def test_our_own_rendering_has_pictures_too(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(no_template=True)
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}"
    async with closing(TGI(Endpoint(fake.url, chat_template=template), Timeouts())) as upstream:
        await shown(upstream, CHAT[:2], max_new_tokens=3)
        (body,) = fake.state.requests[-1:]
    assert body["inputs"] == f"<system>Be brief.<user>![]({url(PNG)})What?![]({url(JPEG)})"


@pytest.mark.parametrize("make", [openai, ollama])
async def test_a_picture_that_has_gone_is_told_and_nothing_is_sent(make: Any) -> None:
    async def gone(attachment: str) -> Picture:
        raise UnknownAttachment("gone")

    fake = FakeOllama()
    async with serve_ollama(fake), closing(make(fake.url)) as upstream:
        with pytest.raises(UnknownAttachment):
            await answered(upstream, Ask(Prompt(CHAT), {}, model=MODEL, fetch_picture=gone))
    assert not [path for path, _ in fake.asked if "chat" in path]


async def test_truncate_is_refused_for_a_prompt_with_pictures() -> None:
    async with serve(like("vllm")) as fake, closing(openai(fake.url, "llama.cpp")) as upstream:
        with pytest.raises(InvalidParameters, match="not for prompts with pictures"):
            await shown(upstream, truncate=5)
        assert not fake.state.requests


# --- as recorded --------------------------------------------------------------------------------


def test_requests_have_the_form_of_those_that_real_servers_were_sent() -> None:
    """What real Ollama took for pictures, and refused because its model had no eyes."""
    file = Path(SHARED) / "openai-recorded.jsonl"
    if not file.exists():
        return
    exchanges = [json.loads(line) for line in file.read_text().splitlines()]
    bodies = {
        e["case"]: e["request"]["body"]["messages"][0]
        for e in exchanges
        if e["case"] in {"chat image", "native: chat images"}
    }
    (native,) = (body for body in bodies.values() if "images" in body)
    (compatible,) = (body for body in bodies.values() if "images" not in body)
    assert native.keys() == {"role", "content", "images"}
    assert base64.b64decode(native["images"][0]).startswith(b"\x89PNG")
    part = compatible["content"][0]
    assert part["type"] == "image_url"
    assert part["image_url"]["url"].startswith("data:image/png;base64,")


async def test_ollamas_refusal_is_told_in_its_engines_words() -> None:
    said = "Multimodal data provided, but model does not support multimodal requests."
    inner = {"error": {"code": 400, "message": said, "type": "invalid_request_error"}}
    refusal = saying("/api/chat", {"error": json.dumps(inner)}, status=400)
    fake = FakeOllama(answers={"/api/chat": refusal})
    async with serve_ollama(fake), closing(ollama(fake.url)) as upstream:
        with pytest.raises(CannotSee, match="does not support multimodal"):
            await shown(upstream)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (500, "image input is not supported - hint: you may need to provide the mmproj"),
        (400, "At most 0 image(s) may be provided in one prompt."),
        (400, "m is not a multimodal model"),
        (400, "Invalid content type. image_url is only supported by certain models."),
        (404, "No endpoints found that support image input"),
    ],
)
async def test_words_of_servers_that_see_nothing_mean_that(status: int, words: str) -> None:
    body = {"error": {"message": words, "type": "invalid_request_error", "code": status}}
    refusing = FakeOptions(routes={"POST /v1/chat/completions": Canned(body, status)})
    async with serve(refusing) as fake, closing(openai(fake.url)) as upstream:
        with pytest.raises(CannotSee) as raised:
            await shown(upstream)
    assert words in raised.value.message


# --- who sees -----------------------------------------------------------------------------------


async def described(flavour: str, entry: dict[str, Any], **routes: Any) -> EngineInfo:
    """Return what is made of a list's entry, and of other routes."""
    canned = {f"GET /{name}": Canned(body) for name, body in routes.items()}
    canned["GET /v1/models"] = Canned({"data": [{"id": "m", **entry}]})
    canned["GET /api/v0/models"] = canned["GET /v1/models"]
    async with (
        serve(FakeOptions(routes=canned)) as fake,
        closing(openai(fake.url, flavour)) as upstream,
    ):
        info = await upstream.describe("m")
        (listed,) = await upstream.models()
        if info.can_see is not None and "props" not in routes:
            assert listed.capabilities["vision"] == info.can_see
        assert isinstance(info, EngineInfo)
        return info


@pytest.mark.parametrize(
    ("flavour", "entry", "routes", "sees"),
    [
        ("llama.cpp", {}, {"props": {"modalities": {"vision": True, "audio": False}}}, True),
        ("llama.cpp", {}, {"props": {"modalities": {"vision": False}}}, False),
        ("llama.cpp", {}, {"props": {}}, None),
        ("vllm", {}, {}, None),
        ("openrouter", {"architecture": {"input_modalities": ["text", "image"]}}, {}, True),
        ("openrouter", {"architecture": {"input_modalities": ["text"]}}, {}, False),
        ("litellm", {"architecture": {"input_modalities": ["text", "image"]}}, {}, True),
        ("litellm", {"model_info": {"supports_vision": False}}, {}, False),
        ("lmstudio", {"type": "vlm"}, {}, True),
        ("lmstudio", {"type": "llm"}, {}, False),
        ("lmstudio", {"type": "llm", "capabilities": {"vision": True}}, {}, True),
        ("plain", {"capabilities": ["completion", "multimodal"]}, {}, True),
        ("plain", {"capabilities": ["completion"]}, {}, None),
        ("plain", {}, {}, None),
    ],
)
async def test_which_servers_of_openais_form_take_pictures(
    flavour: str, entry: dict[str, Any], routes: dict[str, Any], sees: bool | None
) -> None:
    assert (await described(flavour, entry, **routes)).can_see is sees


@pytest.mark.parametrize(
    ("capabilities", "sees"),
    [(["completion", "vision"], True), (["completion", "tools"], False), (None, None)],
)
async def test_which_models_of_ollama_take_pictures(
    capabilities: list[str] | None, sees: bool | None
) -> None:
    told = {} if capabilities is None else {"capabilities": capabilities}
    fake = FakeOllama(
        answers={
            "/api/show": saying("/api/show", told),
            "/api/tags": saying("/api/tags", {"models": [{"name": MODEL, **told}]}),
        }
    )
    async with serve_ollama(fake), closing(ollama(fake.url)) as upstream:
        assert (await upstream.describe()).can_see is sees
        (listed,) = await upstream.models()
        assert listed.capabilities.get("vision") is sees


async def test_tgi_sees_only_where_the_hub_says_so(fake_tgi: StartFake) -> None:
    async with closing(TGI(Endpoint((await fake_tgi()).url), Timeouts())) as upstream:
        assert (await upstream.describe()).can_see is False
    seeing = await fake_tgi(pipeline_tag="image-text-to-text")
    async with closing(TGI(Endpoint(seeing.url), Timeouts())) as upstream:
        assert (await upstream.describe()).can_see is True


# --- memory ---------------------------------------------------------------------------------------


async def test_pictures_are_not_held_in_memory_during_the_answer() -> None:
    """An answer may take minutes, a picture has megabytes, and eight columns have eight of them."""
    size = 4_000_000
    answering, done = asyncio.Event(), asyncio.Event()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
        while left:
            left -= len(await reader.read(65_536))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        writer.write(b'data: {"choices":[{"index":0,"delta":{"content":"Red"}}]}\n\n')
        await done.wait()
        writer.close()

    async def fetch(attachment: str) -> Picture:
        return Picture("image/png", bytes(size))

    async with await asyncio.start_server(serve_one, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with closing(openai(f"http://{host}:{port}")) as upstream:
            question = Ask(Prompt(CHAT[1:2]), {}, fetch_picture=fetch)
            tracemalloc.start()
            try:
                asking = asyncio.create_task(
                    upstream.generate(question, lambda _: answering.set(), lambda _: None)
                )
                await asyncio.wait_for(answering.wait(), 30)
                gc.collect()
                held, most = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
                done.set()
            with pytest.raises(EngineLost):
                await asking
    assert most > size
    assert held < size / 4


async def test_only_a_few_prompts_are_written_at_once_and_none_in_the_loop() -> None:
    begun, waiting, most = 0, 0, 0
    gate, enough = asyncio.Event(), asyncio.Event()

    async def fetch(attachment: str) -> Picture:
        nonlocal begun, waiting, most
        begun, waiting = begun + 1, waiting + 1
        most = max(most, waiting)
        if begun == MOST_WRITTEN:
            enough.set()
        await gate.wait()
        waiting -= 1
        return FILES[attachment]

    def write(message: dict[str, Any], pictures: Mapping[str, Picture]) -> dict[str, Any]:
        threads.add(threading.current_thread())
        return as_openai(message, pictures)

    threads: set[threading.Thread] = set()
    chat = [Message("user", [ImagePart(PNG)])]
    columns: list[Coroutine[Any, Any, object]] = [
        *(insert_pictures({"messages": in_openais_form(chat)}, fetch, write) for _ in range(6)),
        *(with_pictures(Prompt(PNG, pictures=(PNG,)), fetch) for _ in range(6)),
    ]
    tasks = [asyncio.create_task(column) for column in columns]
    await asyncio.wait_for(enough.wait(), 30)
    gate.set()
    await asyncio.gather(*tasks)
    assert (begun, most) == (12, MOST_WRITTEN)
    assert threading.main_thread() not in threads


def test_names_in_the_place_of_pictures_leave_the_rest_of_a_conversation() -> None:
    messages = [
        Message("user", [TextPart("What is "), ImagePart("a" * 64)]),
        Message("assistant", "", tool_calls=[PastCall("c1", "look", "{}")]),
        Message("tool", "a rose", tool_call_id="c1"),
    ]
    first, *rest = with_names(messages)
    assert re.fullmatch(
        rf"What is \[picture [0-9a-f]{{32}} sha256:{'a' * 64}\]", str(first.content)
    )
    assert rest == messages[1:]
