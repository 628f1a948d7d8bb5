"""What people give runs by mistake or on purpose: an error with its place, nothing half or lost."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import StorageFailed
from server.runs import sets
from server.web.keys import PROMPT_SETS, RUNS
from tests.web.conftest import StartWithFake
from tests.web.gateway import JSON, Gateway
from tests.web.test_runs import made, over

MIB = 1 << 20


async def put(gateway: Gateway, data: bytes, form: str = "auto") -> Any:
    """Give a file as a new set."""
    return await gateway.ask("PUT", f"/prompt-sets?form={form}", data=io.BytesIO(data))


def problems(reply: Any) -> list[tuple[int | None, str | None]]:
    """Return the places that an error names."""
    assert reply.status == 422, reply.text
    return [(one["row"], one["column"]) for one in reply.json["error"]["details"]["problems"]]


async def test_a_file_that_is_too_large_is_refused_before_it_has_come(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake()
    reply = await put(gateway, b"prompt\n" + b"a\n" * (9 * MIB))
    assert reply.status == 413
    assert "max_set_size" in reply.json["error"]["hint"]

    async def endless() -> Any:
        while True:
            yield b"a\n" * MIB

    async with gateway.http.put(f"{gateway.url}/prompt-sets", data=endless()) as response:
        assert response.status == 413
    assert (await gateway.get("/prompt-sets")).json["sets"] == []


@pytest.mark.parametrize("few", [0, 16 * MIB], ids=["process", "thread"])
async def test_what_is_wrong_deep_in_a_file_is_told_with_line_and_column(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(sets, "FEW_BYTES", few)
    gateway, _ = await before_fake()
    head, rows = b"prompt,expected\n", b"a,b\n" * 9_000
    ragged = await put(gateway, head + rows + b"a,b,c\n" + rows)
    assert problems(ragged) == [(9_002, "expected")]
    null = await put(gateway, head + rows + b"a,b\0\n" + rows)
    assert problems(null) == [(9_002, "expected")]
    opened = await put(gateway, head + rows + b'a,"b\n' + rows)
    assert problems(opened) == [(9_002, None)]
    many = await put(gateway, head + rows * 3)
    assert problems(many) == [(20_002, None)]
    lines = await put(gateway, b"a\n" * 30_000, "lines")
    assert problems(lines) == [(20_001, None)]
    wide = await put(gateway, json.dumps({f"v{n}": "x" for n in range(1_001)}).encode(), "jsonl")
    assert problems(wide) == [(None, None)]
    unknown = b'{"prompt_set": {"template": "{{nope}} {{a}}"}}\n' + b'{"a": "x"}\n' * 9_000
    assert problems(await put(gateway, unknown)) == [(None, "nope")]
    bomb = {"prompt": "x", "checks": [{"type": "regex", "pattern": "((a{1000}){1000}){1000}"}]}
    assert problems(await put(gateway, json.dumps(bomb).encode())) == [(1, "checks[0].pattern")]
    assert (await gateway.get("/prompt-sets")).json["sets"] == []


@pytest.mark.parametrize(
    "data",
    [
        "\ufeffprompt;expected\näö?;ü\n".encode(),
        "prompt;expected\näö?;ü\n".encode("utf-16"),
        "prompt\texpected\näö?\tü\n".encode("latin-1"),
        "prompt|expected\näö?|ü\n".encode("utf-32"),
    ],
    ids=["utf-8 with its mark", "utf-16", "latin-1", "utf-32"],
)
@pytest.mark.parametrize("few", [0, MIB], ids=["process", "thread"])
async def test_encodings_and_delimiters_are_found_out(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch, few: int, data: bytes
) -> None:
    monkeypatch.setattr(sets, "FEW_BYTES", few)
    gateway, _ = await before_fake()
    kept = await put(gateway, data)
    assert kept.status == 201, kept.text
    (item,) = (await gateway.get(f"/prompt-sets/{kept.json['id']}")).json["items"]
    assert item == {"variables": {"prompt": "äö?"}, "expected": "ü"}


async def test_an_expression_that_explodes_and_a_schema_without_end_fail_alone(
    before_fake: StartWithFake,
) -> None:
    gateway, _ = await before_fake(text="a" * 2_000 + '{"a": 1}')
    nested: dict[str, Any] = {"type": "object"}
    for _ in range(60):
        nested = {"properties": {"a": nested}}
    checks = [
        {"type": "regex", "pattern": "(a*)*$"},
        {"type": "regex", "pattern": "(a|aa)+b", "whole": True},
        {"type": "json_schema", "schema": {"$ref": "#"}},
        {"type": "json_schema", "schema": nested},
    ]
    name = await made(gateway, {"prompts": ["One?"], "checks": checks})
    run = (await gateway.post("/runs", {"prompt_set": name, "targets": [{"model": "m"}]})).json
    assert (await over(gateway, run["id"]))["state"] == "done"
    (answer,) = (await gateway.get(f"/runs/{run['id']}/prompts/0")).json["answers"]
    assert [check["passed"] for check in answer["checks"]] == [True, False, False, False]
    assert all(check["explanation"] for check in answer["checks"])


async def test_a_set_that_cannot_be_stored_is_an_error_and_leaves_nothing(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = await before_fake()
    monkeypatch.setattr(sets, "FEW_BYTES", 0)
    name = await made(gateway)
    store = gateway.app[RUNS].store
    before = await store.sets.body("local", name)
    async with store._database.write() as transaction:
        ((pages,),) = await transaction.rows("PRAGMA page_count")
    await store._database._writer.execute_fetchall(f"PRAGMA max_page_count = {pages}")
    large = json.dumps({"prompts": ["word " * 1_000 for _ in range(400)]}).encode()
    for path in ("/prompt-sets", f"/prompt-sets/{name}/prompts"):
        reply = await gateway.post(path, data=io.BytesIO(large), headers=JSON)
        assert (reply.status, reply.json["error"]["code"]) == (503, "storage_failed"), reply.text
        assert "make room" in reply.json["error"]["hint"]
    assert [one["id"] for one in (await gateway.get("/prompt-sets")).json["sets"]] == [name]
    assert await store.sets.body("local", name) == before


async def test_a_run_whose_disk_is_full_goes_on_once_there_is_room(
    before_fake: StartWithFake,
) -> None:
    gateway, fake = await before_fake(text="word " * 400)
    name = await made(gateway, {"prompts": [f"Question {number}?" for number in range(40)]})
    store = gateway.app[RUNS].store
    async with store._database.write() as transaction:
        ((pages,),) = await transaction.rows("PRAGMA page_count")
    await store._database._writer.execute_fetchall(f"PRAGMA max_page_count = {pages + 8}")
    seen = asyncio.Event()
    done = gateway.app[RUNS].following.subscribe(lambda run: seen.set() if run.error else None)
    run = (await gateway.post("/runs", {"prompt_set": name, "targets": [{"model": "m"}]})).json
    async with asyncio.timeout(20):
        await seen.wait()
    done()
    shown = (await gateway.get(f"/runs/{run['id']}")).json
    assert (shown["state"], shown["error"]["code"]) == ("running", "storage_failed")
    # What is stored can be read meanwhile.
    for path in ("results", "export?form=html", "export?form=csv", "export"):
        assert (await gateway.get(f"/runs/{run['id']}/{path}")).status == 200
    await store._database._writer.execute_fetchall("PRAGMA max_page_count = 1000000")
    ended = await over(gateway, run["id"])
    assert (ended["state"], ended["answered"], ended["error"]) == ("done", 40, None)
    assert len(fake.state.requests) == 40


async def test_two_people_vote_at_once_and_each_vote_counts(before_fake: StartWithFake) -> None:
    gateway, _ = await before_fake(answer_tokens=2)
    name = await made(gateway)
    targets = [{"model": "m"}, {"model": "m", "name": "other"}]
    run = (await gateway.post("/runs", {"prompt_set": name, "targets": targets})).json["id"]
    await over(gateway, run)
    address = f"/runs/{run}/prompts/0/vote"
    replies = await asyncio.gather(
        *(
            gateway.ask("PUT", address, {"among": [0, 1], "winners": [n % 2], "blind": True})
            for n in range(20)
        ),
        *(gateway.get(f"/runs/{run}/results") for _ in range(5)),
    )
    assert {reply.status for reply in replies} == {200}
    (vote,) = (await gateway.get(f"/runs/{run}/votes")).json["votes"]
    results = (await gateway.get(f"/runs/{run}/results")).json
    assert results["votes"] == 1
    winner = results["ranking"][0]
    assert ([winner["target"]], winner["wins"]) == (vote["winners"], 1)


async def test_a_set_that_is_read_while_the_gateway_stops_is_not_stored(
    before_fake: StartWithFake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sets, "FEW_BYTES", 0)
    gateway, _ = await before_fake()
    await gateway.app[PROMPT_SETS].close()
    reply = await put(gateway, b"prompt\na\n")
    assert (reply.status, reply.json["error"]["code"]) == (503, StorageFailed.code)
    assert (await gateway.get("/prompt-sets")).json["sets"] == []
