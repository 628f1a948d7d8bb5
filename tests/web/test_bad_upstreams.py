"""Servers that misbehave, each beside a good one, which goes on: what is told of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from server.core.protocol import Model
from server.settings.models import ModelSettings
from server.settings.tables import EngineSettings, Settings
from server.settings.upstreams import DiscoverySettings, UpstreamSettings
from server.web.keys import CATALOG_SOURCE, FLEET
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import FakeOptions, like
from tests.web.gateway import Gateway, Reply, ports, running, server_settings

CEILING_SECONDS = 30
QUESTION = [{"role": "user", "content": "Hello"}]
ODD_NAMES = (
    "org/name",
    "name:tag",
    "two words",
    "modèle-東京",
    "🙂",
    "tab\there\x00\x1b[31m",
    "..",
    "../../etc/passwd",
    "a//b",
    "a%2Fb",
    "%",
    "#?&",
    "long" * 1250,
    "long" * 1249 + "lonG",
    "[upstream u]",
)

Serving = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Bad:
    """A gateway before a bad server `u` and a good one."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.fleet = gateway.app[FLEET]
        self.source = gateway.app[CATALOG_SOURCE]

    def ids(self) -> list[str]:
        """Return the models that are not the good server's."""
        return [m.id for m in self.fleet.snapshots() if not m.id.startswith("good")]

    async def sees(self, is_so: Callable[[dict[str, Model]], bool]) -> dict[str, Model]:
        """Return the models by their ids as soon as that is so of them."""
        changed = asyncio.Event()
        unsubscribe = self.fleet.subscribe(lambda _: changed.set(), lambda _: changed.set())
        models: dict[str, Model] = {}
        try:
            async with asyncio.timeout(CEILING_SECONDS):
                while not is_so(models := {m.id: m for m in self.fleet.snapshots()}):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited in vain: {models}") from None
        finally:
            unsubscribe()
        return models

    async def failed(self, model_id: str) -> Model:
        """Return the model once it has failed, with its error."""
        models = await self.sees(lambda models: models[model_id].state == "failed")
        assert models[model_id].error is not None
        return models[model_id]

    async def ask(self, model_id: str) -> Reply:
        """Return the answer of a model."""
        body = {"model": model_id, "messages": QUESTION, "max_tokens": 100}
        async with asyncio.timeout(CEILING_SECONDS):
            return await self.gateway.post("/v1/chat/completions", body)

    async def good(self) -> None:
        """See that the good server's model answers."""
        await self.sees(lambda models: "good/fake-model" in models)
        assert (await self.ask("good/fake-model")).status == 200


@asynccontextmanager
async def beside_good(
    url: str,
    *,
    model: dict[str, Any] | None = None,
    connect_timeout: float = CEILING_SECONDS,
    read_timeout: float = CEILING_SECONDS,
    **words: Any,
) -> AsyncIterator[Bad]:
    """Run a gateway before `[upstream u]` at `url` and a good one; see that both leave no task."""
    before = asyncio.all_tasks()
    async with serve(like("vllm")) as good:
        models = {} if model is None else {"m": ModelSettings(runner="remote", **model)}
        settings = Settings(
            server=server_settings(),
            engines=EngineSettings(
                ports=ports(),
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                first_token_timeout=read_timeout,
                health_interval=0.2,
            ),
            discovery=DiscoverySettings(enabled=False, interval=5.0),
            models=models,
            upstreams={
                "u": UpstreamSettings(url=url, **{"models": ("*",), **words}),
                "good": UpstreamSettings(url=good.url, models=("*",)),
            },
        )
        async with running(settings) as gateway:
            bad = Bad(gateway)
            yield bad
            await bad.good()
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    if left:
        # The server before which it stood still runs, and sees only now that we have gone.
        _, left = await asyncio.wait(left, timeout=CEILING_SECONDS)
    assert not left


@asynccontextmanager
async def bad_server(options: FakeOptions, **words: Any) -> AsyncIterator[tuple[Bad, Fake]]:
    async with serve(options) as fake, beside_good(fake.url, **words) as bad:
        yield bad, fake


@asynccontextmanager
async def raw_server(serving: Serving) -> AsyncIterator[str]:
    """Serve by hand; whoever still serves is ended."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serving(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()


# --- who is no model server, or not the one that it is said to be ---------------------------


@pytest.mark.parametrize("form", ["html", "no-list", "not-json"])
async def test_an_invalid_list_is_explained(form: str) -> None:
    async with bad_server(FakeOptions(models_form=form)) as (bad, _):
        model = await bad.failed("[upstream u]")
        assert "list of models" in model.error.message  # type: ignore[union-attr]
        assert "`url`" in (model.error.hint or "")  # type: ignore[union-attr]
        assert (await bad.ask("[upstream u]")).status >= 400


async def test_a_redirect_is_named_and_not_followed() -> None:
    async with serve() as elsewhere:
        moved = FakeOptions(redirect=f"{elsewhere.url}/v1/models")
        async with bad_server(moved, api_key="secret") as (bad, _):
            model = await bad.failed("[upstream u]")
            assert elsewhere.url in model.error.message  # type: ignore[union-attr]
            assert elsewhere.state.counts["asked"] == 0


async def test_a_server_that_wants_a_key_is_told_with_the_settings_name() -> None:
    async with bad_server(like("vllm", api_key="secret")) as (bad, _):
        model = await bad.failed("[upstream u]")
        assert "`api_key`" in f"{model.error}"


@pytest.mark.parametrize("key", ["two\nlines", "two\r\nX-Evil: 1", "nul\0"])
async def test_a_key_with_line_breaks_harms_nobody(key: str) -> None:
    async with bad_server(like("vllm", api_key="secret"), api_key=key) as (bad, fake):
        model = await bad.failed("[upstream u]")
        assert model.error is not None
        assert key not in model.error.message
        assert all("x-evil" not in headers for headers in fake.state.headers)


@pytest.mark.parametrize(
    ("options", "reaches"),
    [
        (like("vllm", error_status=401), 502),
        (like("vllm", error_after=1), 502),
        (like("vllm", error_status=429, error_form="text"), 429),
    ],
)
async def test_a_key_that_the_server_repeats_reaches_nobody(
    options: FakeOptions, reaches: int, caplog: pytest.LogCaptureFixture
) -> None:
    key, other = "abcdefgh+0123", "a-team-nobody-knows"
    words = f"per day: who is {key} of {other}?"
    repeating = replace(options, error_text=words)
    secrets: dict[str, Any] = {"api_key": key, "headers": {"X-Team": other}}
    async with bad_server(repeating, **secrets) as (bad, _):
        await bad.sees(lambda models: "u/fake-model" in models)
        reply = await bad.ask("u/fake-model")
        assert reply.status == reaches, reply.text
        assert "who is [key] of [key]?" in reply.text
        shown = (await bad.gateway.get("/models")).text
    for said in (reply.text, shown, caplog.text):
        assert key not in said
        assert other not in said


async def test_ollamas_dialect_at_another_server_says_what_came() -> None:
    async with bad_server(
        like("vllm"), dialect="ollama", models=("fake-model",), connect_timeout=3.0
    ) as (bad, fake):
        model = await bad.failed("u/fake-model")
        assert fake.url in model.error.message  # type: ignore[union-attr]
        assert "`dialect`" in model.error.hint  # type: ignore[union-attr,operator]
        assert (await bad.ask("u/fake-model")).status >= 400


async def test_tgis_dialect_at_another_server_says_what_came() -> None:
    async with serve(like("vllm")) as fake:
        model = {"url": fake.url, "dialect": "tgi"}
        async with beside_good(fake.url, model=model) as bad:
            found = await bad.failed("m")
            assert "does not speak TGI's API" in found.error.message  # type: ignore[union-attr]
            assert "`dialect`" in found.error.hint  # type: ignore[union-attr,operator]


async def test_another_flavour_than_the_servers_still_answers() -> None:
    async with bad_server(like("llama.cpp"), flavour="vllm") as (bad, _):
        await bad.sees(lambda models: "u/fake-model" in models)
        assert (await bad.ask("u/fake-model")).status == 200


# --- lists --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["empty", "null"])
async def test_a_list_without_models_is_told(form: str) -> None:
    async with bad_server(like("vllm", models_form=form)) as (bad, _):
        model = await bad.failed("[upstream u]")
        assert "no model" in model.error.message  # type: ignore[union-attr]
        reply = await bad.ask("[upstream u]")
        assert reply.status >= 400
        assert "[upstream u]" not in (await bad.gateway.get("/v1/models")).text


async def test_two_thousand_models_are_all_there() -> None:
    async with bad_server(like("vllm", model_count=2000)) as (bad, _):
        await bad.sees(lambda models: len(models) == 2001)
        assert len(set(bad.ids())) == 2000
        assert (await bad.ask("u/vendor-7/model-1207")).status == 200


async def test_odd_names_have_ids_of_their_own_that_can_be_asked() -> None:
    names = (*ODD_NAMES, *ODD_NAMES[:3])
    async with bad_server(like("vllm", models=names, strict_model=True)) as (bad, fake):
        await bad.sees(lambda models: len(models) == len(ODD_NAMES) + 1)
        ids = bad.ids()
        assert len(set(ids)) == len(ODD_NAMES)
        assert all(model_id.isascii() and len(model_id) < 200 for model_id in ids)
        for model_id, name in zip(ids, ODD_NAMES, strict=True):
            reply = await bad.ask(model_id)
            assert reply.status == 200, (model_id, reply.text)
            assert fake.state.requests[-1]["model"] == name
        listed = json.loads((await bad.gateway.get("/models")).text)
        assert all(model["name"].isprintable() for model in listed)


async def test_names_of_any_kind_make_an_error_that_can_be_read() -> None:
    names = (*ODD_NAMES, *(f"model-{number}" for number in range(3000)))
    async with (
        serve(like("vllm", models=names)) as fake,
        # Three thousand models keep a busy machine's event loop for more than a second.
        beside_good(fake.url, model={"url": fake.url}) as bad,
    ):
        model = await bad.failed("m")
        message = model.error.message  # type: ignore[union-attr]
        assert message.isprintable()
        assert len(message) < 1000
        assert "org/name, name:tag" in message


async def test_half_a_character_in_a_name_breaks_no_list() -> None:
    async def listing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            body = rb'{"object":"list","data":[{"id":"half-\ud83d"},{"id":"whole"}]}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async with raw_server(listing) as url, beside_good(url) as bad:
        await bad.sees(lambda models: "u/whole" in models)
        assert (await bad.gateway.get("/models")).status == 200
        assert len(bad.ids()) == 2


async def test_a_list_without_end_ends_nothing_else() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"data":[')
        while True:
            writer.write(b'{"id":"again"},' * 10_000)
            await writer.drain()

    async with raw_server(endless) as url, beside_good(url) as bad:
        await bad.good()
        assert (await bad.failed("[upstream u]")).error is not None


async def test_a_list_that_changes_while_an_answer_runs_lets_it_end() -> None:
    options = like("vllm", models=("one", "two"), hold_after=2)
    async with bad_server(options) as (bad, fake):
        await bad.sees(lambda models: "u/one" in models)
        answer = asyncio.create_task(bad.ask("u/one"))
        await fake.state.reaches(held=1)
        # What the server lists is another thing from now on.
        bad.source._take("u", fake.url, [])
        assert "u/one" not in bad.ids()
        assert (await bad.ask("u/one")).status == 404
        fake.state.release()
        reply = await answer
        assert reply.status == 200
        assert reply.json["choices"][0]["finish_reason"] == "stop"


# --- readiness ----------------------------------------------------------------------------


async def test_a_server_scaled_to_zero_is_waited_for_and_says_so() -> None:
    asleep = like("vllm", unavailable=12, retry_after="1")
    async with bad_server(asleep, models=("fake-model",)) as (bad, _):
        answer = asyncio.create_task(bad.ask("u/fake-model"))
        models = await bad.sees(lambda models: models["u/fake-model"].state == "loading")
        assert models["u/fake-model"].progress is not None
        assert models["u/fake-model"].progress.text
        assert (await answer).status == 200


async def test_a_server_that_is_not_well_says_so() -> None:
    ill = like("vllm", health_status=500)
    async with bad_server(ill, models=("fake-model",), connect_timeout=3.0) as (bad, _):
        model = await bad.failed("u/fake-model")
        assert "not well" in model.error.message  # type: ignore[union-attr]


# --- answers --------------------------------------------------------------------------------


async def test_silence_after_the_head_ends_in_time() -> None:
    async with bad_server(like("vllm", silent_after=0), read_timeout=3.0) as (bad, _):
        await bad.sees(lambda models: "u/fake-model" in models)
        reply = await bad.ask("u/fake-model")
        assert reply.status >= 500
        assert reply.json["error"]["message"]


async def test_a_server_that_closes_after_each_token_is_never_a_success() -> None:
    for options in (like("vllm", cut_after=1), like("vllm", end_early_after=1)):
        async with bad_server(options) as (bad, _):
            await bad.sees(lambda models: "u/fake-model" in models)
            replies = await asyncio.gather(*(bad.ask("u/fake-model") for _ in range(3)))
            assert all(reply.status >= 500 for reply in replies), [r.text for r in replies]


async def test_a_giant_event_ends_the_answer_and_takes_no_memory() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: "
    flood = [head, *[b"x" * 1_000_000] * 100]
    options = replace(like("vllm"), replay={"POST /v1/chat/completions": flood})
    async with bad_server(options) as (bad, _):
        await bad.sees(lambda models: "u/fake-model" in models)
        reply = await bad.ask("u/fake-model")
        assert reply.status >= 500
        assert reply.json["error"]["message"]
