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
from server.archive.shapes import Asked, AskedCall, Column, Conversation, StoredCall, VoteGiven
from server.core.errors import ConversationLimit, InvalidCommand
from server.core.protocol import Cost, Notice, ToolCall
from tests.support.stored_conversations import (
    StoredConversations,
    call,
    stored_conversations,
    think,
    write,
)

MOST = 1_000_000
REMARKS: dict[str, Any] = {
    "notices": [
        Notice("prompt_truncated", "the server read only 2 of about 6 tokens", {"read": 2})
    ],
    "details": {"finish_reason": "eos_token"},
    "answered_by": "Provider One",
    "cost": Cost(0.00123, estimated=True),
}
THOUGHT = "Well, ```code </details> it seems"
ARGUMENTS = '{"mark": "```"}'
CALL = {"index": 0, "id": "", "name": "look", "arguments": ""}
EVIL = '<script>alert(1)</script><img src="http://evil.example/x" onerror=alert(1)>\'"&'


async def exported(stored: StoredConversations, name: str) -> dict[str, Any]:
    """Return an export."""
    data: dict[str, Any] = json.loads(export_json(await stored.load(name), "0.1.0"))
    return data


async def taken(stored: StoredConversations, data: Any, owner: str = "me") -> Conversation:
    """Import, and return the conversation."""
    summary = await stored.archive.import_export(owner, json.dumps(data).encode())
    return await stored.load(summary.id, owner=owner)


@pytest.fixture
async def name(stored: StoredConversations) -> str:
    """Return a conversation with a branch, tokens and a vote."""
    columns = [Column("a", "m", {"temperature": 0.5}, "Be brief.", "Left")]
    name = await stored.begin(title="All of it", columns=columns, view={"leaf": "t2"})
    log = await stored.ask(name, "Why?", keeps_tokens=True)
    think(log, THOUGHT)
    call(log, ToolCall(0, "look", "call_1"), ARGUMENTS)
    write(log, "Because of that", ends=True, completion_tokens=3, **REMARKS)
    await stored.told(name, "And?", "Or not", turn="t2", parent="t1")
    await stored.told(name, EVIL, EVIL, turn="t2b", parent="t1")
    answers = [answer.id for answer in (await stored.load(name)).answers]
    vote = VoteGiven("better", answers[:1], answers[:1], blind=True)
    await stored.archive.votes.give("me", name, "t1", vote)
    return name


async def test_conversations_survive_export_and_import_unchanged(
    stored: StoredConversations, name: str
) -> None:
    data = await exported(stored, name)
    stored.now[0] += 5
    before, after = await stored.load(name), await taken(stored, data, owner="somebody else")
    assert after.id != before.id
    assert after.updated == stored.now[0]
    (vote,) = after.votes
    own = {"id": before.votes[0].id, "voter": "me", "conversation": before.id}
    same = [msgspec.structs.replace(vote, **own)]
    assert (
        msgspec.structs.replace(after, id=before.id, updated=before.updated, votes=same) == before
    )
    assert before.turns[0].vote is not None
    assert before.answers[0].tokens
    assert before.answers[0].notices == REMARKS["notices"]
    assert before.answers[0].details == REMARKS["details"]
    assert before.answers[0].answered_by == REMARKS["answered_by"]
    assert before.answers[0].cost == REMARKS["cost"]
    assert before.answers[0].reasoning == THOUGHT + " "
    assert before.answers[0].tool_calls == [StoredCall(0, "call_1", "look", ARGUMENTS)]
    assert before.messages


async def test_an_export_says_all_that_it_takes_to_ask_again(
    stored: StoredConversations, name: str
) -> None:
    data = await exported(stored, name)
    assert (data["format"], data["version"]) == ("sidestream-conversation", 2)
    conversation = data["conversation"]
    for answer in conversation["answers"]:
        assert answer["parameters"] == {"seed": 1}
        assert answer["engine"]["revision"] == "abc"
        assert answer["timings"]["total_ms"] == 3.0
        assert answer["model"] == "m"
    asked = [conversation["messages"][n] for n in conversation["answers"][1]["asked"]]
    assert asked == [{"role": "user", "content": "And?"}]


async def test_tool_calls_and_their_results_are_exported_and_imported(
    stored: StoredConversations,
) -> None:
    look, again = AskedCall("call_1", "look", "{}"), AskedCall("call_2", "look", "{}")
    asked = [
        Asked("user", "Is it raining?"),
        Asked("assistant", "", [look, again]),
        Asked("tool", "yes", tool_call_id="call_1"),
        Asked("tool", "yes", tool_call_id="call_2"),
    ]
    name = await stored.begin()
    write(await stored.ask(name, asked=asked), "It is.", ends=True)
    before = await stored.load(name)
    after = await taken(stored, await exported(stored, name))
    for conversation in (before, after):
        (answer,) = conversation.answers
        assert [conversation.messages[place] for place in answer.asked] == asked
        assert conversation.turns[0].text == "yes"
    assert {"role": "tool", "content": "yes", "tool_call_id": "call_2"} in (
        await exported(stored, name)
    )["conversation"]["messages"]
    sizes = stored.rows("SELECT size FROM conversation ORDER BY number")
    assert len({size for (size,) in sizes}) == 1, "an import is as large as what it was"


async def test_imported_conversations_can_be_found_and_continued(
    stored: StoredConversations, name: str
) -> None:
    copy = await taken(stored, await exported(stored, name))
    await stored.archive.delete("me", name, forever=True)
    listing = await stored.archive.browse("me", words="because", deleted=False, before="", limit=9)
    assert [summary.id for summary in listing.conversations] == [copy.id]
    await stored.told(copy.id, "Once more?", "Yes", turn="t3", parent="t2")
    assert len((await stored.load(copy.id)).turns) == 4


async def test_answers_exported_while_running_are_imported_as_interrupted(
    stored: StoredConversations,
) -> None:
    name = await stored.begin()
    log = await stored.ask(name)
    write(log, "half of")
    (answer,) = (await taken(stored, await exported(stored, name))).answers
    assert (answer.state, answer.finish_reason, answer.text) == ("ended", "interrupted", "half of ")
    write(log, "", ends=True)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("version", 3, "$.version"),
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
        (
            "conversation.answers.0.usage.context_tokens",
            2**63,
            "$.conversation.answers[0].usage.context_tokens",
        ),
        (
            "conversation.answers.0.usage.reasoning_tokens",
            -1,
            "$.conversation.answers[0].usage.reasoning_tokens",
        ),
        ("conversation.answers.0.reasoning", ["Hm"], "$.conversation.answers[0].reasoning"),
        ("conversation.answers.0.tool_calls", {}, "$.conversation.answers[0].tool_calls"),
        ("conversation.answers.0.tool_calls", [CALL] * 1001, "answers[0].tool_calls"),
        ("conversation.answers.0.tool_calls", [CALL, CALL], "tool_calls[1].index"),
        ("conversation.answers.0.tool_calls.0.index", -1, "tool_calls[0].index"),
        ("conversation.answers.0.tool_calls.0.index", 2**60, "tool_calls[0].index"),
        ("conversation.answers.0.tool_calls.0.index", "0", "tool_calls[0].index"),
        ("conversation.answers.0.tool_calls.0.name", None, "tool_calls[0].name"),
        ("conversation.answers.0.tool_calls.0.name", "x" * 2000, "tool_calls[0].name"),
        ("conversation.answers.0.tool_calls.0.id", "x" * 2000, "tool_calls[0].id"),
        ("conversation.answers.0.tool_calls.0.arguments", {}, "tool_calls[0].arguments"),
        ("conversation.answers.0.cost.amount", -1, "$.conversation.answers[0].cost.amount"),
        ("conversation.answers.0.cost.amount", 1e300, "$.conversation.answers[0].cost.amount"),
        ("conversation.answers.0.notices", {}, "$.conversation.answers[0].notices"),
        ("conversation.answers.0.notices", [{"code": "x"}], "answers[0].notices[0]"),
        ("conversation.answers.0.answered_by", None, "$.conversation.answers[0].answered_by"),
        ("conversation.answers.0.state", "odd", "$.conversation.answers[0].state"),
        ("conversation.answers.0.parameters", [], "$.conversation.answers[0].parameters"),
        ("conversation.messages.0.role", "root", "$.conversation.messages[0].role"),
        ("conversation.messages.0.tool_calls", [{}], "$.conversation.messages[0].tool_calls[0]"),
        ("conversation.messages.0.role", "tool", "at `$.conversation.messages[0]`"),
        ("conversation.messages.0.tool_call_id", "c1", "at `$.conversation.messages[0]`"),
        ("conversation.messages.0.tool_call_id", 7, "$.conversation.messages[0].tool_call_id"),
    ],
)
async def test_a_wrong_field_is_refused_with_its_place(
    stored: StoredConversations, name: str, place: str, value: Any, told: str
) -> None:
    data = await exported(stored, name)
    *path, last = place.split(".")
    target: Any = data
    for step in path:
        target = target[int(step)] if isinstance(target, list) else target[step]
    target[last] = value
    with pytest.raises(InvalidCommand, match=re.escape(told)):
        await taken(stored, data)
    listing = await stored.archive.browse("me", words="", deleted=False, before="", limit=9)
    assert len(listing.conversations) == 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b'{"format": "\\ud800"}', b"1e999"]
)
async def test_malformed_exports_are_refused(stored: StoredConversations, body: bytes) -> None:
    with pytest.raises(InvalidCommand):
        await stored.archive.import_export("me", body)


async def test_half_of_a_character_is_told_as_such(stored: StoredConversations, name: str) -> None:
    data = await exported(stored, name)
    data["conversation"]["title"] = "a\ud800b"
    with pytest.raises(InvalidCommand, match="a text has half of a surrogate pair"):
        await stored.archive.import_export("me", json.dumps(data).encode())


async def test_an_editors_mark_at_the_beginning_is_no_harm(
    stored: StoredConversations, name: str
) -> None:
    body = codecs.BOM_UTF8 + json.dumps(await exported(stored, name)).encode()
    summary = await stored.archive.import_export("me", body)
    assert (await stored.load(summary.id)).answers


@pytest.mark.parametrize(
    ("part", "field", "answer", "parent"),
    [
        ("answers", "continues", 0, "t1"),
        ("turns", "history", 1, "t1"),
        ("turns", "history", 0, None),
    ],
)
async def test_an_answer_of_another_turn_is_refused(
    stored: StoredConversations, name: str, part: str, field: str, answer: int, parent: str | None
) -> None:
    """`continues` names an answer of the same turn, `history` one of the parent."""
    data = await exported(stored, name)
    conversation = data["conversation"]
    ids = [one["id"] for one in conversation["answers"]]
    conversation["turns"][1]["history"] = ids[0]
    assert (await taken(stored, data)).turns[1].history == ids[0]
    conversation["turns"][1]["parent"] = parent
    conversation[part][1][field] = ids[answer]
    with pytest.raises(InvalidCommand, match=re.escape(f"at `$.conversation.{part}[1].{field}`")):
        await taken(stored, data)


async def test_an_answer_that_goes_on_from_itself_is_refused(
    stored: StoredConversations, name: str
) -> None:
    data = await exported(stored, name)
    answer = data["conversation"]["answers"][0]
    answer["continues"] = answer["id"]
    with pytest.raises(InvalidCommand, match="earlier answer"):
        await taken(stored, data)


async def test_answers_that_go_on_from_each_other_do_not_grow_beyond_measure(
    stored: StoredConversations, name: str
) -> None:
    """Two thousand of a hundred characters are 200 MB when each is written out whole."""
    data = await exported(stored, name)
    (first, *_) = data["conversation"]["answers"]
    data["conversation"]["answers"] += [
        {**first, "id": f"n{n}", "text": "x" * 100, "continues": f"n{n - 1}" if n else first["id"]}
        for n in range(200)
    ]
    copy = await taken(stored, data)
    assert ("Because of that " + "x" * 20_000).encode() in export_markdown(copy, 3_000_000)
    for write_out in (export_markdown, export_html):
        with pytest.raises(ConversationLimit, match="written out"):
            write_out(copy, MOST)


@pytest.mark.parametrize("what", ["turns", "answers", "messages"])
async def test_an_import_of_more_parts_than_anybody_asks_is_refused(
    stored: StoredConversations, name: str, what: str
) -> None:
    data = await exported(stored, name)
    part = data["conversation"][what][0]
    data["conversation"][what] += [{**part, "id": f"n{n}"} for n in range(20_000)]
    with pytest.raises(InvalidCommand, match=re.escape(f"at `$.conversation.{what}`")):
        await taken(stored, data)


async def test_an_import_larger_than_a_conversation_may_be_is_refused(file: Path) -> None:
    async with stored_conversations(file, conversation_chars=5000) as stored:
        name = await stored.begin()
        await stored.told(name, "Why?", "word " * 100)
        data = await exported(stored, name)
        data["conversation"]["turns"][0]["text"] = "x" * 5000
        with pytest.raises(ConversationLimit):
            await taken(stored, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(draw=st.data())
async def test_an_export_that_somebody_changed_is_taken_or_refused(
    stored: StoredConversations, name: str, draw: st.DataObject
) -> None:
    """Whatever comes in can be read, exported and imported again."""
    data = await exported(stored, name)
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
        copy = await taken(stored, data)
    except (InvalidCommand, ConversationLimit):
        return
    export_html(copy, MOST)
    export_markdown(copy, MOST)
    again = await taken(stored, json.loads(export_json(copy, "")))
    assert again.answers == copy.answers
    assert again.turns == copy.turns
    for conversation in (copy, again):
        await stored.archive.delete("me", conversation.id, forever=True)


async def test_the_page_runs_nothing_and_asks_nobody(
    stored: StoredConversations, name: str
) -> None:
    page = export_html(await stored.load(name), MOST).decode()
    assert "<script" not in page
    assert "onerror=alert(1)&gt;" in page
    assert not re.search(r"<[^>]+\s(?:on\w+|src|style)=", page)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert "<summary>Thinking</summary>" in page
    assert page.index("```code &lt;/details&gt; it seems") < page.index("Because of that")
    assert "<code>look</code>" in page
    assert page.index("Because of that") < page.index("And?") < page.index("&lt;script&gt;")
    assert "branch 2" in page
    assert "voted better" in page


async def test_the_markdown_has_prompts_answers_and_figures(
    stored: StoredConversations, name: str
) -> None:
    text = export_markdown(await stored.load(name), MOST).decode()
    assert text.startswith("# All of it\n")
    assert "> Why?\n\n### m\n\n<details>" in text
    assert (
        "<details><summary>Thinking</summary>\n\n"
        "> Well, ```code &lt;/details> it seems\n\n</details>\n\nBecause of that \n\n"
        "Calls `look`\n\n````json\n" + ARGUMENTS + "\n````\n\n*stop" in text
    )
    assert text.count("<details>") == text.count("</details>") == 1
    assert "seed 1" in text
    assert "; 3 tokens" in text
    assert "; about $0.0012; answered by Provider One" in text
    assert "; the server read only 2 of about 6 tokens*" in text
    assert "; about 2 tokens" in text, "where the server did not count"


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0, "$0.00"), (1e-9, "less than $0.000001"), (0.0000123, "$0.000012"), (3.456, "$3.46")],
)
async def test_markdown_exports_tell_small_costs_from_zero(
    stored: StoredConversations, amount: float, words: str
) -> None:
    name = await stored.begin()
    write(await stored.ask(name), "Yes", ends=True, cost=Cost(amount))
    assert f"; {words};" in export_markdown(await stored.load(name), MOST).decode()


async def test_an_export_of_before_there_were_remarks_is_taken(
    stored: StoredConversations, name: str
) -> None:
    data = await exported(stored, name)
    for answer in data["conversation"]["answers"]:
        for word in REMARKS:
            del answer[word]
    (first, *_) = (await taken(stored, data)).answers
    assert (first.notices, first.details, first.answered_by, first.cost) == ([], {}, "", None)


async def test_an_export_of_before_thinking_was_told_apart_is_taken(
    stored: StoredConversations, name: str
) -> None:
    data = await exported(stored, name)
    data["version"] = 1
    for answer in data["conversation"]["answers"]:
        del answer["reasoning"], answer["tool_calls"]
        answer["text"] = "<think>Hm</think>So."
    (first, *_) = (await taken(stored, data)).answers
    assert (first.text, first.reasoning, first.tool_calls) == ("<think>Hm</think>So.", "", [])


async def test_an_import_is_searched_like_what_was_asked_here(
    stored: StoredConversations, name: str
) -> None:
    copy = await taken(stored, await exported(stored, name))
    await stored.archive.delete("me", name, forever=True)
    for with_reasoning, found in ((False, []), (True, [copy.id])):
        listing = await stored.archive.browse(
            "me", words="seems", with_reasoning=with_reasoning, deleted=False, before="", limit=9
        )
        assert [summary.id for summary in listing.conversations] == found


async def test_thinking_counts_for_the_size(file: Path) -> None:
    async with stored_conversations(file, conversation_chars=5000) as stored:
        name = await stored.begin()
        await stored.told(name, "Why?", "because", reasoning="well")
        data = await exported(stored, name)
        data["conversation"]["answers"][0]["reasoning"] = "x" * 5000
        with pytest.raises(ConversationLimit):
            await taken(stored, data)


async def test_a_very_long_conversation_can_be_exported(stored: StoredConversations) -> None:
    name = await stored.begin()
    data = await exported(stored, name)
    turns = [
        {"id": f"t{n}", "parent": f"t{n - 1}" if n else None, "text": "?", "created": 1}
        for n in range(3000)
    ]
    data["conversation"]["turns"] = turns
    copy = await taken(stored, data)
    assert export_html(copy, MOST).count(b"<section>") == 3000
