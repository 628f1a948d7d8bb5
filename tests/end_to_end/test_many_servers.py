"""Settings with a hundred servers that are not there, and a server with two thousand models."""

from pathlib import Path

import aiohttp

from tests.conftest import KeepLog
from tests.fakes.openai import serve
from tests.fakes.openai_options import FakeOptions, like
from tests.support.dialogue import Event, dialogue
from tests.support.gateway import gateway
from tests.support.ports import free_ports
from tests.support.silence import silent_port

HALF = 50
MANY = 2000
# Nobody waits that long here: what is answered is answered before any connection has timed out.
SETTINGS = "[engines]\nconnect_timeout = 600\n[discovery]\nenabled = no\n"
SERVER = "[upstream {name}]\nurl = http://127.0.0.1:{port}/v1\nmodels = *\n"
MANY_SETTINGS = """
[engines]
health_interval = 1
[discovery]
enabled = no
interval = 5
[upstream big]
url = {url}
flavour = vllm
models = *
"""


def models_of(event: Event) -> dict[str, str]:
    """Return the states of the models that an event or a result tells of."""
    models = event.get("models") or [event["model"]]
    return {model["id"]: model["state"] for model in models}


async def test_servers_that_are_not_there_hold_nobody_up(tmp_path: Path, keep_log: KeepLog) -> None:
    first, last = free_ports(HALF)
    async with serve(FakeOptions(text="Here I am.")) as fake:
        with silent_port() as port:
            sections = [SERVER.format(name=f"silent{n}", port=port) for n in range(HALF)]
            refusing = range(first, last + 1)
            sections += [SERVER.format(name=f"refused{p - first}", port=p) for p in refusing]
            sections += [f"[model here]\nrunner = remote\nurl = {fake.api}\n"]
            settings = SETTINGS + "".join(sections)
            keep_log("the gateway", tmp_path / "gateway/server.log")
            async with (
                gateway(settings, tmp_path / "gateway") as running,
                dialogue(running.address) as socket,
                aiohttp.ClientSession() as http,
            ):
                states = models_of(await socket.say(type="hello"))
                assert len(states) == 2 * HALF + 1
                assert {states[f"[upstream silent{n}]"] for n in range(HALF)} == {"starting"}
                async with http.get(f"http://{running.address}/") as page:
                    assert page.status == 200
                (generation,) = await socket.ask("here")
                await socket.end(generation)
                assert socket.text(generation) == "Here I am."
                async with http.get(f"http://{running.address}/models") as response:
                    states = models_of({"models": await response.json()})
                assert {states[f"[upstream silent{n}]"] for n in range(HALF)} == {"starting"}


async def test_an_answer_of_one_of_many_models_is_told_of_that_one_alone(
    tmp_path: Path, keep_log: KeepLog
) -> None:
    options = like("vllm", model_count=MANY)
    async with serve(options) as fake:
        keep_log("the gateway", tmp_path / "gateway/server.log")
        settings = MANY_SETTINGS.format(url=fake.api)
        async with (
            gateway(settings, tmp_path / "gateway") as running,
            dialogue(running.address) as onlooker,
            dialogue(running.address) as asker,
        ):
            states = models_of(await onlooker.say(type="hello"))
            while len(states) < MANY or set(states.values()) != {"ready"}:
                seen = len(onlooker.events)
                event = await onlooker.until(lambda e: e["type"] in ("model", "models"), skip=seen)
                states = models_of(event) if event["type"] == "models" else states
            seen = len(onlooker.events)
            await asker.say(type="hello")
            (generation,) = await asker.ask("big/vendor-7/model-0007")
            await asker.end(generation)
            await onlooker.try_to(type="no such command")
            told = [event for event in onlooker.events[seen:] if "id" not in event]
            assert {event["type"] for event in told} == {"model"}
            assert {event["model"]["id"] for event in told} == {"big/vendor-7/model-0007"}


async def test_a_server_with_many_models_is_looked_at_as_one(
    tmp_path: Path, keep_log: KeepLog
) -> None:
    options = like("vllm", model_count=MANY)
    async with serve(options) as fake:
        keep_log("the gateway", tmp_path / "gateway/server.log")
        async with gateway(MANY_SETTINGS.format(url=fake.api), tmp_path / "gateway"):
            await fake.state.reaches(asked=8)
            before = fake.state.routes.copy()
            # A look each second, and a list every five.
            await fake.state.reaches(asked=before.total() + 4)
            assert set(fake.state.routes - before) <= {"GET /health", "GET /v1/models"}
            assert (fake.state.routes - before).total() < 10
            assert fake.state.routes.total() < 30
            assert fake.state.generations == 0
