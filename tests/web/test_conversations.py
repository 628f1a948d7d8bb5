"""Conversations over the socket and over HTTP, kept by the real gateway before a fake TGI."""

import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from server.settings.conversations import ConversationSettings
from tests.fakes.tgi import Fake
from tests.support.dialogue import Dialogue, dialogue
from tests.web.conftest import StartWithFake
from tests.web.gateway import Gateway
from tests.web.speaking import ready

COLUMNS = [{"id": "a", "model": "m"}, {"id": "b", "model": "m", "parameters": {"seed": 7}}]


@dataclass(frozen=True)
class Page:
    """What a page has: HTTP, a socket, and a fake to watch."""

    gateway: Gateway
    fake: Fake
    client: Dialogue

    async def begin(self, **outline: Any) -> str:
        """Begin a conversation and return its id."""
        reply = await self.gateway.post("/conversations", {"columns": COLUMNS, **outline})
        assert reply.status == 201, reply.text
        name: str = reply.json["id"]
        return name

    async def ask(self, record: dict[str, Any], *columns: str, **fields: Any) -> dict[str, Any]:
        """Have columns answer and return the result."""
        targets = [{"model": "m", "column": column} for column in columns]
        fields = {"prompt": "What is a lighthouse for?", "targets": targets, **fields}
        return await self.client.say(type="generate", record=record, **fields)

    async def told(self, record: dict[str, Any], *columns: str, **fields: Any) -> dict[str, Any]:
        """Have columns answer, wait until they have, and return the result."""
        result = await self.ask(record, *columns, **fields)
        for generation in result["generations"]:
            await self.client.end(generation)
        return result

    async def load(self, name: str, *, full: int = 0) -> Any:
        """Return the whole conversation."""
        reply = await self.gateway.get(f"/conversations/{name}?full={full}")
        assert reply.status == 200, reply.text
        return reply.json


@asynccontextmanager
async def opened(before_fake: StartWithFake, **options: Any) -> AsyncIterator[Page]:
    """Open a page before a gateway with such a fake."""
    gateway, fake = await before_fake(**options)
    async with dialogue(gateway.url.removeprefix("http://")) as client:
        yield Page(gateway, fake, client)


@pytest.fixture
async def page(before_fake: StartWithFake) -> AsyncIterator[Page]:
    async with opened(before_fake, answer_tokens=5) as page:
        await ready(page.client, "m")
        yield page


async def test_an_answer_is_kept_with_all_that_led_to_it(page: Page) -> None:
    name = await page.begin()
    result = await page.told(
        {"conversation": name, "turn": "t1"},
        "a",
        "b",
        parameters={"temperature": 0.5, "max_new_tokens": 5},
        details=True,
    )
    kept = await page.load(name, full=1)
    assert kept["title"] == "What is a lighthouse for?"
    (turn,) = kept["turns"]
    assert (turn["id"], turn["parent"], turn["text"]) == ("t1", None, "What is a lighthouse for?")
    assert [answer["id"] for answer in kept["answers"]] == result["answers"]
    for answer, generation, column in zip(
        kept["answers"], result["generations"], "ab", strict=True
    ):
        end = await page.client.end(generation)
        assert answer["text"] == page.client.text(generation)
        assert (answer["column"], answer["turn"], answer["state"]) == (column, "t1", "ended")
        assert answer["finish_reason"] == end["finish_reason"]
        assert answer["usage"] == end["usage"]
        assert answer["timings"] == end["timings"]
        assert answer["parameters"]["temperature"] == 0.5
        assert 0 <= answer["parameters"]["seed"] < 2**53
        assert answer["chosen"] == ["max_new_tokens", "temperature"]
        assert answer["engine"]["model_id"] == "fake/tgi"
        assert answer["engine"]["revision"] == "0123456789abcdef"
        assert [kept["messages"][place] for place in answer["asked"]] == [
            {"role": "prompt", "content": "What is a lighthouse for?"}
        ]
        assert "".join(token["text"] for token in answer["tokens"]) == answer["text"]


async def test_thinking_is_kept_apart_whatever_the_socket_knows(
    before_fake: StartWithFake,
) -> None:
    text = "<think>Perhaps a beacon?</think>To warn ships."
    async with opened(before_fake, text=text) as page:
        name = await page.begin()
        result = await page.told({"conversation": name, "turn": "t1"}, "a")
        assert page.client.text(result["generations"][0]) == text
        (answer,) = (await page.load(name))["answers"]
        assert (answer["text"], answer["reasoning"]) == ("To warn ships.", "Perhaps a beacon?")
        assert answer["usage"]["reasoning_tokens"] > 0
        for query, count in (("q=ships", 1), ("q=beacon", 0), ("q=beacon&reasoning=1", 1)):
            listing = await page.gateway.get(f"/conversations?{query}")
            assert len(listing.json["conversations"]) == count, query
        assert (await page.gateway.get("/conversations?q=beacon&reasoning=much")).status == 400
        exported = await page.gateway.get(f"/conversations/{name}/export?form=markdown")
        assert "> Perhaps a beacon?\n\n</details>\n\nTo warn ships." in exported.text


async def test_a_kept_answer_asked_again_is_the_same(page: Page) -> None:
    name = await page.begin()
    question = [{"role": "user", "content": "Why?"}]
    await page.told(
        {"conversation": name, "turn": "t1"},
        "a",
        prompt=None,
        messages=question,
        parameters={"temperature": 0.9},
    )
    kept = await page.load(name, full=1)
    (answer,) = kept["answers"]
    asked = [kept["messages"][place] for place in answer["asked"]]
    (again,) = await page.client.ask(
        answer["model"], messages=asked, parameters=answer["parameters"]
    )
    await page.client.end(again)
    assert page.client.text(again) == answer["text"]


async def test_token_limits_cut_to_the_context_are_stored_so_that_an_answer_can_be_repeated(
    before_fake: StartWithFake,
) -> None:
    async with opened(before_fake, answer_tokens=100, max_total_tokens=30) as page:
        client = page.client
        name = await page.begin()
        await page.told({"conversation": name, "turn": "t1"}, "a")
        (answer,) = (await page.load(name))["answers"]
        room = 30 - answer["usage"]["prompt_tokens"]
        assert answer["parameters"]["max_new_tokens"] == room < 30
        prompt = "What is a lighthouse for?"
        (again,) = await client.ask("m", prompt=prompt, parameters=answer["parameters"])
        assert (await client.end(again))["finish_reason"] == answer["finish_reason"] == "length"
        assert client.text(again) == answer["text"]


async def test_an_answer_is_kept_with_what_it_was_asked_with_and_no_turn_that_was_left_out(
    before_fake: StartWithFake,
) -> None:
    async with opened(before_fake, answer_tokens=100, max_total_tokens=100) as page:
        name = await page.begin()
        messages = [{"role": "system", "content": "Brief"}]
        for number in range(6):
            messages += [
                {"role": "user", "content": f"Why{number}"},
                {"role": "assistant", "content": f"So{number}"},
            ]
        messages.append({"role": "user", "content": "And"})
        question: dict[str, Any] = {"prompt": None, "messages": messages}
        await page.told(
            {"conversation": name, "turn": "t1"}, "a", "b", trim="oldest_turns", **question
        )
        await page.told({"conversation": name, "turn": "t2"}, "a", **question)
        kept = await page.load(name, full=1)
        *answers, failed = kept["answers"]
        for answer in answers:
            asked = [kept["messages"][place] for place in answer["asked"]]
            assert asked == [messages[0], *messages[7:]]
            usage = answer["usage"]
            assert usage["prompt_tokens"] + usage["completion_tokens"] == 100
            assert usage["context_tokens"] == 100
            codes = [notice["code"] for notice in answer["notices"]]
            assert codes == ["turns_left_out", "context_full"]
            (again,) = await page.client.ask("m", messages=asked, parameters=answer["parameters"])
            await page.client.end(again)
            assert page.client.text(again) == answer["text"]
        assert [kept["messages"][place] for place in failed["asked"]] == messages
        assert failed["error"]["code"] == "prompt_too_long"
        assert failed["usage"]["prompt_tokens"] > failed["usage"]["context_tokens"]
        assert "max_new_tokens" not in failed["parameters"]
        export = await page.gateway.get(f"/conversations/{name}/export?form=json")
        taken = await page.gateway.post("/conversations/import", export.json)
        imported = (await page.load(taken.json["id"]))["answers"]
        assert [one["usage"] for one in imported] == [one["usage"] for one in kept["answers"]]


async def test_an_answer_names_the_one_it_repeats(page: Page) -> None:
    first, second = await page.begin(), await page.begin()
    before = (await page.told({"conversation": first, "turn": "t1"}, "a"))["answers"][0]
    targets = [{"model": "m", "column": "a", "repeats": before}]
    await page.told({"conversation": second, "turn": "t1"}, targets=targets, fresh=True)
    assert [one["repeats"] for one in (await page.load(second))["answers"]] == [before]
    export = await page.gateway.get(f"/conversations/{second}/export?form=json")
    taken = await page.gateway.post("/conversations/import", export.json)
    assert [one["repeats"] for one in (await page.load(taken.json["id"]))["answers"]] == [before]


async def test_the_tokens_of_an_answer_have_an_address_of_their_own(page: Page) -> None:
    name = await page.begin()
    record = {"conversation": name, "turn": "t1"}
    (detailed,) = (await page.told(record, "a", details=True))["answers"]
    (plain,) = (await page.told(record, "b"))["answers"]
    kept = {one["id"]: one for one in (await page.load(name, full=1))["answers"]}
    address = f"/conversations/{name}/answers"
    assert [kept[one]["has_tokens"] for one in (detailed, plain)] == [True, False]
    tokens = (await page.gateway.get(f"{address}/{detailed}/tokens")).json["tokens"]
    assert tokens == kept[detailed]["tokens"]
    text = "".join(token["text"] for token in tokens if not token["special"])
    assert text == kept[detailed]["text"] != ""
    assert (await page.gateway.get(f"{address}/{plain}/tokens")).json == {"tokens": []}
    for unknown in (f"{address}/a_none/tokens", f"/conversations/c_none/answers/{plain}/tokens"):
        reply = await page.gateway.get(unknown)
        assert (reply.status, reply.json["error"]["code"]) == (404, "unknown_conversation")


async def test_while_it_is_written_it_can_be_read_and_the_session_knows_it(
    before_fake: StartWithFake,
) -> None:
    gateway, fake = await before_fake(answer_tokens=5, hold_after=2)
    address = gateway.url.removeprefix("http://")
    async with dialogue(address) as client:
        page = Page(gateway, fake, client)
        name = await page.begin()
        hello = await client.say(type="hello")
        assert hello["conversations"] == {"state": "on"}
        result = await page.ask({"conversation": name, "turn": "t1"}, "a")
        await client.delta(result["generations"][0], 2)
        (answer,) = (await page.load(name))["answers"]
        assert (answer["state"], answer["finish_reason"]) == ("running", None)
        assert answer["text"] == client.text(result["generations"][0]) != ""
    async with dialogue(address) as later:
        resumed = await later.say(type="hello", session=hello["session"])
        assert resumed["generations"][0]["answer"] == result["answers"][0]
        await gateway.http.post(f"{fake.url}/_fake/release")
        await later.end(result["generations"][0])
    (answer,) = (await page.load(name))["answers"]
    assert (answer["state"], answer["finish_reason"]) == ("ended", "stop")
    assert answer["text"].count(" ") > 2


async def test_turns_are_a_tree_and_a_column_may_answer_again(page: Page) -> None:
    name = await page.begin()
    first = await page.told({"conversation": name, "turn": "t1"}, "a", "b")
    again = await page.told({"conversation": name, "turn": "t1"}, "a")
    chosen = first["answers"][1]
    await page.told(
        {"conversation": name, "turn": "t1"},
        targets=[{"model": "m", "column": "a", "continues": again["answers"][0]}],
    )
    record = {"conversation": name, "turn": "t2", "parent": "t1", "history": chosen}
    await page.told(record, "a", prompt="And then?")
    await page.told({"conversation": name, "turn": "t1b"}, "a", prompt="What is a buoy for?")
    kept = await page.load(name)
    turns = {turn["id"]: (turn["parent"], turn["history"]) for turn in kept["turns"]}
    assert turns == {"t1": (None, None), "t2": ("t1", chosen), "t1b": (None, None)}
    places = [(answer["turn"], answer["column"]) for answer in kept["answers"]]
    assert places == [("t1", "a"), ("t1", "b"), *[("t1", "a")] * 2, ("t2", "a"), ("t1b", "a")]
    assert kept["answers"][3]["continues"] == again["answers"][0]


async def test_an_answer_of_another_turn_is_refused(page: Page) -> None:
    """`continues` names an answer of the same turn, `history` one of the parent."""
    name = await page.begin()
    first = {"conversation": name, "turn": "t1"}
    (answer,) = (await page.told(first, "a"))["answers"]
    await page.told({"conversation": name, "turn": "t2", "parent": "t1"}, "a")
    for record, target, place in (
        ({"turn": "t2", "parent": "t1"}, {"continues": answer}, "$.targets[0].continues"),
        ({"turn": "t3", "parent": "t2", "history": answer}, {}, "$.record.history"),
        ({"turn": "t3", "history": answer}, {}, "$.record.history"),
    ):
        refused = await page.client.try_to(
            type="generate",
            prompt="Hi",
            targets=[{"model": "m", "column": "a", **target}],
            record={"conversation": name, **record},
        )
        assert refused["error"]["code"] == "invalid_command"
        assert f"{answer!r} is no answer of" in refused["error"]["message"]
        assert place in refused["error"]["message"]
    assert len((await page.load(name))["answers"]) == 2


async def test_a_repeated_command_keeps_nothing_twice(page: Page) -> None:
    name = await page.begin()
    record = {"conversation": name, "turn": "t1"}
    first = await page.told(record, "a", request_id="r1")
    assert await page.ask(record, "a", request_id="r1") == first
    assert len((await page.load(name))["answers"]) == 1


async def test_a_command_of_another_session_is_answered_from_the_conversation(page: Page) -> None:
    """It is known there by its `request_id`; elsewhere the same id is another command."""
    name, other = await page.begin(), await page.begin()
    record = {"conversation": name, "turn": "t1"}
    first = await page.told(record, "a", "b", request_id="r1")
    ends = [await page.client.end(generation) for generation in first["generations"]]
    asked = len(page.fake.state.requests)
    async with dialogue(page.gateway.url.removeprefix("http://")) as client:
        later = Page(page.gateway, page.fake, client)
        again = await later.told(record, "a", "b", request_id="r1")
        assert again["answers"] == first["answers"]
        for generation, repeated, end in zip(
            first["generations"], again["generations"], ends, strict=True
        ):
            assert client.text(repeated) == page.client.text(generation) != ""
            same = {key: end[key] for key in ("finish_reason", "usage", "timings")}
            assert same.items() <= (await client.end(repeated)).items()
        assert await later.ask(record, "a", "b", request_id="r1") == again
        assert len(page.fake.state.requests) == asked
        for_one = await client.try_to(
            type="generate",
            targets=[{"model": "m", "column": "a"}],
            prompt="Hi",
            record=record,
            request_id="r1",
        )
        assert for_one["type"] == "result", "the session knows it"
        elsewhere = await later.told({**record, "conversation": other}, "a", request_id="r1")
        assert elsewhere["answers"] != again["answers"][:1]
    assert len((await page.load(name))["answers"]) == 2
    async with dialogue(page.gateway.url.removeprefix("http://")) as client:
        fields = {"type": "generate", "prompt": "Hi", "record": record, "request_id": "r1"}
        refused = await client.try_to(targets=[{"model": "m", "column": "a"}], **fields)
        assert refused["error"]["code"] == "unknown_generation"


async def test_thinking_and_calls_are_repeated_from_the_conversation_with_their_kinds(
    before_fake: StartWithFake,
) -> None:
    async with opened(before_fake, text="<think>A beacon?</think>To warn ships.") as page:
        record = {"conversation": await page.begin(), "turn": "t1"}
        await page.told(record, "a", request_id="r1")
        async with dialogue(page.gateway.url.removeprefix("http://")) as client:
            await client.say(type="hello", kinds=["reasoning"])
            later = Page(page.gateway, page.fake, client)
            (repeated,) = (await later.told(record, "a", request_id="r1"))["generations"]
            deltas = [event for event in client.events if event["type"] == "delta"]
            assert [(one.get("kind"), one["text"]) for one in deltas] == [
                ("reasoning", "A beacon?"),
                (None, "To warn ships."),
            ]
            assert (await client.end(repeated))["usage"]["reasoning_tokens"] > 0


async def test_a_command_whose_answer_another_session_still_writes_is_refused(
    before_fake: StartWithFake,
) -> None:
    async with opened(before_fake, answer_tokens=5, hold_after=2) as page:
        record = {"conversation": await page.begin(), "turn": "t1"}
        (writing,) = (await page.ask(record, "a", request_id="r1"))["generations"]
        await page.client.delta(writing)
        async with dialogue(page.gateway.url.removeprefix("http://")) as client:
            fields = {"type": "generate", "prompt": "Hi", "record": record, "request_id": "r1"}
            refused = await client.try_to(targets=[{"model": "m", "column": "a"}], **fields)
            assert refused["error"]["code"] == "unknown_generation"
            assert "another session" in refused["error"]["message"]
            await page.gateway.http.post(f"{page.fake.url}/_fake/release")
            await page.client.end(writing)
            later = Page(page.gateway, page.fake, client)
            (repeated,) = (await later.told(record, "a", request_id="r1"))["generations"]
            assert client.text(repeated) == page.client.text(writing)


@pytest.mark.parametrize(
    ("record", "target", "code", "place"),
    [
        ({"conversation": "c_none"}, {}, "unknown_conversation", "c_none"),
        ({"parent": "t9"}, {}, "invalid_command", "$.record.parent"),
        ({"parent": "t1"}, {}, "invalid_command", "$.record.parent"),
        ({"history": "a9"}, {}, "invalid_command", "$.record.history"),
        ({"turn": "a b"}, {}, "invalid_command", "$.record.turn"),
        ({"turn": "t1\n"}, {}, "invalid_command", "$.record.turn"),
        ({}, {"column": "z"}, "invalid_command", "$.targets[0].column"),
        ({}, {"continues": "a9"}, "invalid_command", "$.targets[0].continues"),
        ({}, {"model": "none"}, "unknown_model", "none"),
    ],
)
async def test_a_place_that_is_not_there_is_refused_and_nothing_begins(
    page: Page, record: dict[str, str], target: dict[str, str], code: str, place: str
) -> None:
    name = await page.begin()
    answer = await page.client.try_to(
        type="generate",
        prompt="Hi",
        targets=[{"model": "m", **target}],
        record={"conversation": name, "turn": "t1", **record},
    )
    assert answer["error"]["code"] == code
    assert place in answer["error"]["message"]
    kept = await page.load(name)
    assert (kept["turns"], kept["answers"]) == ([], [])
    assert (await page.gateway.get("/models")).json[0]["running"] == 0


async def test_deleted_conversations_can_be_restored_until_they_are_deleted_for_good(
    page: Page,
) -> None:
    name = await page.begin(title="Gone")
    address = f"/conversations/{name}"
    assert (await page.gateway.ask("DELETE", address)).json["deleted"] > 0
    assert (await page.gateway.get("/conversations")).json["conversations"] == []
    (gone,) = (await page.gateway.get("/conversations?deleted=1")).json["conversations"]
    assert gone["id"] == name
    refused = await page.client.try_to(
        type="generate",
        prompt="Hi",
        targets=[{"model": "m"}],
        record={"conversation": name, "turn": "t1"},
    )
    assert refused["error"]["code"] == "unknown_conversation"
    assert (await page.gateway.post(f"{address}/restore")).json["deleted"] is None
    (back,) = (await page.gateway.get("/conversations")).json["conversations"]
    assert back["title"] == "Gone"
    await page.gateway.ask("DELETE", f"{address}?forever=1")
    assert (await page.gateway.post(f"{address}/restore")).status == 404
    assert (await page.gateway.get(address)).json["error"]["code"] == "unknown_conversation"


async def test_deleted_for_good_in_the_middle_of_an_answer_it_harms_nobody(
    before_fake: StartWithFake,
) -> None:
    async with opened(before_fake, answer_tokens=5, hold_after=2) as page:
        client = page.client
        name, other = await page.begin(), await page.begin()
        (doomed,) = (await page.ask({"conversation": name, "turn": "t1"}, "a"))["generations"]
        (spared,) = (await page.ask({"conversation": other, "turn": "t1"}, "a"))["generations"]
        await client.delta(doomed)
        await page.gateway.ask("DELETE", f"/conversations/{name}?forever=1")
        await page.gateway.http.post(f"{page.fake.url}/_fake/release")
        assert (await client.end(doomed))["finish_reason"] == "stop"
        await client.end(spared)
        (answer,) = (await page.load(other))["answers"]
        assert answer["text"] == client.text(spared)


async def test_a_title_columns_and_a_view_can_be_others(page: Page) -> None:
    name = await page.begin()
    address = f"/conversations/{name}"
    await page.gateway.ask("PATCH", address, {"title": "Lights", "view": {"mode": "blind"}})
    columns = [{"id": "c", "model": "m", "hidden_name": "A", "system": "Be brief."}]
    await page.gateway.ask("PATCH", address, {"columns": columns})
    kept = await page.load(name)
    assert (kept["title"], kept["view"]) == ("Lights", {"mode": "blind"})
    assert [column["hidden_name"] for column in kept["columns"]] == ["A"]
    twice = await page.gateway.ask("PATCH", address, {"columns": columns * 2})
    assert "$.columns[1].id" in twice.json["error"]["message"]
    large = await page.gateway.ask("PATCH", address, {"view": {"x": "y" * 70_000}})
    assert (large.status, large.json["error"]["code"]) == (400, "invalid_command")


async def test_several_are_pinned_tagged_exported_deleted_and_imported_again(page: Page) -> None:
    gateway = page.gateway
    names = [await page.begin(title=title) for title in ("One/1", "Two", "two", "Other")]
    for name in names:
        await page.told({"conversation": name, "turn": "t1"}, "a")
    several = {"ids": names[:3]}
    changed = await gateway.ask("PATCH", "/conversations", {**several, "add_tags": ["a b", "c"]})
    assert [one["tags"] for one in changed.json["conversations"]] == [["a b", "c"]] * 3
    await gateway.ask("PATCH", f"/conversations/{names[0]}", {"pinned": True, "tags": ["c"]})
    for query, titles in (
        ("pinned=only", {"One/1"}),
        ("pinned=none&tag=c", {"Two", "two"}),
        ("tag=a+b", {"Two", "two"}),
        ("tag=a", set()),
    ):
        listing = (await gateway.get(f"/conversations?{query}")).json["conversations"]
        assert {one["title"] for one in listing} == titles
    assert (await gateway.get("/conversations/tags")).json == {
        "tags": [{"name": "a b", "conversations": 2}, {"name": "c", "conversations": 3}]
    }
    for body, status, told in (
        ({**several, "add_tags": ["a,b"]}, 400, "add_tags"),
        ({**several, "add_tags": [" a"]}, 400, "add_tags"),
        ({"ids": []}, 400, "ids"),
        ({"ids": [*names, "c_none"], "deleted": True}, 404, "c_none"),
    ):
        refused = await gateway.ask("PATCH", "/conversations", body)
        assert (refused.status, told in refused.text) == (status, True)
    unknown = await gateway.post("/conversations/export", {"ids": ["c_none"]})
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "unknown_conversation")

    exported = await gateway.post("/conversations/export", several)
    assert exported.headers["Content-Type"] == "application/json"
    await gateway.ask("PATCH", "/conversations", {"ids": names, "deleted": True})
    assert (await gateway.get("/conversations")).json["conversations"] == []
    imported = await gateway.post("/conversations/import", json.loads(exported.text))
    assert imported.status == 201
    assert (imported.json["source"], imported.json["imported"]) == ("sidestream", 3)
    listing = (await gateway.get("/conversations?pinned=none")).json["conversations"]
    assert {one["title"] for one in listing} == {"Two", "two"}
    assert listing[0]["tags"] == ["a b", "c"]
    again = {"ids": imported.json["ids"], "form": "markdown"}
    async with gateway.open("/conversations/export", again) as response:
        assert response.headers["Content-Disposition"] == "attachment; filename=chats.zip"
        packed = zipfile.ZipFile(io.BytesIO(await response.read()))
    assert packed.testzip() is None
    assert {name.casefold() for name in packed.namelist()} == {"one_1.md", "two.md", "two 2.md"}
    assert packed.read("One_1.md").startswith(b"# One/1\n")


async def test_imports_of_unknown_form_are_refused_with_a_plain_message(page: Page) -> None:
    refused = await page.gateway.post("/conversations/import", [{"a": 1}])
    assert refused.status == 400
    told = refused.json["error"]
    assert told["message"].startswith("this is not a Sidestream export, nor one of ChatGPT")
    assert "conversations.json" in told["hint"]


async def test_a_vote_is_kept_changed_and_taken_back(page: Page) -> None:
    name = await page.begin()
    result = await page.told({"conversation": name, "turn": "t1"}, "a", "b")
    address = f"/conversations/{name}/turns/t1/vote"
    better = {
        "verdict": "better",
        "winners": result["answers"][:1],
        "among": result["answers"],
        "blind": True,
    }
    given = await page.gateway.ask("PUT", address, better)
    assert given.status == 200
    vote = {**better, "created": given.json["created"]}
    assert given.json == {**vote, "replaced": None}
    assert (await page.load(name))["turns"][0]["vote"] == vote
    assert (await page.gateway.ask("PUT", address, better)).json["replaced"] == vote
    (listed,) = (await page.gateway.get(f"/votes?conversation={name}")).json["votes"]
    assert (listed["voter"], listed["conversation"], listed["turn"]) == ("local", name, "t1")
    assert [one["parameters"] for one in listed["candidates"]] == [{}, {"seed": 7}]
    tally = (await page.gateway.get("/votes/tally")).json
    assert [(s["wins"], s["rounds"]) for s in tally["scores"]] == [(1, 1), (0, 1)]
    assert (await page.gateway.ask("DELETE", "/votes")).json == {"votes": 1}
    assert (await page.gateway.post("/votes/restore", {})).json == {"votes": 1}
    earlier = {"id": "old-1", "verdict": "tie", "candidates": [{"model": "m"}, {"model": "n"}]}
    for new in (1, 0):
        reply = await page.gateway.post("/votes/import", {"votes": [earlier]})
        assert reply.json == {"votes": new}
    assert (await page.gateway.get("/votes/tally")).json["votes"] == 2
    assert (await page.gateway.get("/votes?conversation=c_none")).status == 404
    for wrong in (
        {"verdict": "tie", "winners": result["answers"][:1], "among": result["answers"]},
        {"verdict": "better", "among": result["answers"]},
        {"verdict": "better", "winners": ["a9"], "among": ["a9"]},
        {"verdict": "better", "winners": result["answers"][:1]},
    ):
        refused = await page.gateway.ask("PUT", address, wrong)
        assert (refused.status, refused.json["error"]["code"]) == (409, "invalid_command")
    assert (await page.gateway.ask("PUT", address, {"verdict": "best"})).status == 400
    assert (await page.gateway.ask("DELETE", address)).status == 204
    assert (await page.load(name))["turns"][0]["vote"] is None
    elsewhere = address.replace("t1", "t9")
    assert (await page.gateway.ask("PUT", elsewhere, {"verdict": "bad"})).status == 404


async def test_turned_off_nothing_is_kept_and_everything_else_works(
    start_gateway: Any, fake_tgi: Any
) -> None:
    from tests.web.gateway import remote

    gateway = await start_gateway(
        {"m": remote((await fake_tgi(answer_tokens=3)).url)},
        conversations=ConversationSettings(enabled=False),
    )
    refused = await gateway.get("/conversations")
    assert (refused.status, refused.json["error"]["code"]) == (404, "conversations_off")
    async with dialogue(gateway.url.removeprefix("http://")) as client:
        assert (await client.say(type="hello"))["conversations"] == {"state": "off"}
        answer = await client.try_to(
            type="generate",
            prompt="Hi",
            targets=[{"model": "m"}],
            record={"conversation": "c", "turn": "t"},
        )
        assert answer["error"]["code"] == "conversations_off"
        (generation,) = await client.ask("m", prompt="Hi")
        await client.end(generation)
