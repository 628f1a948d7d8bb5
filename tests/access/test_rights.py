"""What a key's holder may do, and which models are there for it: the same over every transport."""

import re
import sys
from typing import Any

import pytest
from aiohttp import web

from server.app import build_app
from server.core.protocol import COMMANDS, Command, Nothing
from server.settings.models import ModelSettings
from server.settings.tables import Settings
from server.settings.values import Variables
from server.web.http import api
from server.web.http.operations import Operation, Reply
from server.web.sockets.commands import HANDLERS
from server.web.sockets.connection import Connection
from tests.access.conftest import Open
from tests.access.keyed_gateway import KeyedGateway

OPERATORS = [
    ("POST", "/models/m/start"),
    ("POST", "/models/m/stop"),
    ("GET", "/models/m/logs"),
    ("GET", "/models/nobody/logs"),
    ("GET", "/metrics"),
    ("GET", "/machines"),
    ("POST", "/servers/ollama/use"),
    ("DELETE", "/servers/ollama"),
    ("GET", "/catalog"),
    ("POST", "/catalog"),
    ("POST", "/catalog/look"),
    ("DELETE", "/catalog/nobody"),
]
QUESTION: dict[str, Any] = {"targets": [{"model": "m"}], "prompt": "Once"}


@pytest.fixture
async def narrow(open_keyed: Open) -> KeyedGateway:
    """Run a gateway with a key `one` that is for the model `m` only."""
    keyed = await open_keyed(answer_tokens=3)
    await keyed.add("one", "operator", ("m",))
    return keyed


@pytest.mark.parametrize(("method", "path"), OPERATORS)
async def test_operations_of_operators_are_refused_to_users(
    keyed: KeyedGateway, method: str, path: str
) -> None:
    refused = await keyed.ask(method, path, key="use")
    assert (refused.status, refused.json["error"]["code"]) == (403, "forbidden")
    assert (await keyed.ask(method, path, key="op")).status != 403


@pytest.mark.parametrize("command", ["start", "stop", "logs"])
async def test_commands_of_operators_are_refused_to_users(
    keyed: KeyedGateway, command: str
) -> None:
    async with keyed.speaking("use") as user, keyed.speaking("op") as operator:
        refused = await user.ask(command, model="m")
        assert refused["error"]["code"] == "forbidden"
        allowed = await operator.ask(command, model="m")
        assert allowed.get("error", {}).get("code") != "forbidden"


async def test_a_server_is_used_by_an_operator(keyed: KeyedGateway) -> None:
    async with keyed.speaking("use") as user, keyed.speaking("op") as operator:
        refused = await user.ask("use", server="ollama")
        assert refused["error"]["code"] == "forbidden"
        allowed = await operator.ask("use", server="ollama")
        assert allowed["error"]["code"] == "invalid_command"


async def test_users_list_and_generate(open_keyed: Open) -> None:
    keyed = await open_keyed(answer_tokens=3)
    assert len((await keyed.ask("GET", "/models", key="use")).json) == 2
    body = {"model": "m", "inputs": "Once"}
    assert (await keyed.ask("POST", "/generate", key="use", json=body)).status == 200
    async with keyed.speaking("use") as user:
        assert (await user.ask("generate", **QUESTION))["type"] == "result"
        await user.hear_until(lambda event: event["type"] == "end")
        assert (await user.ask("cancel"))["type"] == "result"


async def test_a_key_for_some_models_sees_no_others(narrow: KeyedGateway) -> None:
    models = (await narrow.ask("GET", "/models", key="one")).json
    assert [model["id"] for model in models] == ["m"]
    listed = (await narrow.ask("GET", "/v1/models", key="one")).json["data"]
    assert [model["id"] for model in listed] == ["m"]
    async with narrow.speaking("one") as speaker:
        welcome = (await speaker.ask("hello"))["result"]
        assert [model["id"] for model in welcome["models"]] == ["m"]


async def test_the_log_of_a_server_that_failed_is_told_to_operators_only(
    open_keyed: Open,
) -> None:
    failing = ModelSettings(runner="command", command="sh -c 'echo private; exit 3' {port}")
    keyed = await open_keyed(models={"m": failing})
    asked = {"model": "m", "inputs": "Once"}
    told: dict[str, list[Any]] = {}
    for key in ("use", "op"):
        refused = (await keyed.ask("POST", "/generate", key=key, json=asked)).json["error"]
        assert refused["code"] == "model_failed"
        chat = {"model": "m", "messages": [{"role": "user", "content": "Once"}]}
        as_chat = await keyed.ask("POST", "/v1/chat/completions", key=key, json=chat)
        async with keyed.speaking(key) as speaker:
            await speaker.ask("generate", **QUESTION)
            ended = await speaker.hear_until(lambda event: event["type"] == "end")
        errors = [refused, as_chat.json["error"], ended["error"]]
        told[key] = [error["details"].get("log") for error in errors]
        assert {error["details"]["exit_code"] for error in errors} == {3}
    assert told == {"use": [None] * 3, "op": [["private"]] * 3}


async def test_hidden_models_are_not_named_where_machines_are_shown(open_keyed: Open) -> None:
    serves = f"{sys.executable} -m tests.fakes.tgi --port {{port}}"
    model = ModelSettings(
        runner="command",
        command=serves,
        gpu_memory=0.5,
        env=Variables({"CUDA_VISIBLE_DEVICES": "1"}),
    )
    keyed = await open_keyed(models={"m": model, "other": model})
    await keyed.add("one", "operator", ("m",))
    for name in ("m", "other"):
        started = await keyed.ask("POST", f"/models/{name}/start?wait=30", key="op")
        assert started.json["state"] == "ready"
    told = {}
    for key in ("op", "one"):
        (seen,) = (await keyed.ask("GET", "/machines", key=key)).json["machines"]
        users = [gpu["used_by"] for gpu in seen["gpus"]]
        told[key] = [server["model"] for server in seen["servers"]], users
    assert told["op"] == (["m", "other"], ["m", "other"])
    assert told["one"] == (["m"], ["m", "another model"])


async def test_metrics_of_hidden_models_are_left_out(narrow: KeyedGateway) -> None:
    for model in ("m", "other"):
        body = {"model": model, "inputs": "Once"}
        assert (await narrow.ask("POST", "/generate", key="op", json=body)).status == 200
    assert 'model="other"' in (await narrow.ask("GET", "/metrics", key="op")).text
    seen = (await narrow.ask("GET", "/metrics", key="one")).text
    assert 'model="m"' in seen
    assert "other" not in re.findall(r'model="(\w+)"', seen)


@pytest.mark.parametrize("name", ["other", "no-such-model"])
async def test_users_cannot_tell_whether_hidden_models_exist(
    narrow: KeyedGateway, name: str
) -> None:
    chat = [{"role": "user", "content": "Hi"}]
    asked: list[tuple[str, str, Any]] = [
        ("GET", f"/models/{name}", None),
        ("GET", f"/v1/models/{name}", None),
        ("GET", f"/models/{name}/info", None),
        ("GET", f"/models/{name}/health", None),
        ("POST", f"/models/{name}/start", None),
        ("POST", f"/models/{name}/stop", None),
        ("GET", f"/models/{name}/logs", None),
        ("POST", f"/models/{name}/generate", {"inputs": "Hi"}),
        ("POST", f"/models/{name}/generate_stream", {"inputs": "Hi"}),
        ("POST", f"/models/{name}", {"inputs": "Hi"}),
        ("POST", f"/models/{name}/v1/chat/completions", {"messages": chat}),
        ("POST", f"/models/{name}/v1/completions", {"prompt": "Hi"}),
        ("POST", "/generate", {"model": name, "inputs": "Hi"}),
        ("POST", "/generate_stream", {"model": name, "inputs": "Hi"}),
        ("POST", "/v1/chat/completions", {"model": name, "messages": chat}),
        ("POST", "/v1/completions", {"model": name, "prompt": "Hi"}),
    ]
    for method, path, body in asked:
        reply = await narrow.ask(method, path, key="one", json=body)
        assert reply.status == 404, path
        assert f"there is no model '{name}'" in reply.text
    async with narrow.speaking("one") as speaker:
        for command in ("start", "stop", "logs"):
            refused = await speaker.ask(command, model=name)
            assert refused["error"]["code"] == "unknown_model"
        targets = [{"model": "m"}, {"model": name}]
        refused = await speaker.ask("generate", targets=targets, prompt="Hi")
        assert refused["error"]["code"] == "unknown_model"
    assert narrow.fake.state.counts["started"] == 0


async def test_events_of_hidden_models_are_not_sent(narrow: KeyedGateway) -> None:
    async with narrow.speaking("one") as one, narrow.speaking("op") as operator:
        await one.ask("hello")
        await operator.ask("hello")
        await operator.ask("generate", targets=[{"model": "other"}], prompt="Once")
        await operator.hear_until(
            lambda event: event["type"] == "model" and event["model"]["id"] == "other"
        )
        await operator.hear_until(lambda event: event["type"] == "end")
        await one.ask("generate", **QUESTION)
        # What the operator has heard of before, this one would have heard of first.
        while not (told := [event["model"] for event in one.events if event["type"] == "model"]):
            await one.hear()
        assert {model["id"] for model in told} == {"m"}


async def test_a_conversation_is_there_for_its_key_only(open_keyed: Open) -> None:
    keyed = await open_keyed(answer_tokens=3)
    await keyed.add("one", "user", ("m",))
    columns = {"columns": [{"id": "a", "model": "m"}]}
    begun = await keyed.ask("POST", "/conversations", key="one", json=columns)
    path = f"/conversations/{begun.json['id']}"
    assert (await keyed.ask("GET", path, key="one")).status == 200
    for key in ("use", "op"):
        for method, address in (("GET", path), ("DELETE", path), ("GET", f"{path}/export")):
            theirs = await keyed.ask(method, address, key=key)
            unknown = await keyed.ask(method, address.replace(begun.json["id"], "x"), key=key)
            assert theirs.status == unknown.status == 404
        assert begun.json["id"] not in (await keyed.ask("GET", "/conversations", key=key)).text
    assert (await keyed.ask("GET", path)).status == 401


async def test_a_session_is_there_for_its_key_only(open_keyed: Open) -> None:
    """Who shows another key cannot tell it from one that does not exist."""
    keyed = await open_keyed(answer_tokens=3)
    async with keyed.speaking("op") as owner:
        session = (await owner.ask("hello"))["result"]["session"]
        await owner.ask("generate", **QUESTION)
        await owner.hear_until(lambda event: event["type"] == "end")
        async with keyed.speaking("use") as thief:
            welcome = (await thief.ask("hello", session=session))["result"]
            assert (welcome["resumed"], welcome["generations"]) == (False, [])
            cancelled = await thief.ask("cancel", generations=["g1"])
            assert cancelled["result"]["cancelled"] == []
        async with keyed.speaking("op") as again:
            assert (await again.ask("hello", session=session))["result"]["resumed"]


async def test_only_who_may_add_models_and_see_machines_is_offered_to(narrow: KeyedGateway) -> None:
    for key, adds, sees in (("op", True, True), ("use", False, False), ("one", False, True)):
        page = (await narrow.ask("GET", "/", key=key)).text
        assert ('id="add-model"' in page, 'id="machines"' in page) == (adds, sees)


async def test_a_key_for_some_models_adds_and_removes_no_others(narrow: KeyedGateway) -> None:
    body = {"name": "hf:org/repo"}
    refused = await narrow.ask("POST", "/catalog", key="one", json=body)
    assert (refused.status, refused.json["error"]["code"]) == (403, "forbidden")
    refused = await narrow.ask("DELETE", "/catalog/other", key="one")
    assert (refused.status, refused.json["error"]["code"]) == (404, "unknown_model")


# --- what declares no role is an operator's -----------------------------------------------------


class Toy(Command, frozen=True, tag="toy"):
    """A command that does not say who may give it."""


async def test_a_command_without_a_role_is_refused_to_users(
    keyed: KeyedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def carry_out(connection: Connection, command: Toy) -> Nothing:
        return Nothing()

    toy: type[Command] = Toy
    monkeypatch.setitem(COMMANDS, "toy", toy)
    monkeypatch.setitem(HANDLERS, toy, carry_out)
    async with keyed.speaking("use") as user, keyed.speaking("op") as operator:
        refused = await user.ask("toy")
        assert refused["error"]["code"] == "forbidden"
        assert (await operator.ask("toy"))["result"] == {}


async def test_a_route_without_a_role_is_refused_to_users(
    open_keyed: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="here")

    def build(settings: Settings, **words: Any) -> web.Application:
        app = build_app(settings, **words)
        app.router.add_get("/route", answer)
        return app

    operation = Operation("GET", "/operation", answer, "Toys", "Answer.", Reply("An answer."))
    monkeypatch.setattr(api, "OPERATIONS", (*api.OPERATIONS, operation))
    monkeypatch.setattr("tests.web.gateway.build_app", build)
    keyed = await open_keyed()
    for path in ("/route", "/operation"):
        for method in ("GET", "HEAD"):
            assert (await keyed.ask(method, path)).status == 401
            assert (await keyed.ask(method, path, key="use")).status == 403
            assert (await keyed.ask(method, path, key="op")).status == 200


def test_every_command_has_a_handler() -> None:
    assert HANDLERS.keys() == set(COMMANDS.values())
