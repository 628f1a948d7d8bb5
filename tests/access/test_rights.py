"""What a key's holder may do, and which models are there for it: the same over every transport."""

import re
from typing import Any

import pytest

from tests.access.conftest import Open
from tests.access.house import House

OPERATORS = [
    ("POST", "/models/m/start"),
    ("POST", "/models/m/stop"),
    ("GET", "/models/m/logs"),
    ("GET", "/models/nobody/logs"),
    ("GET", "/metrics"),
    ("POST", "/servers/ollama/use"),
    ("DELETE", "/servers/ollama"),
]
QUESTION: dict[str, Any] = {"targets": [{"model": "m"}], "prompt": "Once"}


@pytest.fixture
async def narrow(open_house: Open) -> House:
    """Run a gateway with a key `one` that is for the model `m` only."""
    house = await open_house(answer_tokens=3)
    await house.add("one", "operator", ("m",))
    return house


@pytest.mark.parametrize(("method", "path"), OPERATORS)
async def test_what_is_an_operators_is_refused_to_users(
    house: House, method: str, path: str
) -> None:
    refused = await house.ask(method, path, key="use")
    assert (refused.status, refused.json["error"]["code"]) == (403, "forbidden")
    assert (await house.ask(method, path, key="op")).status != 403


@pytest.mark.parametrize("command", ["start", "stop", "logs"])
async def test_and_so_over_a_socket(house: House, command: str) -> None:
    async with house.speaking("use") as user, house.speaking("op") as operator:
        refused = await user.ask(command, model="m")
        assert refused["error"]["code"] == "forbidden"
        allowed = await operator.ask(command, model="m")
        assert allowed.get("error", {}).get("code") != "forbidden"


async def test_a_server_is_used_by_an_operator(house: House) -> None:
    async with house.speaking("use") as user, house.speaking("op") as operator:
        refused = await user.ask("use", server="ollama")
        assert refused["error"]["code"] == "forbidden"
        allowed = await operator.ask("use", server="ollama")
        assert allowed["error"]["code"] == "invalid_command"


async def test_users_list_and_generate(open_house: Open) -> None:
    house = await open_house(answer_tokens=3)
    assert len((await house.ask("GET", "/models", key="use")).json) == 2
    body = {"model": "m", "inputs": "Once"}
    assert (await house.ask("POST", "/generate", key="use", json=body)).status == 200
    async with house.speaking("use") as user:
        assert (await user.ask("generate", **QUESTION))["type"] == "result"
        await user.hear_until(lambda event: event["type"] == "end")
        assert (await user.ask("cancel"))["type"] == "result"


async def test_a_key_for_some_models_sees_no_others(narrow: House) -> None:
    models = (await narrow.ask("GET", "/models", key="one")).json
    assert [model["id"] for model in models] == ["m"]
    listed = (await narrow.ask("GET", "/v1/models", key="one")).json["data"]
    assert [model["id"] for model in listed] == ["m"]
    async with narrow.speaking("one") as speaker:
        welcome = (await speaker.ask("hello"))["result"]
        assert [model["id"] for model in welcome["models"]] == ["m"]


async def test_nor_their_figures(narrow: House) -> None:
    for model in ("m", "other"):
        body = {"model": model, "inputs": "Once"}
        assert (await narrow.ask("POST", "/generate", key="op", json=body)).status == 200
    assert 'model="other"' in (await narrow.ask("GET", "/metrics", key="op")).text
    seen = (await narrow.ask("GET", "/metrics", key="one")).text
    assert 'model="m"' in seen
    assert "other" not in re.findall(r'model="(\w+)"', seen)


@pytest.mark.parametrize("name", ["other", "no-such-model"])
async def test_and_cannot_tell_whether_others_exist(narrow: House, name: str) -> None:
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


async def test_nor_hears_of_what_happens_to_them(narrow: House) -> None:
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


async def test_a_conversation_is_there_for_its_key_only(open_house: Open) -> None:
    house = await open_house(answer_tokens=3)
    await house.add("one", "user", ("m",))
    columns = {"columns": [{"id": "a", "model": "m"}]}
    begun = await house.ask("POST", "/conversations", key="one", json=columns)
    path = f"/conversations/{begun.json['id']}"
    assert (await house.ask("GET", path, key="one")).status == 200
    for key in ("use", "op"):
        for method, address in (("GET", path), ("DELETE", path), ("GET", f"{path}/export")):
            theirs = await house.ask(method, address, key=key)
            unknown = await house.ask(method, address.replace(begun.json["id"], "x"), key=key)
            assert theirs.status == unknown.status == 404
        assert begun.json["id"] not in (await house.ask("GET", "/conversations", key=key)).text
    assert (await house.ask("GET", path)).status == 401


async def test_a_session_is_there_for_its_key_only(open_house: Open) -> None:
    """Who shows another key cannot tell it from one that does not exist."""
    house = await open_house(answer_tokens=3)
    async with house.speaking("op") as owner:
        session = (await owner.ask("hello"))["result"]["session"]
        await owner.ask("generate", **QUESTION)
        await owner.hear_until(lambda event: event["type"] == "end")
        async with house.speaking("use") as thief:
            welcome = (await thief.ask("hello", session=session))["result"]
            assert (welcome["resumed"], welcome["generations"]) == (False, [])
            cancelled = await thief.ask("cancel", generations=["g1"])
            assert cancelled["result"]["cancelled"] == []
        async with house.speaking("op") as again:
            assert (await again.ask("hello", session=session))["result"]["resumed"]
