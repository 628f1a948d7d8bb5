"""Discovery finds servers on this machine by free requests, and forgets those that are gone."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from server.core.errors import UnknownModel
from server.core.protocol import Model
from server.models.catalogue import discovery as discovery_module
from server.models.catalogue.discovery import Discovery, place_of
from server.models.catalogue.found_servers import FoundServers
from server.settings.models import ModelSettings
from server.settings.tables import ServerSettings, Settings
from server.settings.upstreams import DiscoverySettings, UpstreamSettings
from server.settings.values import Numbers
from tests.conftest import StartFake
from tests.fakes.openai import Fake, serve
from tests.fakes.openai_options import Canned, FakeOptions, like
from tests.support.fake_fleet import fake_fleet
from tests.support.ports import free_ports
from tests.support.specs import catalog

HTML = Canned("<!doctype html><title>It works!</title>", headers={"Content-Type": "text/html"})


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


class Look:
    """Looks at some ports of this machine, as often as a test says so."""

    def __init__(self, *ports: int, **words: Any) -> None:
        self.found = FoundServers()
        self.changes = 0
        self.found.subscribe(self._count)
        self.own: set[int] = set()
        self.settings = settings(*ports)
        self.discovery = Discovery(self.settings, self.found, own_ports=lambda: self.own, **words)

    def _count(self) -> None:
        self.changes += 1

    async def look(self, times: int = 1) -> list[Model]:
        for _ in range(times):
            async with asyncio.timeout(20):
                await self.discovery.look()
        return self.found.models()

    def names(self) -> list[str]:
        return sorted({m.server.name for m in self.found.models() if m.server is not None})


def settings(*ports: int, **words: Any) -> Settings:
    found = DiscoverySettings(ports=Numbers(ports), enabled=words.pop("enabled", True))
    return Settings(server=ServerSettings(port=0), discovery=found, **words)


@asynccontextmanager
async def looking(*ports: int, **words: Any) -> AsyncIterator[Look]:
    look = Look(*ports, **words)
    try:
        yield look
    finally:
        await look.discovery.close()


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Any]]:
    """Return `await start("vllm", ...)`: a fake server with the habits of that kind."""
    async with AsyncExitStack() as stack:

        async def start(flavour: str = "vllm", *, port: int = 0, **options: Any) -> Fake:
            return await stack.enter_async_context(serve(like(flavour, **options), port=port))

        yield start


async def test_a_found_server_is_shown_as_it_would_be_used(
    start: Callable[..., Any],
) -> None:
    fake = await start("vllm", models=("Qwen/Qwen3-8B", "an embedding-model"), context=4096)
    async with looking(port_of(fake.url)) as look:
        (model,) = await look.look()
        assert (model.id, model.name) == ("vllm/Qwen/Qwen3-8B", "Qwen/Qwen3-8B")
        assert (model.state, model.engine, model.runner) == ("stopped", "vLLM", "remote")
        assert model.limits["max_total_tokens"] == 4096
        assert model.server is not None
        assert (model.server.name, model.server.found) == ("vllm", True)
        assert model.server.address == f"{fake.url}/v1"
        assert (model.server.dialect, model.server.flavour) == ("openai", "vllm")
        assert model.server.left_out == 1
        assert look.changes == 1


@pytest.mark.parametrize(
    ("flavour", "kind"),
    [("llama.cpp", "llama.cpp"), ("ollama", "ollama"), ("llama-swap", "llama-swap")],
)
async def test_each_kind_is_called_by_its_name(
    start: Callable[..., Any], flavour: str, kind: str
) -> None:
    fake = await start(flavour)
    async with looking(port_of(fake.url)) as look:
        await look.look()
        assert [model.id for model in look.found.models()] == [f"{kind}/fake-model"]


async def test_a_tgi_server_is_found_too(fake_tgi: StartFake) -> None:
    fake = await fake_tgi(model_id="one")
    async with looking(port_of(fake.url)) as look:
        (model,) = await look.look()
        assert (model.id, model.engine) == ("tgi/one", "TGI")


async def test_an_unknown_server_is_named_by_its_port(start: Callable[..., Any]) -> None:
    fake = await start("", owned_by="somebody")
    port = port_of(fake.url)
    async with looking(port) as look:
        (model,) = await look.look()
        assert model.id == f"server-{port}/fake-model"


async def test_the_second_of_a_kind_has_its_port_in_its_name(start: Callable[..., Any]) -> None:
    first, second = await start("vllm"), await start("vllm")
    async with looking(port_of(first.url)) as look:
        await look.look()
        look.discovery.apply(settings(port_of(first.url), port_of(second.url)))
        await look.look(2)
        assert look.names() == ["vllm", f"vllm-{port_of(second.url)}"]


async def test_a_name_of_the_settings_is_left_to_them(start: Callable[..., Any]) -> None:
    fake = await start("vllm")
    port = port_of(fake.url)
    elsewhere = {"VLLM": UpstreamSettings(url="http://gpu-box:8000", models=("*",))}
    async with looking(port) as look:
        await look.look()
        assert look.names() == ["vllm"]
        look.discovery.apply(settings(port, upstreams=elsewhere))
        assert look.names() == [f"vllm-{port}"]


async def test_many_looks_ask_for_the_list_and_nothing_else(start: Callable[..., Any]) -> None:
    fakes = [await start(kind) for kind in ("vllm", "llama.cpp", "llama-swap", "litellm", "sglang")]
    async with looking(*(port_of(fake.url) for fake in fakes)) as look:
        await look.look()
        before = [sum(fake.state.routes.values()) for fake in fakes]
        await look.look(10)
        after = [sum(fake.state.routes.values()) for fake in fakes]
        assert [b - a for a, b in zip(before, after, strict=True)] == [10] * len(fakes)
        assert look.changes == len(fakes)
    for fake in fakes:
        asked = set(fake.state.routes)
        assert all(route.startswith("GET ") for route in asked)
        # SGLang has a model write at this one, LiteLLM asks all providers.
        assert not asked & {"GET /health", "GET /unload", "GET /upstream"}
        assert fake.state.counts["connections"] <= 12


async def test_a_list_that_changes_is_shown(start: Callable[..., Any]) -> None:
    port, _ = free_ports(1)
    async with looking(port) as look:
        async with serve(like("vllm", models=("one",)), port=port):
            await look.look()
        async with serve(like("llama.cpp", models=("two",)), port=port):
            await look.look()
            # In the same place another kind of server, under another name.
            assert [model.id for model in look.found.models()] == ["llama.cpp/two"]


async def test_a_server_missed_twice_is_gone() -> None:
    port, _ = free_ports(1)
    async with looking(port) as look:
        async with serve(like("vllm"), port=port):
            assert len(await look.look()) == 1
        assert len(await look.look()) == 1
        async with serve(like("vllm"), port=port):
            assert len(await look.look()) == 1
        assert len(await look.look()) == 1
        assert await look.look() == []


async def test_ports_without_a_server_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    first, last = free_ports(8)
    with caplog.at_level(logging.DEBUG, logger="server"):
        async with looking(*range(first, last + 1)) as look:
            assert await look.look(2) == []
    assert [r for r in caplog.records if r.levelno >= logging.INFO] == []


async def test_a_hanging_server_delays_nobody(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    monkeypatch.setattr(discovery_module, "PATIENCE_SECONDS", 0.5)
    silent = await asyncio.start_server(hang, "127.0.0.1", 0)
    hanging = silent.sockets[0].getsockname()[1]
    fake = await start("vllm")
    async with silent, looking(hanging, port_of(fake.url)) as look:
        shown = asyncio.Event()
        look.found.subscribe(shown.set)
        looks = asyncio.create_task(look.look())
        async with asyncio.timeout(20):
            await shown.wait()
            assert not looks.done()
            assert [model.id for model in await looks] == ["vllm/fake-model"]
        held.set()


async def test_a_flooding_server_is_ignored(start: Callable[..., Any]) -> None:
    over = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
        try:
            while not over.is_set():
                writer.write(b" " * 262_144)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    flooding = server.sockets[0].getsockname()[1]
    fake = await start("vllm")
    async with server, looking(flooding, port_of(fake.url)) as look:
        assert [model.id for model in await look.look()] == ["vllm/fake-model"]
        over.set()


async def test_a_web_server_is_none_of_models_and_asked_ever_less(
    start: Callable[..., Any],
) -> None:
    fake = await start("", models_form="html", routes={"GET /": HTML})
    async with looking(port_of(fake.url)) as look:
        assert await look.look() == []
        first = fake.state.routes["GET /v1/models"]
        await look.look(20)
        assert fake.state.routes["GET /v1/models"] <= first + 6


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_a_server_without_a_list_is_not_shown(start: Callable[..., Any], status: int) -> None:
    fake = await start("vllm", models_status=status)
    async with looking(port_of(fake.url)) as look:
        assert await look.look(2) == []


async def test_another_gateway_like_this_one_is_left_out(
    start: Callable[..., Any], fake_tgi: StartFake
) -> None:
    gateway = await start("", owned_by="sidestream")
    async with looking(port_of(gateway.url)) as look:
        assert await look.look(2) == []
    # Its model servers speak TGI's API, and say whose they are.
    info = {"model_id": "m", "router": "sidestream-engine", "version": "1"}
    engine = await start("", routes={"GET /info": Canned(info)})
    async with looking(port_of(engine.url)) as look:
        assert await look.look(2) == []


async def test_our_own_ports_are_never_asked(start: Callable[..., Any]) -> None:
    ours, engine = await start("vllm"), await start("vllm")
    async with looking(port_of(ours.url), port_of(engine.url)) as look:
        look.own.add(port_of(engine.url))
        look.discovery.start(port_of(ours.url))
        assert await look.look(2) == []
    assert ours.state.routes.total() == engine.state.routes.total() == 0


async def test_ports_are_ours_as_long_as_our_servers_run() -> None:
    async with fake_fleet() as s:
        assert s.fleet.own_ports() == set()
        await s.use()
        (server,) = s.runner.servers.values()
        assert s.fleet.own_ports() == {port_of(server.endpoint.url)}
        s.fleet.stop("a")
        await s.state("stopped")
        assert s.fleet.own_ports() == set()


async def test_a_server_that_we_started_meanwhile_is_no_longer_found(
    start: Callable[..., Any],
) -> None:
    fake = await start("vllm")
    async with looking(port_of(fake.url)) as look:
        await look.look()
        look.own.add(port_of(fake.url))
        assert await look.look() == []


@pytest.mark.parametrize(
    "url", ["http://localhost:{}/v1", "127.0.0.1:{}", "http://[::1]:{}", "http://127.9.9.9:{}/v1/"]
)
@pytest.mark.parametrize("kind", ["model", "upstream"])
async def test_servers_of_the_settings_are_not_found_again(
    start: Callable[..., Any], url: str, kind: str
) -> None:
    fake = await start("vllm")
    port = port_of(fake.url)
    named: dict[str, Any] = {"upstreams": {"u": UpstreamSettings(url=url.format(port))}}
    if kind == "model":
        named = {"models": {"m": ModelSettings(runner="remote", url=url.format(port))}}
    async with looking(port) as look:
        await look.look()
        assert look.names() == ["vllm"]
        look.discovery.apply(settings(port, **named))
        assert look.names() == []
        assert await look.look() == []
        look.discovery.apply(settings(port))
        assert len(await look.look()) == 1


async def test_discovery_that_is_off_asks_nobody(start: Callable[..., Any]) -> None:
    fake = await start("vllm")
    port = port_of(fake.url)
    async with looking(port) as look:
        look.discovery.apply(settings(port, enabled=False))
        assert await look.look(3) == []
        assert fake.state.routes.total() == 0
        look.discovery.apply(settings(port))
        assert len(await look.look()) == 1
        look.discovery.apply(settings(port, enabled=False))
        assert look.found.models() == []


async def test_settings_that_change_are_gone_by_at_once(start: Callable[..., Any]) -> None:
    fake = await start("vllm")
    async with looking() as look:
        shown = asyncio.Event()
        look.found.subscribe(shown.set)
        look.discovery.start(1)
        await look.look()
        look.discovery.apply(settings(port_of(fake.url)))
        async with asyncio.timeout(20):
            await shown.wait()
        assert look.names() == ["vllm"]


async def test_a_server_that_listens_on_ipv6_alone_is_found() -> None:
    async with serve(FakeOptions(models=("six",))) as fake:
        port, _ = free_ports(1)
        relay = await asyncio.start_server(_relay_to(port_of(fake.url)), "::1", port)
        async with relay, looking(port) as look:
            (model,) = await look.look()
            assert model.server is not None
            assert model.server.address == f"http://[::1]:{port}/v1"


async def test_in_a_container_the_machine_around_it_is_asked_too(
    start: Callable[..., Any],
) -> None:
    fake = await start("vllm")
    port, _ = free_ports(1)

    async def around() -> tuple[str, ...]:
        return ("127.0.0.2",)

    relay = await asyncio.start_server(_relay_to(port_of(fake.url)), "127.0.0.2", port)
    async with relay, looking(port, around=around) as look:
        (model,) = await look.look()
        assert model.server is not None
        assert model.server.address == f"http://127.0.0.2:{port}/v1"


async def test_two_thousand_models_are_no_trouble(start: Callable[..., Any]) -> None:
    fake = await start("vllm", model_count=3000)
    async with looking(port_of(fake.url)) as look:
        assert len(await look.look()) == 2000
        await look.look()
        assert look.changes == 1


async def test_found_models_stand_behind_the_others_and_cannot_be_asked(
    start: Callable[..., Any],
) -> None:
    fake = await start("vllm")
    async with looking(port_of(fake.url)) as look, fake_fleet(found=look.found) as s:
        lists: list[list[Model]] = []
        s.fleet.subscribe(lambda _: None, lists.append)
        await look.look()
        assert [[model.id for model in models] for models in lists] == [["a", "vllm/fake-model"]]
        assert [model.id for model in s.fleet.snapshots()] == ["a"]
        assert s.fleet.snapshot("vllm/fake-model").state == "stopped"
        for ask in (s.fleet.spec, s.fleet.start, s.fleet.stop, s.fleet.log, s.fleet.info):
            with pytest.raises(UnknownModel, match="found on this machine and is not in use") as no:
                ask("vllm/fake-model")
            assert "vllm first" in str(no.value.hint)
        # Who names a model in the settings means that one.
        s.fleet.change(catalog(**{"vllm/fake_model": {"weights": "x"}}))
        assert [model.runner for model in s.fleet.shown()] == ["process"]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://localhost:1", ("", 1)),
        ("http://a.localhost.:1", ("", 1)),
        ("http://127.1.2.3:1", ("", 1)),
        ("http://[::1]:1", ("", 1)),
        ("http://[::ffff:127.0.0.1]:1", ("", 1)),
        ("http://gpu-box", ("gpu-box", 80)),
        ("https://10.0.0.1", ("10.0.0.1", 443)),
    ],
)
def test_every_name_of_this_machine_is_one_place(url: str, place: tuple[str, int]) -> None:
    assert place_of(url) == place


def _relay_to(port: int) -> Callable[..., Any]:
    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    return relay
