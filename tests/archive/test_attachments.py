"""Attachments: whose they are, how long they stay, and that they go with their conversation."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.archive import files
from server.archive.attachments import Attachments, AttachmentsInMemory
from server.archive.exports import export_html, export_json, export_markdown
from server.archive.shapes import Asked, Conversation
from server.archive.slots import StartedAnswer
from server.core.attachments import Attachment, examine
from server.core.errors import (
    AttachmentLimit,
    InvalidCommand,
    StorageFailed,
    UnknownAttachment,
)
from server.core.generation import Generation
from server.core.protocol import FilePart, ImagePart, Record, Target, TextPart
from tests.support.pictures import REAL, SVG, png
from tests.support.stored_conversations import (
    LIMITS,
    StoredConversations,
    stored_conversations,
    write,
)

SMALL = replace(LIMITS.attachments, owner_files=3, owner_bytes=2_000, unused_seconds=1_000)


class Kept:
    """A store, and the time of its clock."""

    def __init__(self, store: Attachments, now: list[float]) -> None:
        self.store, self.now = store, now

    async def put(self, data: bytes, owner: str = "me", name: str = "") -> str:
        found = examine(data, name, LIMITS.attachments)
        return (await self.store.put(owner, found, data)).id


@pytest.fixture(params=["stored", "in memory"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    if request.param == "in memory":
        now = [1_000.0]
        store = AttachmentsInMemory(SMALL, max_bytes=3_000, clock=lambda: now[0])
        yield Kept(store, now)
        return
    async with stored_conversations(tmp_path / "kept", attachments=SMALL) as opened:
        yield Kept(opened.archive.attachments, opened.now)


async def test_stored_attachments_can_be_found_and_read(kept: Kept) -> None:
    one, two = await kept.put(REAL["png"], name="a.png"), await kept.put(b"hello", name="b.txt")
    found = await kept.store.find("me", [two, one, two])
    assert {name: file.name for name, file in found.items()} == {one: "a.png", two: "b.txt"}
    assert (found[one].width, found[one].height, found[two].kind) == (23, 17, "text")
    assert await kept.store.read("me", one) == REAL["png"]


async def test_put_again_it_is_the_same_under_the_newer_name(kept: Kept) -> None:
    one = await kept.put(b"hello", name="a.txt")
    assert await kept.put(b"hello", name="b.txt") == one
    assert (await kept.store.find("me", [one]))[one].name == "b.txt"


async def test_somebody_elses_is_as_one_that_does_not_exist(kept: Kept) -> None:
    theirs = await kept.put(b"secret", owner="you")
    words = []
    for name in (theirs, "0" * 64):
        for asked in (kept.store.find("me", [name]), kept.store.read("me", name)):
            with pytest.raises(UnknownAttachment) as raised:
                await asked
            words.append(raised.value.message.replace(name, ""))
    assert len(set(words)) == 1
    mine = await kept.put(b"secret")
    assert mine == theirs
    assert await kept.store.read("you", theirs) == b"secret"


async def test_room_is_made_by_the_least_recently_used(kept: Kept) -> None:
    names = []
    for number in range(3):
        kept.now[0] += 70
        names.append(await kept.put(b"file %d" % number))
    kept.now[0] += 10
    await kept.store.find("me", [names[0]])
    kept.now[0] += 310
    await kept.put(b"file 3")
    with pytest.raises(UnknownAttachment):
        await kept.store.find("me", [names[1]])
    await kept.store.find("me", [names[0]])


async def test_room_is_not_made_by_one_that_was_used_just_now(kept: Kept) -> None:
    names = [await kept.put(b"file %d" % number) for number in range(3)]
    kept.now[0] += 290
    with pytest.raises(AttachmentLimit, match="used just now"):
        await kept.put(b"file 3")
    assert set(await kept.store.find("me", names)) == set(names)


async def test_attachments_over_the_quota_of_an_owner_are_refused(kept: Kept) -> None:
    with pytest.raises(AttachmentLimit, match="2,000 bytes"):
        await kept.put(b"x" * 2_001)


async def test_in_memory_all_owners_share_the_room() -> None:
    now = [0.0]
    store = AttachmentsInMemory(SMALL, max_bytes=3_000, clock=lambda: now[0])
    kept = Kept(store, now)
    first = await kept.put(b"a" * 1_900, owner="a")
    second = await kept.put(b"b" * 1_900, owner="b")
    await store.find("b", [second])
    with pytest.raises(UnknownAttachment):
        await store.find("a", [first])
    now[0] += SMALL.unused_seconds + 1
    with pytest.raises(UnknownAttachment):
        await store.find("b", [second])


# --- with conversations ---------------------------------------------------------------------------


async def asked_with(
    stored: StoredConversations, conversation: str, *parts: Any, turn: str = "t1"
) -> None:
    """Store an answer to a message of these parts."""
    slot = await stored.archive.find_slot(
        "me", Record(conversation, turn), [Target("m", column="a")]
    )
    generation = Generation("g1", "m", now_ms=0)
    messages = [Asked("system", "Be brief."), Asked("user", list(parts))]
    stored.archive.record(slot, [StartedAnswer(generation, {}, messages, [])])
    write(generation, "Red.", ends=True)
    await stored.archive.recorder.flush()


async def put(stored: StoredConversations, data: bytes, name: str = "") -> Attachment:
    found = examine(data, name, LIMITS.attachments)
    return await stored.archive.attachments.put("me", found, data)


async def is_there(stored: StoredConversations, attachment: Attachment) -> bool:
    await stored.archive.delete_expired()
    try:
        await stored.archive.attachments.find("me", [attachment.id])
    except UnknownAttachment:
        return False
    return True


def later(stored: StoredConversations, seconds: float = 1_000) -> None:
    stored.now[0] += seconds


async def test_a_conversation_has_its_attachments(stored: StoredConversations) -> None:
    picture, notes = await put(stored, REAL["png"], "a.png"), await put(stored, b"hi", "b.txt")
    name = await stored.begin()
    parts = [TextPart("See "), ImagePart(picture.id), FilePart(notes.id, "c.txt"), TextPart("?")]
    await asked_with(stored, name, *parts)
    whole = await stored.archive.load("me", name, is_full=True)
    assert whole.turns[0].text == "See ?"
    assert whole.turns[0].attachments == parts[1:3]
    assert whole.title == "See ?"
    assert [m.content for m in whole.messages] == ["Be brief.", parts]
    assert whole.answers[0].asked == [0, 1]
    assert [(one.id, one.name, one.data) for one in whole.attachments] == [
        (picture.id, "a.png", ""),
        (notes.id, "b.txt", ""),
    ]


async def test_kept_with_the_conversation_and_gone_with_it(stored: StoredConversations) -> None:
    kept, unused = await put(stored, REAL["png"]), await put(stored, png())
    name = await stored.begin()
    await asked_with(stored, name, ImagePart(kept.id))
    later(stored)
    assert await is_there(stored, kept)
    assert not await is_there(stored, unused)
    later(stored, 301)
    await stored.archive.delete("me", name, forever=True)
    assert stored.rows("SELECT id FROM attachment") == []


@pytest.mark.parametrize("use", ["put", "asked with"])
async def test_recently_used_attachments_outlive_their_conversation(
    stored: StoredConversations, use: str
) -> None:
    picture = await put(stored, REAL["png"])
    name = await stored.begin()
    await asked_with(stored, name, ImagePart(picture.id))
    later(stored)
    if use == "put":
        await put(stored, REAL["png"])
    else:
        await stored.archive.attachments.find("me", [picture.id])
    later(stored, 200)
    await stored.archive.delete("me", name, forever=True)
    await stored.archive.attachments.find("me", [picture.id])
    later(stored)
    assert not await is_there(stored, picture)


async def test_restored_with_the_conversation(stored: StoredConversations) -> None:
    kept = await put(stored, REAL["png"])
    name = await stored.begin()
    await asked_with(stored, name, ImagePart(kept.id))
    await stored.archive.delete("me", name, forever=False)
    later(stored, LIMITS.deleted_seconds - 1)
    assert await is_there(stored, kept)
    await stored.archive.restore("me", name)
    later(stored)
    assert await is_there(stored, kept)
    await stored.archive.delete("me", name, forever=False)
    later(stored)
    assert not await is_there(stored, kept)


async def test_an_attachment_of_two_conversations_is_kept_until_both_are_gone(
    stored: StoredConversations,
) -> None:
    kept = await put(stored, REAL["png"])
    names = [await stored.begin(), await stored.begin()]
    for name in names:
        await asked_with(stored, name, ImagePart(kept.id))
        await asked_with(stored, name, ImagePart(kept.id), turn="t2")
    await stored.archive.delete("me", names[0], forever=True)
    later(stored)
    assert await is_there(stored, kept)
    later(stored)
    await stored.archive.delete("me", names[1], forever=True)
    assert stored.rows("SELECT id FROM attachment") == []


async def test_attachments_of_conversations_are_not_evicted_to_make_room(file: Path) -> None:
    async with stored_conversations(file, attachments=replace(SMALL, owner_files=1)) as stored:
        kept = await put(stored, REAL["png"])
        name = await stored.begin()
        await asked_with(stored, name, ImagePart(kept.id))
        with pytest.raises(AttachmentLimit, match="conversations have them"):
            await put(stored, png())
        await stored.archive.delete("me", name, forever=True)
        later(stored, 310)
        await put(stored, png())


async def test_a_full_disk_takes_none_and_what_is_there_is_read(file: Path) -> None:
    async with stored_conversations(file) as opened:
        there = await put(opened, REAL["png"])
    size = file.stat().st_size
    async with stored_conversations(file, file_bytes=size) as full:
        with pytest.raises(StorageFailed, match="no room"):
            await put(full, b"x" * 60_000)
        later(full, 90)
        assert (await full.archive.attachments.find("me", [there.id]))[there.id] == there
        assert await full.archive.attachments.read("me", there.id) == REAL["png"]


# --- exports and imports --------------------------------------------------------------------------


@pytest.fixture
async def shown(stored: StoredConversations) -> str:
    """Return a conversation with a picture and a file."""
    picture, notes = await put(stored, REAL["png"], "a.png"), await put(stored, b"hi", "<b>.txt")
    name = await stored.begin()
    await asked_with(stored, name, TextPart("See"), ImagePart(picture.id), FilePart(notes.id))
    return name


async def whole(stored: StoredConversations, name: str) -> Conversation:
    return await stored.archive.load("me", name, is_full=True, with_files=True)


async def test_an_export_has_the_files_and_an_import_brings_them(
    stored: StoredConversations, shown: str, tmp_path: Path
) -> None:
    exported = export_json(await whole(stored, shown), "0")
    async with stored_conversations(tmp_path / "other") as other:
        summary = await other.archive.import_export("you", exported)
        there = await other.archive.load("you", summary.id, is_full=True, with_files=True)
        here = await whole(stored, shown)
        for field in ("attachments", "messages", "turns"):
            assert getattr(there, field) == getattr(here, field)
        picture = here.attachments[0].id
        assert await other.archive.attachments.read("you", picture) == REAL["png"]
        later(other)
        await other.archive.delete_expired()
        await other.archive.attachments.find("you", [picture])
        later(other)
        await other.archive.delete("you", summary.id, forever=True)
        with pytest.raises(UnknownAttachment):
            await other.archive.attachments.read("you", picture)


async def test_beyond_a_size_files_are_only_named(
    stored: StoredConversations, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_EXPORTED_BYTES", len(REAL["png"]))
    conversation = await whole(stored, shown)
    assert [bool(one.data) for one in conversation.attachments] == [True, False]
    summary = await stored.archive.import_export("you", export_json(conversation, "0"))
    there = await stored.archive.load("you", summary.id, is_full=True)
    assert [one.name for one in there.attachments] == ["a.png"]
    assert len(there.turns[0].attachments) == 2
    told = [(one.kind, one.words) for one in summary.left_out]
    assert told == [("files", "1 file that the export only names")]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"data": "%"}, "invalid_attachment", "not base64"),
        ({"data": "aGVsbG8="}, "invalid_command", "not the bytes of"),
        ({"data": base64.b64encode(SVG).decode()}, "unsupported_attachment", "SVG"),
        ({"data": base64.b64encode(png(2_000, 2_000)).decode()}, "too_large", "pixels"),
        ({"id": "x"}, "invalid_command", "$.conversation.attachments[0].id"),
    ],
    ids=range(5),
)
async def test_a_wrong_file_in_an_import_is_refused_and_nothing_is_stored(
    stored: StoredConversations, shown: str, change: dict[str, Any], error: str, words: str
) -> None:
    exported = json.loads(export_json(await whole(stored, shown), "0"))
    exported["conversation"]["attachments"][0] |= change
    with pytest.raises(InvalidCommand) as raised:
        await stored.archive.import_export("you", json.dumps(exported).encode())
    assert raised.value.code == error
    assert words in raised.value.message
    assert stored.rows("SELECT count(*) FROM attachment WHERE owner = 'you'") == [(0,)]


async def test_an_import_beyond_the_owners_room_leaves_nothing(file: Path) -> None:
    async with stored_conversations(file, attachments=replace(SMALL, owner_files=1)) as stored:
        kept = await put(stored, REAL["png"])
        name = await stored.begin()
        await asked_with(stored, name, ImagePart(kept.id))
        exported = json.loads(export_json(await whole(stored, name), "0"))
        data = png()
        more = examine(data, "", LIMITS.attachments)
        exported["conversation"]["attachments"].append(
            {**msgspec.to_builtins(more), "data": base64.b64encode(data).decode()}
        )
        with pytest.raises(AttachmentLimit):
            await stored.archive.import_export("you", json.dumps(exported).encode())
        assert stored.rows("SELECT owner FROM attachment") == [("me",)]
        assert stored.rows("SELECT owner FROM conversation") == [("me",)]


async def test_documents_show_pictures_and_name_files(
    stored: StoredConversations, shown: str
) -> None:
    conversation = await whole(stored, shown)
    page = export_html(conversation, 1_000).decode()
    assert f'<img src="data:image/png;base64,{base64.b64encode(REAL["png"]).decode()}"' in page
    assert "img-src data:" in page
    assert "File: &lt;b&gt;.txt, 2 bytes" in page
    text = export_markdown(await stored.load(shown), 1_000).decode()
    assert "> See\n\n- Picture: a.png, 23 x 17 pixels\n- File: <b>.txt, 2 bytes\n" in text
    without = msgspec.structs.replace(conversation, attachments=[])
    assert "a file that is not kept" in export_html(without, 1_000).decode()


async def test_a_prompt_without_text_is_called_by_what_is_attached(
    stored: StoredConversations,
) -> None:
    async def title_of(*names: str, text: str = "") -> str:
        parts: list[Any] = []
        for number, name in enumerate(names):
            found = examine(data := png(number + 1, len(names)), name, LIMITS.attachments)
            await stored.archive.attachments.put("me", found, data)
            parts.append(ImagePart(found.id))
        if text:
            parts.append(TextPart(text))
        conversation = await stored.begin()
        log = await stored.ask(conversation, asked=[Asked("user", parts)])
        write(log, "A cat.", ends=True)
        loaded = await stored.load(conversation)
        copy = await stored.archive.import_export(
            "me", export_json(msgspec.structs.replace(loaded, title=""), "0")
        )
        assert copy.title == loaded.title
        return loaded.title

    assert await title_of("cat.png") == "cat.png"
    assert await title_of("", "dog.png") == "picture.png and 1 more"
    assert await title_of("a.png", "b.png", "c.png", text="# Which?") == "Which?"
