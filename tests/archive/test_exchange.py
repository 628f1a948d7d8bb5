"""Export and import: nothing is lost on the way, and nothing that is wrong comes in."""

import codecs
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.archive.exports import export_html, export_json, export_markdown
from server.archive.shapes import Column, Conversation, VoteGiven
from server.core.errors import ConversationLimit, InvalidCommand
from server.core.protocol import Cost, Notice
from tests.support.shelf import Shelf, shelf, write

MOST = 1_000_000
REMARKS: dict[str, Any] = {
    "notices": [
        Notice("prompt_truncated", "the server read only 2 of about 6 tokens", {"read": 2})
    ],
    "details": {"finish_reason": "eos_token"},
    "answered_by": "Provider One",
    "cost": Cost(0.00123, estimated=True),
}
EVIL = '<script>alert(1)</script><img src="http://evil.example/x" onerror=alert(1)>\'"&'


async def exported(kept: Shelf, name: str) -> dict[str, Any]:
    """Return an export."""
    data: dict[str, Any] = json.loads(export_json(await kept.load(name), "0.1.0"))
    return data


async def taken(kept: Shelf, data: Any, owner: str = "me") -> Conversation:
    """Import, and return the conversation."""
    summary = await kept.archive.take_in(owner, json.dumps(data).encode())
    return await kept.load(summary.id, owner=owner)


@pytest.fixture
async def name(kept: Shelf) -> str:
    """Return a conversation with a branch, tokens and a vote."""
    columns = [Column("a", "m", {"temperature": 0.5}, "Be brief.", "Left")]
    name = await kept.begin(title="All of it", columns=columns, view={"leaf": "t2"})
    log = await kept.ask(name, "Why?", keeps_tokens=True)
    write(log, "Because of that", ends=True, completion_tokens=3, **REMARKS)
    await kept.told(name, "And?", "Or not", turn="t2", parent="t1")
    await kept.told(name, EVIL, EVIL, turn="t2b", parent="t1")
    answers = [answer.id for answer in (await kept.load(name)).answers]
    vote = VoteGiven("better", answers[:1], answers[:1], blind=True)
    await kept.archive.vote("me", name, "t1", vote)
    return name


async def test_what_is_exported_and_imported_is_equal(kept: Shelf, name: str) -> None:
    data = await exported(kept, name)
    kept.now[0] += 5
    before, after = await kept.load(name), await taken(kept, data, owner="somebody else")
    assert after.id != before.id
    assert after.updated == kept.now[0]
    assert msgspec.structs.replace(after, id=before.id, updated=before.updated) == before
    assert before.turns[0].vote is not None
    assert before.answers[0].tokens
    assert before.answers[0].notices == REMARKS["notices"]
    assert before.answers[0].details == REMARKS["details"]
    assert before.answers[0].answered_by == REMARKS["answered_by"]
    assert before.answers[0].cost == REMARKS["cost"]
    assert before.messages


async def test_an_export_says_all_that_it_takes_to_ask_again(kept: Shelf, name: str) -> None:
    data = await exported(kept, name)
    assert (data["format"], data["version"]) == ("sidestream-conversation", 1)
    conversation = data["conversation"]
    for answer in conversation["answers"]:
        assert answer["parameters"] == {"seed": 1}
        assert answer["engine"]["revision"] == "abc"
        assert answer["timings"]["total_ms"] == 3.0
        assert answer["model"] == "m"
    asked = [conversation["messages"][n] for n in conversation["answers"][1]["asked"]]
    assert asked == [{"role": "user", "content": "And?"}]


async def test_what_was_imported_can_be_found_and_gone_on_with(kept: Shelf, name: str) -> None:
    copy = await taken(kept, await exported(kept, name))
    await kept.archive.delete("me", name, forever=True)
    listing = await kept.archive.browse("me", words="because", deleted=False, before="", limit=9)
    assert [summary.id for summary in listing.conversations] == [copy.id]
    await kept.told(copy.id, "Once more?", "Yes", turn="t3", parent="t2")
    assert len((await kept.load(copy.id)).turns) == 4


async def test_what_was_under_way_when_it_was_exported_comes_back_interrupted(
    kept: Shelf,
) -> None:
    name = await kept.begin()
    log = await kept.ask(name)
    write(log, "half of")
    (answer,) = (await taken(kept, await exported(kept, name))).answers
    assert (answer.state, answer.finish_reason, answer.text) == ("ended", "interrupted", "half of ")
    write(log, "", ends=True)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("version", 2, "$.version"),
        ("format", "chat", "$.format"),
        ("conversation", None, "$.conversation"),
        ("conversation.title", "x" * 301, "$.conversation.title"),
        ("conversation.created", -1, "$.conversation.created"),
        ("conversation.created", 1e300, "$.conversation.created"),
        ("conversation.view", {"x": "y" * 70_000}, "`view`"),
        ("conversation.columns.0.id", "a b", "$.conversation.columns[0].id"),
        ("conversation.turns.1.parent", "t2b", "$.conversation.turns[1].parent"),
        ("conversation.turns.1.parent", "t2", "$.conversation.turns[1].parent"),
        ("conversation.turns.1.id", "t1", "$.conversation.turns[1].id"),
        ("conversation.turns.1.history", "a_none", "$.conversation.turns[1].history"),
        ("conversation.turns.0.text", 7, "$.conversation.turns[0].text"),
        ("conversation.turns.0.vote.winners", ["a_none"], "turns[0].vote.winners[0]"),
        ("conversation.turns.0.vote.verdict", "tie", "turns[0].vote.winners"),
        ("conversation.answers.1.turn", "t9", "$.conversation.answers[1].turn"),
        ("conversation.answers.0.continues", "a_none", "answers[0].continues"),
        ("conversation.answers.0.asked", [9], "$.conversation.answers[0].asked[0]"),
        ("conversation.answers.0.asked", [-1], "$.conversation.answers[0].asked[0]"),
        (
            "conversation.answers.0.usage.completion_tokens",
            2**63,
            "$.conversation.answers[0].usage.completion_tokens",
        ),
        (
            "conversation.answers.0.usage.prompt_tokens",
            -5,
            "$.conversation.answers[0].usage.prompt_tokens",
        ),
        ("conversation.answers.0.cost.amount", -1, "$.conversation.answers[0].cost.amount"),
        ("conversation.answers.0.cost.amount", 1e300, "$.conversation.answers[0].cost.amount"),
        ("conversation.answers.0.notices", {}, "$.conversation.answers[0].notices"),
        ("conversation.answers.0.notices", [{"code": "x"}], "answers[0].notices[0]"),
        ("conversation.answers.0.answered_by", None, "$.conversation.answers[0].answered_by"),
        ("conversation.answers.0.state", "odd", "$.conversation.answers[0].state"),
        ("conversation.answers.0.parameters", [], "$.conversation.answers[0].parameters"),
        ("conversation.messages.0.role", "root", "$.conversation.messages[0].role"),
    ],
)
async def test_a_wrong_field_is_refused_with_its_place(
    kept: Shelf, name: str, place: str, value: Any, told: str
) -> None:
    data = await exported(kept, name)
    *path, last = place.split(".")
    target: Any = data
    for step in path:
        target = target[int(step)] if isinstance(target, list) else target[step]
    target[last] = value
    with pytest.raises(InvalidCommand, match=re.escape(told)):
        await taken(kept, data)
    listing = await kept.archive.browse("me", words="", deleted=False, before="", limit=9)
    assert len(listing.conversations) == 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b'{"format": "\\ud800"}', b"1e999"]
)
async def test_what_is_no_export_is_refused(kept: Shelf, body: bytes) -> None:
    with pytest.raises(InvalidCommand):
        await kept.archive.take_in("me", body)


async def test_an_editors_mark_at_the_beginning_is_no_harm(kept: Shelf, name: str) -> None:
    body = codecs.BOM_UTF8 + json.dumps(await exported(kept, name)).encode()
    summary = await kept.archive.take_in("me", body)
    assert (await kept.load(summary.id)).answers


async def test_an_answer_that_goes_on_from_itself_is_refused(kept: Shelf, name: str) -> None:
    data = await exported(kept, name)
    answer = data["conversation"]["answers"][0]
    answer["continues"] = answer["id"]
    with pytest.raises(InvalidCommand, match="earlier answer"):
        await taken(kept, data)


async def test_answers_that_go_on_from_each_other_do_not_grow_beyond_measure(
    kept: Shelf, name: str
) -> None:
    """Two thousand of a hundred characters are 200 MB when each is written out whole."""
    data = await exported(kept, name)
    (first, *_) = data["conversation"]["answers"]
    data["conversation"]["answers"] += [
        {**first, "id": f"n{n}", "text": "x" * 100, "continues": f"n{n - 1}" if n else first["id"]}
        for n in range(200)
    ]
    copy = await taken(kept, data)
    assert ("Because of that " + "x" * 20_000).encode() in export_markdown(copy, 3_000_000)
    for write_out in (export_markdown, export_html):
        with pytest.raises(ConversationLimit, match="written out"):
            write_out(copy, MOST)


@pytest.mark.parametrize("what", ["turns", "answers", "messages"])
async def test_an_import_of_more_parts_than_anybody_asks_is_refused(
    kept: Shelf, name: str, what: str
) -> None:
    data = await exported(kept, name)
    part = data["conversation"][what][0]
    data["conversation"][what] += [{**part, "id": f"n{n}"} for n in range(20_000)]
    with pytest.raises(InvalidCommand, match=re.escape(f"at `$.conversation.{what}`")):
        await taken(kept, data)


async def test_an_import_larger_than_a_conversation_may_be_is_refused(file: Path) -> None:
    async with shelf(file, conversation_chars=5000) as kept:
        name = await kept.begin()
        await kept.told(name, "Why?", "word " * 100)
        data = await exported(kept, name)
        data["conversation"]["turns"][0]["text"] = "x" * 5000
        with pytest.raises(ConversationLimit):
            await taken(kept, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(draw=st.data())
async def test_an_export_that_somebody_changed_is_taken_or_refused(
    kept: Shelf, name: str, draw: st.DataObject
) -> None:
    """Whatever comes in can be read, exported and imported again."""
    data = await exported(kept, name)
    for _ in range(draw.draw(st.integers(1, 3))):
        target: Any = data
        while True:
            keys = list(range(len(target)) if isinstance(target, list) else target)
            if not keys:
                break
            key = draw.draw(st.sampled_from(keys))
            inner = target[key]
            if not isinstance(inner, (dict, list)) or draw.draw(st.booleans()):
                target[key] = draw.draw(JSON | st.just(inner))
                break
            target = inner
    try:
        copy = await taken(kept, data)
    except (InvalidCommand, ConversationLimit):
        return
    export_html(copy, MOST)
    export_markdown(copy, MOST)
    again = await taken(kept, json.loads(export_json(copy, "")))
    assert again.answers == copy.answers
    assert again.turns == copy.turns
    for conversation in (copy, again):
        await kept.archive.delete("me", conversation.id, forever=True)


async def test_the_page_runs_nothing_and_asks_nobody(kept: Shelf, name: str) -> None:
    page = export_html(await kept.load(name), MOST).decode()
    assert "<script" not in page
    assert "onerror=alert(1)&gt;" in page
    assert not re.search(r"<[^>]+\s(?:on\w+|src|href|style)=", page)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert page.index("Because of that") < page.index("And?") < page.index("&lt;script&gt;")
    assert "branch 2" in page
    assert "voted better" in page


async def test_the_markdown_has_prompts_answers_and_figures(kept: Shelf, name: str) -> None:
    text = export_markdown(await kept.load(name), MOST).decode()
    assert text.startswith("# All of it\n")
    assert "> Why?\n\n### m\n\nBecause of that" in text
    assert "seed 1" in text
    assert "; 3 tokens" in text
    assert "; about $0.0012; answered by Provider One" in text
    assert "; the server read only 2 of about 6 tokens*" in text
    assert "; about 2 tokens" in text, "where the server did not count"


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0, "$0.00"), (1e-9, "less than $0.000001"), (0.0000123, "$0.000012"), (3.456, "$3.46")],
)
async def test_what_an_answer_cost_is_told_from_nothing(
    kept: Shelf, amount: float, words: str
) -> None:
    name = await kept.begin()
    write(await kept.ask(name), "Yes", ends=True, cost=Cost(amount))
    assert f"; {words};" in export_markdown(await kept.load(name), MOST).decode()


async def test_an_export_of_before_there_were_remarks_is_taken(kept: Shelf, name: str) -> None:
    data = await exported(kept, name)
    for answer in data["conversation"]["answers"]:
        for word in REMARKS:
            del answer[word]
    (first, *_) = (await taken(kept, data)).answers
    assert (first.notices, first.details, first.answered_by, first.cost) == ([], {}, "", None)


async def test_a_very_long_conversation_can_be_exported(kept: Shelf) -> None:
    name = await kept.begin()
    data = await exported(kept, name)
    turns = [
        {"id": f"t{n}", "parent": f"t{n - 1}" if n else None, "text": "?", "created": 1}
        for n in range(3000)
    ]
    data["conversation"]["turns"] = turns
    copy = await taken(kept, data)
    assert export_html(copy, MOST).count(b"<section>") == 3000
