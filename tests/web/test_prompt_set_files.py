"""Files of prompt sets over HTTP: looked at, versions, and exported runs read again."""

import json
from typing import Any
from urllib.parse import quote

import pytest

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


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Capitals", "Capitals"),
        ("Städte: groß/klein?", "Städte groß klein"),
        ("../../etc/passwd", "etc passwd"),
        ("n\u202egpj\r\nX-Evil: 1", "n gpj X-Evil 1"),
        ("x" * 300, "x" * 80),
    ],
)
async def test_an_exported_set_is_called_as_it_is_and_keeps_its_name(
    before_fake: StartWithFake, name: str, file: str
) -> None:
    gateway, _ = await before_fake()
    kept = await made(gateway, {**VARIED, "name": "Before"})
    await gateway.ask("PATCH", f"/prompt-sets/{kept}", json={"name": name})
    for form in ("jsonl", "csv"):
        reply = await gateway.get(f"/prompt-sets/{kept}/export?form={form}")
        given = reply.headers["Content-Disposition"]
        assert given == f"attachment; filename*=UTF-8''{quote(f'{file}.{form}', safe='')}"
        again = await gateway.ask("PUT", "/prompt-sets", data=reply.text)
        assert again.status == 201, again.text
        assert again.json["name"] == name
        renamed = await gateway.ask("PUT", "/prompt-sets?name=Other", data=reply.text)
        assert renamed.json["name"] == "Other"
    assert again.json["version"] == (await gateway.get(f"/prompt-sets/{kept}")).json["version"]


@pytest.mark.parametrize("name", ["...", "///", "con", "NUL.txt", ""])
async def test_a_set_without_a_name_for_files_is_called_by_its_id(
    before_fake: StartWithFake, name: str
) -> None:
    gateway, _ = await before_fake()
    kept = await made(gateway)
    await gateway.ask("PATCH", f"/prompt-sets/{kept}", json={"name": name})
    reply = await gateway.get(f"/prompt-sets/{kept}/export")
    assert reply.headers["Content-Disposition"].endswith(f"''{kept}.jsonl")
    assert (await gateway.get("/prompt-sets/p_no/export")).status == 404


async def test_the_table_of_a_run_is_no_prompt_set(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    run, _ = await exported(gateway, VARIED)
    table = (await gateway.get(f"/runs/{run['id']}/export?form=csv")).text
    respelled = table.removeprefix("\ufeff").replace(",", ";")
    for data in (table, respelled):
        for address in ("/prompt-sets", "/prompt-sets?form=csv", "/prompt-sets/look"):
            reply = await gateway.ask("PUT", address, data=data)
            assert reply.status == 422, reply.text
            (problem,) = reply.json["error"]["details"]["problems"]
            assert problem["row"] == 1
            assert "as JSON Lines" in problem["message"]
    assert len((await gateway.get("/prompt-sets")).json["sets"]) == 1
    # Who names the column that is meant gets it.
    named = await gateway.ask("PUT", "/prompt-sets/look?form=csv&column=question", data=table)
    assert named.json["prompts"] == 3


async def test_a_look_tells_what_the_file_was_taken_for_and_what_is_checked(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake()
    told = ("form", "prompts", "checks", "expected", "delimiter")
    for data, expected in (
        ("Name a river, please.\nName a sea.", ("lines", 2, 0, 0, None)),
        ("prompt,expected\nOf Peru?,Lima\nOf Mars?,\n", ("csv", 2, 0, 1, ",")),
        ('{"prompt": "a", "checks": [{"type": "json"}]}', ("jsonl", 1, 1, 0, None)),
    ):
        look = (await gateway.ask("PUT", "/prompt-sets/look", data=data)).json
        assert tuple(look[name] for name in told) == expected
    kept = await gateway.ask("PUT", "/prompt-sets", data="Name a river, please.\nName a sea.")
    assert kept.json["prompts"] == 2
    whole = (await gateway.get(f"/prompt-sets/{await made(gateway, VARIED)}?count=0")).json
    counts = (len(whole["items"]), len(whole["checks"]), whole["own_checks"], whole["expected"])
    assert counts == (0, 1, 1, 1)
