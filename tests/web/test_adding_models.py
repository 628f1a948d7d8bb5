"""An operator adds a model by name and removes it again, before the eyes of who is connected."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import KeepLog
from tests.fakes.hub import FakeHub, FakeRepo, serve
from tests.fakes.openai import serve as serve_openai
from tests.fakes.openai_options import like
from tests.support.dialogue import Dialogue, dialogue
from tests.support.gateway import Gateway, gateway
from tests.support.processes import Watched
from tests.web.processes import CEILING_SECONDS, PROGRAM, settings
from tests.web.test_found_servers import ask, models

FILES = {
    "m-Q4_K_M.gguf": 1_000_000,
    "m-Q8_0.gguf": 2_000_000,
    "m-F32.gguf": 10**14,
    "mmproj-F16.gguf": 1000,
}
NAME = "hf:org/m-GGUF"
WEIGHTS = "hf:org/m-GGUF/m-Q4_K_M.gguf"


@pytest.fixture
def place(tmp_path: Path, keep_log: KeepLog) -> Path:
    keep_log("the gateway", tmp_path / "server.log")
    return tmp_path


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeHub]:
    """Serve a hub that gateways started from here ask."""
    repos = {
        "org/m-GGUF": FakeRepo(dict(FILES)),
        "org/gated": FakeRepo({"m.gguf": 10}, gate="GatedRepo"),
        "org/safe": FakeRepo({"model.safetensors": 10}),
    }
    async with serve(FakeHub(repos)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_TOKEN", "")
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield hub


def start(place: Path, text: str = "", **options: Any) -> Any:
    return gateway(text or settings(), place, program=PROGRAM, **options)


async def listed(client: Dialogue, *ids: str, skip: int = 0) -> None:
    """Return once a client has been told that these are all models."""

    def are_they(event: Any) -> bool:
        told = event.get("models", event.get("result", {}).get("models"))
        return told is not None and [one["id"] for one in told] == list(ids)

    await client.until(are_they, skip=skip)


async def code(running: Gateway, body: dict[str, Any], path: str = "/catalog") -> tuple[int, str]:
    """Return the status and the error's code that a request is refused with."""
    status, answer = await ask(running, "POST", path, body)
    return status, answer["error"]["code"]


def written(place: Path) -> str:
    file = place / "servers.ini"
    return file.read_text() if file.exists() else ""


async def test_a_model_is_looked_at_added_asked_kept_and_removed(place: Path, hub: FakeHub) -> None:
    name = f"added-{uuid.uuid4().hex[:8]}"
    text = settings()
    async with (
        start(place, text, instance=name) as running,
        dialogue(running.address) as client,
        dialogue(running.address) as other,
    ):
        for one in (client, other):
            await one.say(type="hello")
        status, look = await ask(running, "POST", "/catalog/look", {"name": NAME})
        assert status == 200
        assert [(one["file"], one["fits"]) for one in look["hub"]["candidates"]] == [
            ("m-Q4_K_M.gguf", True),
            ("m-Q8_0.gguf", True),
            ("m-F32.gguf", False),
        ]
        assert (look["hub"]["chosen"], look["hub"]["id"]) == ("m-Q4_K_M.gguf", "m-q4_k_m")
        # `m` is taken by a model in settings.ini; nothing was written or fetched.
        assert written(place) == ""
        assert not (place / "hf/hub").exists()

        status, added = await ask(running, "POST", "/catalog", {"name": NAME})
        assert status == 201
        assert [(one["id"], one["name"], one["state"]) for one in added] == [
            ("m-q4_k_m", "m (Q4_K_M)", "stopped")
        ]
        for one in (client, other):
            await listed(one, "m", "m-q4_k_m")
        (generation,) = await client.ask("m-q4_k_m", prompt="Hello")
        assert (await client.end(generation))["finish_reason"] in {"length", "stop"}
        assert (place / "servers.ini").stat().st_mode & 0o777 == 0o600
        assert f"weights = {WEIGHTS}\n" in written(place)

    async with (
        start(place, text, instance=name) as running,
        dialogue(running.address) as client,
    ):
        assert [one["id"] for one in await models(running)] == ["m", "m-q4_k_m"]
        assert await ask(running, "GET", "/catalog") == (
            200,
            [{"id": "m-q4_k_m", "name": "m (Q4_K_M)", "weights": WEIGHTS}],
        )
        await client.say(type="hello")
        assert await ask(running, "DELETE", "/catalog/m-q4_k_m") == (204, None)
        await listed(client, "m", skip=1)
        assert "[model" not in written(place)
        assert (await ask(running, "DELETE", "/catalog/m-q4_k_m"))[0] == 404
        # What settings.ini says is not removed here.
        assert (await ask(running, "DELETE", "/catalog/m"))[0] == 404


async def test_a_removed_model_answers_those_it_answers_and_then_ends(
    place: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_OF_THE_HUB", "--hold-after 2")
    text = settings().replace("drain_timeout = 0", "drain_timeout = 60")
    async with start(place, text) as running, dialogue(running.address) as client:
        await ask(running, "POST", "/catalog", {"name": NAME, "id": "x"})
        (generation,) = await client.ask("x", prompt="Hello")
        await client.delta(generation)
        engine = Watched(running.engine("x"))
        assert (await ask(running, "DELETE", "/catalog/x"))[0] == 204
        assert [one["id"] for one in await models(running)] == ["m"]
        assert Path(f"/proc/{engine.pid}").exists()
        await client.say(type="cancel", generations=[generation])
        assert (await client.end(generation))["finish_reason"] == "cancelled"
        async with asyncio.timeout(CEILING_SECONDS):
            await engine.gone()


async def test_an_addition_takes_all_options(place: Path, hub: FakeHub) -> None:
    async with start(place) as running:
        body = {
            "name": "https://huggingface.co/org/m-GGUF",
            "file": "m-Q8_0.gguf",
            "id": "mine",
            "title": "Mine",
            "slots": 2,
            "context_tokens": 2048,
            "system": "Be brief.",
            "parameters": {"temperature": 0},
        }
        status, (model,) = await ask(running, "POST", "/catalog", body)
        assert (status, model["id"], model["name"]) == (201, "mine", "Mine")
        assert model["parameters"]["temperature"] == 0
        for line in ("m-Q8_0.gguf", "slots = 2", "context_tokens = 2048", "system = Be brief."):
            assert line in written(place)


async def test_a_refused_addition_is_explained_and_leaves_nothing(
    place: Path, hub: FakeHub
) -> None:
    async with start(place) as running:
        for body, expected in (
            ({"name": "hf:org/gone"}, (404, "unknown_repository")),
            ({"name": "hf:org/gated"}, (403, "gated_repository")),
            ({"name": "hf:org/safe"}, (422, "no_gguf")),
            ({"name": NAME, "file": "nope.gguf"}, (404, "unknown_repository")),
            ({"name": NAME, "file": "m-F32.gguf"}, (409, "does_not_fit")),
            ({"name": NAME, "id": "m"}, (409, "invalid_command")),
            ({"name": NAME, "id": "M"}, (409, "invalid_command")),
            ({"name": NAME, "id": "a/b"}, (400, "invalid_command")),
            ({"name": NAME, "id": "../x"}, (400, "invalid_command")),
            ({"name": NAME, "id": "x]"}, (400, "invalid_command")),
            ({"name": NAME, "title": "a\nrunner = command"}, (400, "invalid_command")),
            ({"name": NAME, "system": "a\n# b"}, (400, "invalid_command")),
            ({"name": NAME, "parameters": {"heat": 1}}, (400, "invalid_command")),
            ({"name": NAME, "slots": 0}, (400, "invalid_command")),
            ({}, (400, "invalid_command")),
        ):
            assert await code(running, body) == expected, body
        assert written(place) == ""
        assert [one["id"] for one in await models(running)] == ["m"]


NO_NAMES = (
    *("/etc/passwd", "/models/x.gguf", "./x.gguf", "../x.gguf", "~/x.gguf", "file:/x.gguf"),
    *("env:HOME", "hf:../../x", "hf:org/m-GGUF/../../x.gguf", "sh -c 'x'", "pypi:x", ""),
    *("hf:org/m-GGUF\n[server]\nport = 1", "docker://image", "http://127.0.0.1:9/?key=x"),
)


async def test_from_the_page_nothing_of_this_machine_is_named(place: Path, hub: FakeHub) -> None:
    async with start(place) as running:
        for name in NO_NAMES:
            for path in ("/catalog", "/catalog/look"):
                answered = await code(running, {"name": name}, path)
                assert answered == (400, "invalid_command"), name
        body = {"name": "http://127.0.0.1:9", "api_key": "env:HOME"}
        assert await code(running, body) == (400, "invalid_command")
        assert written(place) == ""
        assert hub.asked == []


async def test_only_one_of_equal_additions_succeeds(place: Path, hub: FakeHub) -> None:
    async with start(place) as running:
        answers = await asyncio.gather(
            *(ask(running, "POST", "/catalog", {"name": NAME}) for _ in range(5))
        )
        assert sorted(status for status, _ in answers) == [201, 409, 409, 409, 409]
        assert written(place).count("[model") == 1
        # Of two different ones both are there.
        both = await asyncio.gather(
            ask(running, "POST", "/catalog", {"name": NAME, "file": "m-Q8_0.gguf"}),
            ask(running, "POST", "/catalog", {"name": NAME, "id": "again"}),
        )
        assert [status for status, _ in both] == [201, 201]
        assert [one["id"] for one in await models(running)][1:] in (
            ["m-q4_k_m", "m-q8_0", "again"],
            ["m-q4_k_m", "again", "m-q8_0"],
        )


async def test_a_model_that_does_not_fit_can_be_forced(place: Path, hub: FakeHub) -> None:
    async with start(place) as running:
        body = {"name": NAME, "file": "m-F32.gguf", "force": True}
        assert (await ask(running, "POST", "/catalog", body))[0] == 201


async def test_a_file_that_cannot_be_written_is_told(place: Path, hub: FakeHub) -> None:
    async with start(place) as running:
        # Even root cannot write through it.
        (place / "servers.ini.new").mkdir()
        assert await code(running, {"name": NAME}) == (503, "storage_failed")
        (place / "servers.ini.new").rmdir()
        (place / "servers.ini").write_text("nonsense\n")
        assert await code(running, {"name": NAME}) == (503, "storage_failed")
        assert written(place) == "nonsense\n"
        assert (await ask(running, "GET", "/catalog"))[0] == 503
        assert (await ask(running, "DELETE", "/catalog/m"))[0] == 503
        assert [one["id"] for one in await models(running)] == ["m"]


async def test_settings_that_are_broken_by_now_undo_it(place: Path, hub: FakeHub) -> None:
    async with start(place) as running:
        file = place / "settings.ini"
        whole = file.read_text()
        file.write_text(whole + "\n[serverr]\n")
        assert await code(running, {"name": NAME}) == (409, "invalid_command")
        assert "[model" not in written(place)
        file.write_text(whole + "\n[model m-q4_k_m]\nweights = fake\n")
        assert await code(running, {"name": NAME}) == (409, "invalid_command")
        assert "[model" not in written(place)
        file.write_text(whole)
        assert (await ask(running, "POST", "/catalog", {"name": NAME, "id": "x"}))[0] == 201
        # A preset needs it.
        file.write_text(whole + "\n[model preset]\nbase = x\n")
        assert (await ask(running, "DELETE", "/catalog/x"))[0] == 409
        assert "[model x]" in written(place)


async def test_nothing_else_is_asked_of_the_hub_and_the_token_goes_there(
    place: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    hub.repos["org/m-GGUF"].token = "hf_right"
    async with start(place) as running:
        assert (await ask(running, "POST", "/catalog", {"name": NAME}))[0] == 201
    assert hub.asked == [
        "/api/models/org/m-GGUF",
        "/org/m-GGUF/resolve/main/m-Q4_K_M.gguf",
    ]
    assert set(hub.authorizations) == {"Bearer hf_right"}
    assert "hf_right" not in written(place) + (place / "server.log").read_text()


async def test_a_hub_that_is_away_holds_up_nobody(place: Path, hub: FakeHub) -> None:
    hub.is_silent = True
    async with start(place) as running, dialogue(running.address) as client:
        looking = asyncio.create_task(ask(running, "POST", "/catalog/look", {"name": NAME}))
        await hub.reached.wait()
        (generation,) = await client.ask("m", prompt="Hello")
        assert (await client.end(generation))["finish_reason"] in {"length", "stop"}
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking


async def test_a_server_is_added_by_its_address(place: Path, hub: FakeHub) -> None:
    async with serve_openai(like("vllm")) as fake, start(place) as running:
        status, look = await ask(running, "POST", "/catalog/look", {"name": fake.url})
        assert status == 200
        assert (look["hub"], look["server"]["name"], look["server"]["models"]) == (
            None,
            "vllm",
            ["fake-model"],
        )
        status, added = await ask(running, "POST", "/catalog", {"name": fake.url})
        assert (status, [one["id"] for one in added]) == (201, ["vllm/fake-model"])
        assert await code(running, {"name": fake.url}) == (409, "invalid_command")
        assert (await ask(running, "DELETE", "/servers/vllm"))[0] == 204
        assert [one["id"] for one in await models(running)] == ["m"]


async def test_an_address_without_a_model_server_is_an_error(place: Path, hub: FakeHub) -> None:
    async with start(place) as running:
        for address, expected in (
            ("http://127.0.0.1:9", (502, "engine_error")),
            (f"http://{running.address}", (502, "engine_error")),
            (hub.url.replace("127.0.0.1", "localhost"), (502, "engine_error")),
            ("ftp://127.0.0.1", (400, "invalid_command")),
        ):
            assert await code(running, {"name": address}, "/catalog/look") == expected
        assert written(place) == ""


async def test_a_body_that_is_no_json_is_refused(place: Path, hub: FakeHub) -> None:
    async with start(place) as running, aiohttp.ClientSession() as http:
        url = f"http://{running.address}/catalog"
        async with http.post(url, data=f"name={NAME}") as answer:
            assert answer.status == 415
