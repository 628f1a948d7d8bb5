"""Prompt sets and runs over HTTP, before the real gateway and a fake TGI."""

import csv
import io
import json
from typing import Any

from tests.web.conftest import StartWithFake
from tests.web.gateway import Gateway

CAPITALS = {
    "name": "Capitals",
    "template": "What is the capital of {{country}}?",
    "prompts": [
        {"country": "France", "expected": "Paris"},
        {"country": "Peru", "expected": "Lima"},
    ],
    "checks": [{"type": "contains", "value": "{{expected}}"}],
}


async def made(gateway: Gateway, given: dict[str, Any] | None = None) -> str:
    """Keep a set; return its id."""
    reply = await gateway.post("/prompt-sets", given or CAPITALS)
    assert reply.status == 201, reply.text
    name: str = reply.json["id"]
    return name


async def over(gateway: Gateway, run: str) -> dict[str, Any]:
    """Follow a run to its end; return it."""
    reply = await gateway.get(f"/runs/{run}/events")
    assert reply.status == 200, reply.text
    events = [line for line in reply.text.splitlines() if line.startswith("data: ")]
    last: dict[str, Any] = json.loads(events[-1].removeprefix("data: "))
    return last


async def test_a_set_is_asked_of_two_targets_and_checked(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(text="It is Paris.")
    name = await made(gateway)
    targets = [{"model": "m"}, {"model": "m", "parameters": {"temperature": 0.5}, "name": "warm"}]
    reply = await gateway.post("/runs", {"prompt_set": name, "targets": targets, "repeats": 2})
    assert reply.status == 201, reply.text
    run = await over(gateway, reply.json["id"])
    assert (run["state"], run["answered"], run["total"]) == ("done", 8, 8)
    assert [(one["passed"], one["checked"]) for one in run["targets"]] == [(2, 4), (2, 4)]
    rows = (await gateway.get(f"/runs/{run['id']}/rows?first=1")).json
    assert rows["total"] == 2
    (row,) = rows["rows"]
    assert row["text"] == "What is the capital of Peru?"
    assert [cell["passed"] for cell in row["cells"]] == [False] * 4
    asked = (await gateway.get(f"/runs/{run['id']}/prompts/0")).json
    assert asked["expected"] == "Paris"
    assert asked["answers"][0]["text"] == "It is Paris."
    assert asked["answers"][0]["checks"][0]["passed"] is True
    listed = (await gateway.get("/runs")).json
    assert [one["id"] for one in listed["runs"]] == [run["id"]]
    assert listed["next"] is None


async def test_results_and_files_of_a_run(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(text="It is **Paris**. =1+1 <script>")
    name = await made(gateway)
    targets = [{"model": "m"}, {"model": "m", "name": "=other"}]
    run = (await gateway.post("/runs", {"prompt_set": name, "targets": targets})).json
    await over(gateway, run["id"])
    results = (await gateway.get(f"/runs/{run['id']}/results")).json
    figures = [one["figures"] for one in results["targets"]]
    assert [one["answers"]["passed"] for one in figures] == [1, 1]
    assert [one["name"] for one in results["targets"]] == ["m", "=other"]
    (comparison,) = results["comparisons"]
    assert comparison["is_noise"]
    assert comparison["words"].startswith("No prompt differs")
    table = (await gateway.get(f"/runs/{run['id']}/export?form=csv")).text.removeprefix("\ufeff")
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["target"] for row in rows] == ["m", "'=other"] * 2
    assert [row["passed"] for row in rows] == ["yes", "yes", "no", "no"]
    lines = (await gateway.get(f"/runs/{run['id']}/export")).text.splitlines()
    kinds = [json.loads(line).get("kind", "run") for line in lines]
    assert kinds == ["run", "prompt", "prompt", *["answer"] * 4]
    answer = json.loads(lines[-1])
    assert answer["text"].startswith("It is **Paris**")
    assert "seed" in answer["parameters"]
    report = (await gateway.get(f"/runs/{run['id']}/export?form=html")).text
    assert "<strong>Paris</strong>" in report
    assert "<script" not in report
    assert report.count("<article>") == 4


async def test_votes_rank_the_targets(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(answer_tokens=2)
    name = await made(gateway)
    targets = [{"model": "m"}, {"model": "m", "name": "other"}, {"model": "m", "name": "third"}]
    run = (await gateway.post("/runs", {"prompt_set": name, "targets": targets})).json["id"]
    await over(gateway, run)
    address = f"/runs/{run}/prompts/{{}}/vote"
    given = {"among": [0, 1], "winners": [1], "blind": True}
    first = await gateway.ask("PUT", address.format(0), {"among": [0, 1], "winners": [0]})
    assert first.status == 200, first.text
    for prompt in (0, 1):
        assert (await gateway.ask("PUT", address.format(prompt), given)).json["voter"] == "local"
    votes = (await gateway.get(f"/runs/{run}/votes")).json["votes"]
    assert [(vote["prompt"], vote["winners"], vote["blind"]) for vote in votes] == [
        (0, [1], True),
        (1, [1], True),
    ]
    results = (await gateway.get(f"/runs/{run}/results")).json
    assert (results["votes"], [one["target"] for one in results["ranking"]]) == (2, [1, 0])
    assert [one["wins"] for one in results["ranking"]] == [2, 0]
    assert (await gateway.ask("DELETE", address.format(0))).status == 204
    assert (await gateway.get(f"/runs/{run}/results")).json["votes"] == 1
    wrong = (
        (address.format(0), {"among": [0, 7]}, 409),
        (address.format(0), {"among": [0, 0]}, 409),
        (address.format(0), {"among": [0, 1], "winners": [2]}, 409),
        (address.format(0), {"among": [0, 1], "winners": [0, 1]}, 409),
        (address.format(0), {"among": [0, 1], "repeat": 5}, 409),
        (address.format(0), {"among": [0]}, 400),
        (address.format(9), given, 404),
        ("/runs/r_no/prompts/0/vote", given, 404),
    )
    for path, body, status in wrong:
        reply = await gateway.ask("PUT", path, body)
        assert reply.status == status, f"{body}: {reply.text}"
    assert (await gateway.ask("DELETE", address.format("x"))).status == 404


async def test_a_set_is_exported_and_imported_to_the_same_version(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake()
    name = await made(gateway)
    version = (await gateway.get(f"/prompt-sets/{name}")).json["version"]
    for form in ("jsonl", "csv"):
        file = await gateway.get(f"/prompt-sets/{name}/export?form={form}")
        again = await gateway.ask("PUT", f"/prompt-sets?name=Again&form={form}", data=file.text)
        assert again.status == 201, again.text
        assert again.json["version"] == version
        assert again.json["name"] == "Again"


async def test_lines_are_prompts(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    body = b"First?\n\n  Second {{x}}?\r\n"
    reply = await gateway.ask("PUT", "/prompt-sets?form=lines", data=body)
    assert (reply.status, reply.json["prompts"], reply.json["name"]) == (201, 2, "First?")
    whole = (await gateway.get(f"/prompt-sets/{reply.json['id']}")).json
    assert [one["variables"]["prompt"] for one in whole["items"]] == ["First?", "  Second {{x}}?"]


async def test_a_wrong_file_is_refused_with_every_place(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    table = 'prompt,checks\nOne,\nTwo,"[{""type"": ""contain""}]"\nThree,x,y\n'
    reply = await gateway.ask("PUT", "/prompt-sets?form=csv", data=table)
    assert (reply.status, reply.json["error"]["code"]) == (422, "invalid_prompt_set")
    problems = reply.json["error"]["details"]["problems"]
    assert {problem["row"] for problem in problems} == {3, 4}
    assert (await gateway.get("/prompt-sets")).json["sets"] == []


async def test_another_version_keeps_the_one_that_a_run_has_asked(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake()
    name = await made(gateway)
    run = (await gateway.post("/runs", {"prompt_set": name, "targets": [{"model": "m"}]})).json
    await over(gateway, run["id"])
    more = {**CAPITALS, "prompts": [*CAPITALS["prompts"], {"country": "Chad", "expected": "N"}]}
    changed = await gateway.post(f"/prompt-sets/{name}/prompts", more)
    assert (changed.status, changed.json["prompts"]) == (200, 3)
    old = (await gateway.get(f"/prompt-sets/{name}?version={run['version']}")).json
    assert old["prompts"] == 2
    extended = await gateway.post(f"/runs/{run['id']}/extend", {"version": changed.json["version"]})
    assert extended.status == 200, extended.text
    assert (await over(gateway, run["id"]))["answered"] == 3
    other = await gateway.post(f"/prompt-sets/{name}/prompts", {"prompts": ["Something else"]})
    refused = await gateway.post(f"/runs/{run['id']}/extend", {"version": other.json["version"]})
    assert (refused.status, refused.json["error"]["code"]) == (409, "invalid_command")
    assert (await gateway.ask("DELETE", f"/prompt-sets/{name}")).status == 204
    assert (await gateway.get(f"/runs/{run['id']}/rows")).json["total"] == 3


async def test_what_is_unknown_or_wrong_is_refused(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake()
    name = await made(gateway)
    wrong: tuple[tuple[str, Any, int], ...] = (
        ("/runs", {"prompt_set": "p_nothing", "targets": [{"model": "m"}]}, 404),
        ("/runs", {"prompt_set": name, "targets": []}, 400),
        ("/runs", {"prompt_set": name, "targets": [{"model": "nobody"}]}, 404),
        ("/runs", {"prompt_set": name, "targets": [{"model": "m"}], "repeats": 0}, 400),
        ("/runs", {"prompt_set": name, "targets": [{"model": "m"}], "version": "no"}, 404),
        ("/runs/r_nothing/pause", None, 404),
        ("/runs/r_nothing/continue?failed=perhaps", None, 400),
        ("/prompt-sets", {"prompts": []}, 422),
        ("/prompt-sets", {"prompts": ["x"], "template": "{{y}}"}, 422),
        ("/prompt-sets/p_nothing/prompts", {"prompts": ["x"]}, 404),
    )
    for path, body, status in wrong:
        reply = await gateway.post(path, body)
        assert reply.status == status, f"{path} {body} {reply.text}"
    for path in ("/runs/r_no", "/runs/r_no/events", "/runs/r_no/prompts/0", "/prompt-sets/p_no"):
        assert (await gateway.get(path)).status == 404
    assert (await gateway.get("/runs")).json["runs"] == []


async def test_a_run_is_paused_renamed_continued_and_deleted(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(hold_after=1, model={"max_concurrent": 1})
    name = await made(gateway)
    run = (await gateway.post("/runs", {"prompt_set": name, "targets": [{"model": "m"}]})).json
    await fake.state.reaches(started=1)
    cancelled = (await gateway.post(f"/runs/{run['id']}/cancel")).json
    assert (cancelled["state"], cancelled["answered"]) == ("cancelled", 0)
    renamed = await gateway.ask("PATCH", f"/runs/{run['id']}", {"name": "Later"})
    assert renamed.json["name"] == "Later"
    fake.state.release()
    assert (await gateway.post(f"/runs/{run['id']}/continue")).json["state"] == "running"
    assert (await over(gateway, run["id"]))["state"] == "done"
    assert (await gateway.ask("DELETE", f"/runs/{run['id']}")).status == 204
    assert (await gateway.get(f"/runs/{run['id']}")).status == 404


async def test_a_deleted_run_ends_the_events_with_an_error(before_fake: StartWithFake) -> None:
    gateway, fake = await before_fake(hold_after=1)
    name = await made(gateway)
    run = (await gateway.post("/runs", {"prompt_set": name, "targets": [{"model": "m"}]})).json
    async with gateway.http.get(f"{gateway.url}/runs/{run['id']}/events") as followed:
        assert json.loads((await followed.content.readline()).removeprefix(b"data: "))
        await gateway.ask("DELETE", f"/runs/{run['id']}")
        last = (await followed.read()).decode().strip().splitlines()[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "unknown_run"
    fake.state.release()


async def test_numbers_that_no_prompt_has_are_refused(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(answer_tokens=2)
    given = {"prompt_set": await made(gateway), "targets": [{"model": "m"}]}
    run = (await gateway.post("/runs", given)).json["id"]
    await over(gateway, run)
    for number in ("2", "00", "-1", "x", "9" * 5000):
        assert (await gateway.get(f"/runs/{run}/prompts/{number}")).status == 404
        vote = f"/runs/{run}/prompts/{number}/vote"
        assert (await gateway.ask("DELETE", vote)).status == 404
    rows = (await gateway.get(f"/runs/{run}/rows?first={2**64}")).json
    assert rows == {"total": 2, "rows": [], "matching": 2}
