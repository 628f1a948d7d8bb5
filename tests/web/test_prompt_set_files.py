"""Files of prompt sets over HTTP: looked at, versions, and exported runs read again."""

import json
from typing import Any

from tests.web.conftest import StartWithFake
from tests.web.gateway import Gateway
from tests.web.test_runs import CAPITALS, made, over

VARIED: dict[str, Any] = {
    "name": "Varied",
    "template": "{{greeting}}\nWhat is the capital of {{country}}?",
    "system": "Be brief.",
    "prompts": [
        {"greeting": "", "country": "France", "expected": "Paris", "tags": ["easy"]},
        {"greeting": "=1+1", "country": "Peru", "other": "kept", "system": "Be long."},
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello."},
                {"role": "user", "content": "Of Chad?"},
            ],
            "checks": [{"type": "length", "min": 1}],
        },
    ],
    "checks": [{"type": "not_contains", "value": "sorry"}],
}


async def exported(gateway: Gateway, given: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Carry out a run of a set; return it, and its JSON Lines."""
    wanted = {"prompt_set": await made(gateway, given), "targets": [{"model": "m"}]}
    run = (await gateway.post("/runs", wanted)).json
    await over(gateway, run["id"])
    return run, (await gateway.get(f"/runs/{run['id']}/export?form=jsonl")).text


async def test_an_exported_run_is_read_as_the_version_that_it_asked(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    run, file = await exported(gateway, VARIED)
    for form in ("jsonl", "auto"):
        again = await gateway.ask("PUT", f"/prompt-sets?form={form}", data=file)
        assert again.status == 201, again.text
        assert (again.json["version"], again.json["prompts"]) == (run["version"], 3)
        assert again.json["name"] == "Varied"
    whole = (await gateway.get(f"/prompt-sets/{again.json['id']}")).json
    assert whole["items"][1]["variables"]["other"] == "kept"
    other = await made(gateway)
    changed = await gateway.ask("PUT", f"/prompt-sets/{other}/prompts", data=file)
    assert (changed.status, changed.json["version"]) == (200, run["version"])


async def test_a_run_that_was_exported_without_its_set_is_read_as_it_was_asked(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    _, file = await exported(gateway, VARIED)
    lines = [json.loads(line) for line in file.splitlines()]
    lines[0].pop("prompt_set")
    for line in lines:
        line.pop("row", None)
    again = await gateway.ask(
        "PUT", "/prompt-sets?form=jsonl", data="\n".join(json.dumps(line) for line in lines)
    )
    assert again.status == 201, again.text
    whole = (await gateway.get(f"/prompt-sets/{again.json['id']}")).json
    assert whole["items"][0]["messages"][-1]["content"] == "\nWhat is the capital of France?"
    assert whole["items"][0]["expected"] == "Paris"


async def test_what_is_wrong_with_an_exported_run_is_told_with_its_line(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    _, file = await exported(gateway, VARIED)
    lines = file.splitlines()
    lines[2] = lines[2][:-9]
    broken = json.loads(lines[3])
    broken["row"]["messages"] = 7
    lines[3] = json.dumps(broken)
    reply = await gateway.ask("PUT", "/prompt-sets", data="\n".join(lines))
    assert reply.status == 422
    problems = reply.json["error"]["details"]["problems"]
    assert [(one["row"], one["column"]) for one in problems] == [(3, None), (4, "messages")]
    nothing = await gateway.ask("PUT", "/prompt-sets", data=lines[0])
    assert nothing.status == 422


async def test_a_file_is_looked_at_and_not_kept(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    table = "a;prompt;checks\n1;" + "x" * 300 + ";\n2;Second?;" * 1 + '"[{""type"": ""json""}]"\n'
    reply = await gateway.ask("PUT", "/prompt-sets/look?form=csv", data=table.encode("cp1252"))
    assert reply.status == 200, reply.text
    found = reply.json
    assert (found["prompts"], found["checks"], found["delimiter"]) == (2, 1, ";")
    assert found["first"] == ["x" * 200, "Second?"]
    lines = await gateway.ask(
        "PUT", "/prompt-sets/look?form=lines", data="Ä?\n\nB?".encode("cp1252")
    )
    assert (lines.json["prompts"], lines.json["encoding"]) == (2, "cp1252")
    wrong = await gateway.ask("PUT", "/prompt-sets/look", data='{"prompt": 1}\n{')
    assert wrong.json["error"]["details"]["problems"][0]["row"] == 2
    assert (await gateway.get("/prompt-sets")).json["sets"] == []
    assert (await gateway.get("/prompt-sets/look")).status == 404


async def test_the_versions_of_a_set_are_listed(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    name = await made(gateway)
    first = (await gateway.get(f"/prompt-sets/{name}")).json["version"]
    await gateway.post(f"/prompt-sets/{name}/prompts", {"prompts": ["One?", "Two?", "Three?"]})
    found = (await gateway.get(f"/prompt-sets/{name}/versions")).json["versions"]
    assert [one["prompts"] for one in found] == [3, 2]
    assert found[1]["version"] == first
    (listed,) = (await gateway.get("/prompt-sets")).json["sets"]
    assert (listed["versions"], listed["version"]) == (2, found[0]["version"])
    # The first one again is no third.
    await gateway.post(f"/prompt-sets/{name}/prompts", CAPITALS)
    found = (await gateway.get(f"/prompt-sets/{name}/versions")).json["versions"]
    assert [one["prompts"] for one in found] == [2, 3]
    assert (await gateway.get(f"/prompt-sets/{name}?count=1")).json["prompts"] == 2
    assert len((await gateway.get(f"/prompt-sets/{name}?count=1")).json["items"]) == 1
    assert (await gateway.get("/prompt-sets/p_no/versions")).status == 404
