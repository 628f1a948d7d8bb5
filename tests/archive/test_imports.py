"""Files of other tools: taken over whole, with what is left out counted, or refused in words."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.archive.exports import export_json
from server.archive.refusals import in_words, place_in_words
from server.archive.shapes import Conversation, ImportResult, StoredAnswer
from server.core.errors import ConversationLimit, InvalidCommand, SidestreamError
from tests.support.stored_conversations import StoredConversations, stored_conversations

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings" / "exports"


def export_of(tool: str) -> Any:
    """Return an export of another tool."""
    return json.loads((RECORDINGS / f"{tool}.json").read_text())


async def imported(
    stored: StoredConversations, data: Any
) -> tuple[ImportResult, list[Conversation]]:
    """Import, and return what is told and what is stored, the newest first."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    result = await stored.archive.import_export("me", body)
    return result, [await stored.load(one) for one in result.ids]


async def refused(stored: StoredConversations, data: Any) -> SidestreamError:
    """Return why a file is not imported; nothing of it is."""
    with pytest.raises(SidestreamError) as told:
        await imported(stored, data)
    assert (await stored.archive.browse("me")).conversations == []
    assert (await stored.archive.browse("me", deleted=True)).conversations == []
    return told.value


def texts(conversation: Conversation, turn: str) -> list[tuple[str | None, str]]:
    """Return the column and the text of a turn's answers."""
    return [(one.column, one.text) for one in conversation.answers if one.turn == turn]


async def test_chatgpts_tree_becomes_turns_with_branches(stored: StoredConversations) -> None:
    result, (tea, old) = await imported(stored, export_of("chatgpt"))
    assert (result.source, result.imported, result.title) == ("chatgpt", 2, "Tea")
    assert {one.kind: one.count for one in result.left_out} == {
        "pictures": 1,
        "files": 1,
        "tools": 2,
        "empty": 1,
    }
    assert [one.words for one in result.left_out][:2] == [
        "1 picture that the export only names",
        "1 file that the export only names",
    ]
    assert [(turn.id, turn.parent, turn.text) for turn in tea.turns] == [
        ("t1", None, "How long does tea steep?"),
        ("t2", "t1", "And green tea?"),
        ("t3", "t1", "And this one?"),
    ]
    assert [(column.id, column.model) for column in tea.columns] == [("gpt-x", "gpt-x")]
    assert texts(tea, "t1") == [("gpt-x", "Two minutes."), ("gpt-x", "Three minutes.")]
    by_text = {one.text: one for one in tea.answers}
    assert by_text["Two minutes."].model == "gpt-mini"
    assert tea.turns[1].history == tea.turns[2].history == by_text["Three minutes."].id
    assert by_text["Two."].finish_reason == "length"
    last = by_text["**Five** minutes, says the table."]
    assert (last.turn, last.reasoning) == ("t3", "**Looking**\n\nIt is a leaf.\n\nPerhaps oolong.")
    assert tea.view == {"leaf": "t3"}
    assert (tea.created, tea.updated, tea.pinned) == (1700000000.1, 1700000100.2, True)
    assert (old.title, [turn.text for turn in old.turns]) == ("Bonjour", ["Bonjour"])
    assert texts(old, "t1") == [("unknown", "Salut !")]


async def test_open_webuis_models_are_columns(stored: StoredConversations) -> None:
    result, (chat, flat) = await imported(stored, export_of("open_webui"))
    assert (result.source, result.imported) == ("open_webui", 2)
    assert {one.kind: one.count for one in result.left_out} == {
        "pictures": 1,
        "files": 1,
        "tools": 1,
    }
    assert [(column.id, column.model, column.system) for column in chat.columns] == [
        ("llama3_2_3b", "llama3.2:3b", "Be brief."),
        ("qwen_4b", "qwen:4b", "Be brief."),
        ("llama3_2_3b_2", "llama3.2:3b", "Be brief."),
    ]
    assert texts(chat, "t1") == [
        ("llama3_2_3b", "A dot."),
        ("llama3_2_3b", "A small dot."),
        ("qwen_4b", "One pixel."),
    ]
    by_text = {one.text: one for one in chat.answers}
    assert by_text["One pixel."].reasoning == "It & a pixel.\nOr two."
    assert chat.turns[1].history == by_text["One pixel."].id
    assert (by_text[""].finish_reason, by_text[""].error and by_text[""].error.message) == (
        "failed",
        "Out of memory",
    )
    assert by_text["White"].finish_reason == "interrupted"
    assert texts(chat, "t2")[-1] == ("qwen_4b", "Grey.")
    (picture,) = chat.attachments
    assert (picture.name, picture.width, picture.media_type) == ("dot.png", 1, "image/png")
    assert [part.attachment for part in chat.turns[0].attachments] == [picture.id]
    assert (chat.pinned, chat.tags) == (True, ["pictures"])
    assert [(turn.text, turn.parent) for turn in flat.turns] == [("Hi", None)]
    assert texts(flat, "t1") == [("m", "Hello")]


@pytest.mark.parametrize("tool", ["chatgpt", "open_webui"])
async def test_imported_chats_can_be_found_exported_and_continued(
    stored: StoredConversations, tool: str
) -> None:
    """It is found, exported and imported again, and gone on with."""
    _, (first, *_) = await imported(stored, export_of(tool))
    word = {"chatgpt": "oolong", "open_webui": "pixel"}[tool]
    found = await stored.archive.browse("me", words=word, with_reasoning=True)
    assert [one.id for one in found.conversations] == [first.id]
    again, (copy,) = await imported(stored, export_json(first, "0"))
    assert again.source == "sidestream"
    for conversation in (first, copy):
        column = conversation.columns[0].id
        await stored.told(conversation.id, "And?", "Well.", turn="new", parent="t1", column=column)
    assert [one.text for one in copy.answers] == [one.text for one in first.answers]
    assert copy.turns == first.turns


async def test_a_list_of_our_own_exports_is_imported(stored: StoredConversations) -> None:
    for title in ("One", "Two"):
        await stored.told(await stored.begin(title=title), "Why?", "Because.")
        stored.now[0] += 1
    ids = [one.id for one in (await stored.archive.browse("me")).conversations]
    body = b"[" + b",".join([export_json(await stored.load(one), "0") for one in ids]) + b"]"
    await stored.archive.delete("me", ids[0], forever=True)
    result, conversations = await imported(stored, body)
    assert [one.title for one in conversations] == ["Two", "One"]
    assert (result.source, result.imported, result.left_out) == ("sidestream", 2, [])


async def test_a_list_keeps_its_times_and_a_single_chat_is_the_newest(
    stored: StoredConversations,
) -> None:
    stored.now[0] = 1_800_000_000.0
    data = export_of("chatgpt")
    _, (tea, old) = await imported(stored, data)
    assert (tea.updated, old.updated) == (1700000100.2, 0.0)
    _, (tea,) = await imported(stored, data[:1])
    assert tea.updated == 1_800_000_000.0
    _, (tea,) = await imported(stored, data[0])
    assert tea.title == "Tea"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the file is empty"),
        (b"  \n", "the file is empty"),
        (b"PK\x03\x04zip", "a ZIP archive: unpack it"),
        (b"<!doctype html><p>", "a page"),
        (b"%PDF-1.7", "a PDF"),
        (b"\xff\xfe[\x00", "UTF-16"),
        (b"# A chat\n\nHello", "does not begin with `{` or `[`"),
        (b'[{"title": "Tea",\n"mapping": {', "the file is not complete: it breaks off in line 2"),
        (b'[\n{"title": "Tea" "x"}]', "broken in line 2, column 17, near"),
        (b'{"mapping": {"\xff": {}}}', "not JSON"),
        (b"[]", "an empty list"),
        (b"[1, 2]", "it is a list of 2, the first of which is no object"),
        (b'{"a": 1, "b": 2}', "it is an object with the fields `a`, `b`"),
        (b'[{"messages": []}]', "the first of which is an object with the field `messages`"),
        (b"{}", "an object without fields"),
        (b"[" * 100_000, "nested too deeply"),
        (b'[{"mapping": {}, "title": "x"}]', "there are no messages in this file"),
    ],
)
async def test_files_that_are_no_export_are_refused_with_the_reason(
    stored: StoredConversations, body: bytes, told: str
) -> None:
    error = await refused(stored, body)
    assert isinstance(error, InvalidCommand)
    assert told in error.message, error.message


@pytest.mark.parametrize(
    ("tool", "place", "value", "told"),
    [
        (
            "chatgpt",
            "2.mapping.q.message.author",
            {},
            "this export of ChatGPT cannot be imported, in conversation 3: `role` of `author`",
        ),
        (
            "chatgpt",
            "0.mapping",
            [],
            "in conversation 1: `mapping` has to be an object, and is a list - at `$[0].mapping`",
        ),
        ("chatgpt", "0.mapping.root.parent", "a2", "the message 'root' comes before itself"),
        (
            "open_webui",
            "1.chat.messages.0.role",
            7,
            "this export of Open WebUI cannot be imported, in conversation 2: "
            "`role` of message 1 of `chat` has to be text, and is a whole number",
        ),
        ("open_webui", "0.chat", None, "`chat` has to be an object, and is null"),
    ],
)
async def test_a_wrong_field_is_told_in_words_and_nothing_is_imported(
    stored: StoredConversations, tool: str, place: str, value: Any, told: str
) -> None:
    data = export_of(tool)
    *path, last = place.split(".")
    target = data
    for step in path:
        target = target[int(step)] if isinstance(target, list) else target[step]
    target[last] = value
    assert told in (await refused(stored, data)).message


def test_validation_errors_of_msgspec_are_put_in_plain_words() -> None:
    for message, words in (
        (
            "Expected `str`, got `int` - at `$.conversation.turns[2].text`",
            "`text` of turn 3 has to be text, and is a whole number"
            " - at `$.conversation.turns[2].text`",
        ),
        (
            "Object missing required field `model` - at `$.answers[0]`",
            "`model` of answer 1 is missing - at `$.answers[0]`",
        ),
        (
            "Expected `float | null`, got `str`",
            "the file has to be a number or null, and is text - at `$`",
        ),
        (
            "Expected `str` of length <= 300 - at `$.title`",
            "`title` has more than 300 characters - at `$.title`",
        ),
        ("Expected `float` >= 0.0 - at `$.created`", "`created` is less than 0 - at `$.created`"),
        ("Something new - at `$.a`", "`a`: Something new - at `$.a`"),
    ):
        assert in_words(message) == words
    assert place_in_words("$[...]") == "the file"
    assert place_in_words("$.tool_calls[0].name") == "`name` of tool call 1"


async def test_half_a_character_is_no_harm(stored: StoredConversations) -> None:
    """Other tools cut texts between the two halves of a character."""
    body = json.dumps(export_of("chatgpt")[2:]).replace("Salut !", "Salut \\ud83d, \\\\ud83d 😀")
    _, (old,) = await imported(stored, body.encode())
    assert old.answers[0].text == "Salut \ufffd, \\ud83d 😀"


async def test_more_than_there_is_room_for_is_refused_whole(file: Path) -> None:
    async with stored_conversations(file, conversations=1) as stored:
        assert isinstance(await refused(stored, export_of("chatgpt")), ConversationLimit)
    async with stored_conversations(file, conversation_chars=1_000) as stored:
        data = export_of("chatgpt")
        data[2]["mapping"]["q"]["message"]["content"]["parts"] = ["x" * 2_000]
        error = await refused(stored, data)
        assert "in conversation 3: a conversation may have 1000 characters" in error.message


async def test_a_disk_that_gets_full_in_the_middle_leaves_nothing(file: Path) -> None:
    async with stored_conversations(file, file_bytes=8 << 20) as stored:
        (chat,) = export_of("chatgpt")[2:]
        chat["mapping"]["b"]["message"]["content"]["parts"] = ["word " * 100_000]
        error = await refused(stored, [chat] * 20)
        assert error.code == "storage_failed"
        assert stored.rows("SELECT count(*) FROM conversation") == [(0,)]


async def test_answers_are_stored_while_a_large_file_is_imported(
    stored: StoredConversations,
) -> None:
    """It is written in parts: a crash would cost no answer more than its last moments."""
    (chat,) = export_of("chatgpt")[2:]
    chat["mapping"]["b"]["message"]["content"]["parts"] = ["word " * 100_000]
    name = await stored.begin()
    importing = asyncio.create_task(imported(stored, [chat] * 20))
    stored_at = 0
    while not importing.done():
        await stored.told(name, "Why?", "Because.", turn=f"t{stored_at}")
        stored_at += 1
    result, _ = await importing
    assert (result.imported, stored_at > 1) == (20, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("tool", ["chatgpt", "open_webui"])
@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(draw=st.data())
async def test_an_export_that_somebody_changed_is_taken_or_refused(
    stored: StoredConversations, tool: str, draw: st.DataObject
) -> None:
    """Whatever comes in can be exported and imported again."""
    data = export_of(tool)
    for _ in range(draw.draw(st.integers(1, 3))):
        target: Any = data
        while isinstance(target, (dict, list)) and target:
            keys = list(range(len(target)) if isinstance(target, list) else target)
            key = draw.draw(st.sampled_from(keys))
            inner = target[key]
            if not isinstance(inner, (dict, list)) or draw.draw(st.booleans()):
                target[key] = draw.draw(JSON | st.just(inner))
                break
            target = inner
    conversations: list[Conversation] = []
    refusal = ""
    try:
        _, conversations = await imported(stored, data)
    except (InvalidCommand, ConversationLimit) as error:
        refusal = error.message
    assert not re.search(r"Expected `|got `", refusal), refusal
    for conversation in conversations:
        _, (copy,) = await imported(stored, export_json(conversation, ""))
        assert copy.turns == conversation.turns
        assert [_said(one) for one in copy.answers] == [_said(one) for one in conversation.answers]
        for one in (copy, conversation):
            await stored.archive.delete("me", one.id, forever=True)


def _said(answer: StoredAnswer) -> tuple[str, str, str | None]:
    return answer.turn, answer.text, answer.column
