"""The archive: every operation on stored conversations, each on behalf of an owner.

Rules:

1. Somebody else's conversation is answered exactly like one that does not exist.
2. Reads flush the recorder first, so that they include the text that is still streaming.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from server.archive.answer_writer import DescribeEngine, give_title, to_json
from server.archive.attachments import StoredAttachments, remove_unused
from server.archive.files import insert_files, load_files
from server.archive.import_files import read_file
from server.archive.imports import check_outline
from server.archive.reading import (
    Head,
    Wanted,
    count_tags,
    find_head,
    list_conversations,
    load,
    load_repeated,
    load_tags,
    load_tokens,
    summarise,
)
from server.archive.recorder import Recorder
from server.archive.schema import SCHEMA
from server.archive.shapes import (
    MAX_TAGS,
    Change,
    Changed,
    Changes,
    Conversation,
    ImportResult,
    Listing,
    Outline,
    StoredAnswer,
    Summary,
    TagList,
    Tokens,
)
from server.archive.slots import ConversationSlot, StartedAnswer, find_slot, record_answers
from server.archive.votes import Votes, insert_votes, remove_deleted
from server.archive.writing import (
    Numbers,
    insert_conversation,
    mark_interrupted,
    remove_conversation,
    set_tags,
    size_of,
    update_conversation,
)
from server.core.attachments import AttachmentLimits
from server.core.errors import (
    ConversationLimit,
    InvalidCommand,
    StorageFailed,
    UnknownConversation,
)
from server.core.protocol import Record, Target
from server.storage.database import Database, Transaction

logger = logging.getLogger(__name__)

# How much of an import is written at once, before it is the answers' turn again.
_BATCH_CHARS: Final = 1 << 20


@dataclass(frozen=True)
class ArchiveLimits:
    """How much is stored, and for how many seconds; `keep_seconds` of 0 means for ever."""

    conversations: int
    conversation_chars: int
    file_bytes: int
    keep_seconds: float
    deleted_seconds: float
    attachments: AttachmentLimits


class Archive:
    """Store conversations, find them and change them."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        numbers: Numbers,
        limits: ArchiveLimits,
        clock: Callable[[], float],
    ) -> None:
        self.recorder = recorder
        self.limits = limits
        self._database = database
        self._numbers = numbers
        self._clock = clock
        self._removed: set[int] = set()
        self.attachments = StoredAttachments(database, limits.attachments, clock)
        self.votes = Votes(database, clock, self._flush)

    @classmethod
    async def open(
        cls,
        path: Path,
        limits: ArchiveLimits,
        describe: DescribeEngine,
        *,
        clock: Callable[[], float] = time.time,
    ) -> "Archive":
        """Open the file and mark the answers that the last gateway left unfinished.

        Raises `UnusableFile` or `StorageFailed`.
        """
        database = await Database.open(path, SCHEMA, max_bytes=limits.file_bytes)
        try:
            async with database.write() as transaction:
                numbers = await Numbers.read(transaction)
                interrupted = await mark_interrupted(transaction)
        except BaseException:
            await database.close()
            raise
        if interrupted:
            logger.warning("%d answers were interrupted when the last gateway ended", interrupted)
        return cls(database, Recorder(database, describe), numbers, limits, clock)

    async def close(self) -> None:
        """Store the rest and close the file."""
        await self.recorder.close()
        await self._database.close()

    # --- conversations ----------------------------------------------------------------------

    async def create(self, owner: str, outline: Outline) -> Summary:
        """Create a conversation; raises `ConversationLimit`, `InvalidCommand`, `StorageFailed`."""
        check_outline(outline)
        now = self._clock()
        return await self._insert(
            owner,
            Conversation("", outline.title, now, now, columns=outline.columns, view=outline.view),
        )

    async def import_export(self, owner: str, body: bytes) -> ImportResult:
        """Create the conversations of an export, of ours or of another tool: all, or none.

        Raises what `create` does.
        """
        # In a thread: parsing a large file would hold up the event loop.
        found = await asyncio.to_thread(
            read_file,
            body,
            max_size=self.limits.conversation_chars,
            attachments=self.limits.attachments,
        )
        several = sorted(found.conversations, key=lambda one: -one.updated)
        now = self._clock()
        if len(several) == 1 or self.limits.keep_seconds:
            # It is on top of the list, and is kept as long as what was asked here.
            several = [msgspec.structs.replace(one, updated=now) for one in several]
        summaries = await self._insert_several(owner, several)
        return ImportResult(
            **msgspec.structs.asdict(summaries[0]),
            source=found.source,
            imported=len(summaries),
            ids=[summary.id for summary in summaries],
            left_out=found.left_out,
        )

    async def browse(
        self,
        owner: str,
        *,
        words: str = "",
        with_reasoning: bool = False,
        deleted: bool = False,
        pinned: bool | None = None,
        tag: str = "",
        before: str = "",
        limit: int = 50,
    ) -> Listing:
        """List the owner's conversations; raises `InvalidCommand` or `StorageFailed`."""
        await self._flush()
        wanted = Wanted(words, with_reasoning, deleted, pinned, tag, before, limit)
        async with self._database.read() as transaction:
            return await list_conversations(transaction, owner, wanted)

    async def tags(self, owner: str) -> TagList:
        """Return the tags that the owner's conversations have."""
        async with self._database.read() as transaction:
            return TagList(await count_tags(transaction, owner))

    async def check_known(self, owner: str, ids: Sequence[str]) -> None:
        """Raise `UnknownConversation` unless the owner has all of these conversations."""
        async with self._database.read() as transaction:
            for conversation_id in ids:
                await find_head(transaction, owner, conversation_id)

    async def load(
        self, owner: str, conversation_id: str, *, is_full: bool, with_files: bool = False
    ) -> Conversation:
        """Return a whole conversation; raises `UnknownConversation` or `StorageFailed`.

        With `with_files` its attachments have their bytes, up to `MAX_EXPORTED_BYTES` in all.
        """
        await self._flush()
        async with self._database.read() as transaction:
            head = await find_head(transaction, owner, conversation_id, with_deleted=True)
            conversation = await load(transaction, head, is_full=is_full)
            if not (with_files and conversation.attachments):
                return conversation
            files = await load_files(transaction, owner, conversation.attachments)
            return msgspec.structs.replace(conversation, attachments=files)

    async def tokens(self, owner: str, conversation_id: str, answer_id: str) -> Tokens:
        """Return the tokens of an answer; raises `UnknownConversation` or `StorageFailed`."""
        await self._flush()
        async with self._database.read() as transaction:
            head = await find_head(transaction, owner, conversation_id, with_deleted=True)
            return Tokens(await load_tokens(transaction, head, answer_id))

    async def change(self, owner: str, conversation_id: str, change: Change) -> Summary:
        """Change title, columns, view, pin or tags; a field that is None stays as it is."""
        check_outline(change)
        values: dict[str, object] = {}
        if change.title is not None:
            values["title"] = change.title
        if change.columns is not None:
            values["columns"] = to_json(change.columns)
        if change.view is not None:
            values["view"] = to_json(change.view)
        if change.pinned is not None:
            values["pinned"] = change.pinned
        async with self._database.write() as transaction:
            head = await find_head(transaction, owner, conversation_id)
            if values:
                await update_conversation(transaction, head.number, **values)
            if change.tags is not None:
                await set_tags(transaction, head.number, change.tags)
            return await summarise(transaction, head.number)

    async def change_several(self, owner: str, changes: Changes) -> Changed:
        """Change several conversations: all, or none.

        Raises `UnknownConversation`, `ConversationLimit` or `InvalidCommand`.
        """
        ids = list(dict.fromkeys(changes.ids))
        async with self._database.write() as transaction:
            heads = [
                await find_head(transaction, owner, one, with_deleted=changes.deleted is not None)
                for one in ids
            ]
            if changes.deleted is False:
                restored = sum(1 for head in heads if head.deleted is not None)
                await self._check_room(transaction, owner, restored)
            for head in heads:
                await self._change_one(transaction, head, changes)
            return Changed([await summarise(transaction, head.number) for head in heads])

    async def _change_one(self, transaction: Transaction, head: Head, changes: Changes) -> None:
        values: dict[str, object] = {}
        if changes.deleted is not None:
            values["deleted"] = (head.deleted or self._clock()) if changes.deleted else None
        if changes.pinned is not None:
            values["pinned"] = changes.pinned
        if values:
            await update_conversation(transaction, head.number, **values)
        if changes.add_tags or changes.remove_tags:
            tags = set(await load_tags(transaction, head.number)) | set(changes.add_tags)
            tags -= set(changes.remove_tags)
            if len(tags) > MAX_TAGS:
                raise InvalidCommand(f"a conversation may have {MAX_TAGS} tags")
            await set_tags(transaction, head.number, tags)

    async def delete(self, owner: str, conversation_id: str, *, forever: bool) -> Summary:
        """Delete a conversation; unless `forever`, it can be restored for a while."""
        async with self._database.write() as transaction:
            head = await find_head(transaction, owner, conversation_id, with_deleted=True)
            deleted = self._clock() if head.deleted is None else head.deleted
            await update_conversation(transaction, head.number, deleted=deleted)
            summary = await summarise(transaction, head.number)
            if forever:
                await self._remove(transaction, head.number)
        return summary

    async def restore(self, owner: str, conversation_id: str) -> Summary:
        """Undo a deletion; raises `ConversationLimit` when there is no room any more."""
        async with self._database.write() as transaction:
            head = await find_head(transaction, owner, conversation_id, with_deleted=True)
            if head.deleted is not None:
                await self._check_room(transaction, owner)
                await update_conversation(transaction, head.number, deleted=None)
            return await summarise(transaction, head.number)

    # --- answers ----------------------------------------------------------------------------

    async def repeated(
        self, owner: str, conversation_id: str, request_id: str
    ) -> list[StoredAnswer]:
        """Return the stored answers to a command that was given before; none for a new one.

        Raises `UnknownConversation` or `StorageFailed`.
        """
        if self.recorder.is_storing(request_id):
            await self._flush()
        async with self._database.read() as transaction:
            head = await find_head(transaction, owner, conversation_id)
            return await load_repeated(transaction, head, request_id)

    async def find_slot(
        self,
        owner: str,
        record: Record,
        targets: Sequence[Target],
        *,
        request_id: str | None = None,
    ) -> ConversationSlot:
        """Find where answers to these targets can be stored; writes nothing.

        With a `request_id`, `repeated` finds the answers by it. Raises `UnknownConversation`,
        `ConversationLimit`, `InvalidCommand` or `StorageFailed`.
        """
        # Before the transaction: an answer stored in between would be in neither.
        unfinished = self.recorder.turns_of_unfinished()
        async with self._database.read() as transaction:
            head = await find_head(transaction, owner, record.conversation)
            if head.size >= self.limits.conversation_chars:
                raise ConversationLimit(
                    "the conversation is as large as one may be", hint="begin another one"
                )
            slot = await find_slot(transaction, head, record, targets, unfinished)
            return replace(slot, request=request_id)

    def check_slot(self, slot: ConversationSlot) -> None:
        """Raise `UnknownConversation` or `StorageFailed` when no answer can start there now."""
        if slot.conversation in self._removed:
            raise UnknownConversation("the conversation was deleted in this moment")
        if self.recorder.is_full:
            raise StorageFailed("too many answers wait to be stored")

    def record(self, slot: ConversationSlot, answers: Sequence[StartedAnswer]) -> list[str]:
        """Store answers from now on, one for each target of the slot; return their ids."""
        return record_answers(slot, answers, self.recorder, self._numbers, self._clock())

    # --- time -------------------------------------------------------------------------------

    async def delete_expired(self) -> int:
        """Delete what is too old, and remove what was deleted long enough ago; return how many.

        Attachments that no conversation has are removed when they were not used for a while.
        """
        now, limits = self._clock(), self.limits
        async with self._database.write() as transaction:
            if limits.keep_seconds:
                await transaction.run(
                    "UPDATE conversation SET deleted = ? WHERE deleted IS NULL AND updated < ?",
                    (now, now - limits.keep_seconds),
                )
            rows = await transaction.rows(
                "SELECT number FROM conversation WHERE deleted <= ?",
                (now - limits.deleted_seconds,),
            )
        for (number,) in rows:
            async with self._database.write() as transaction:
                await self._remove(transaction, number)
        async with self._database.write() as transaction:
            await remove_unused(transaction, now - limits.attachments.unused_seconds)
            await remove_deleted(transaction, now - limits.deleted_seconds)
        return len(rows)

    # --- inside -----------------------------------------------------------------------------

    async def _insert(self, owner: str, conversation: Conversation) -> Summary:
        async with self._database.write() as transaction:
            await self._check_room(transaction, owner)
            number = await self._insert_one(transaction, owner, conversation)
            return await summarise(transaction, number)

    async def _insert_several(
        self, owner: str, conversations: Sequence[Conversation]
    ) -> list[Summary]:
        """Insert all of them or, when one cannot be, none; answers are stored in between.

        Until the last is there they are deleted ones, which is what a crash would leave.
        """
        numbers: list[int] = []
        now = self._clock()
        try:
            for batch in _batches(conversations):
                inserted: list[int] = []
                async with self._database.write() as transaction:
                    await self._check_room(transaction, owner, len(conversations))
                    for conversation in batch:
                        hidden = msgspec.structs.replace(conversation, deleted=now)
                        inserted.append(await self._insert_one(transaction, owner, hidden))
                numbers += inserted
            async with self._database.write() as transaction:
                await self._check_room(transaction, owner, len(conversations))
                for number in numbers:
                    await update_conversation(transaction, number, deleted=None)
                return [await summarise(transaction, number) for number in numbers]
        except BaseException:
            for number in numbers:
                async with self._database.write() as transaction:
                    await self._remove(transaction, number)
            raise

    async def _insert_one(
        self, transaction: Transaction, owner: str, conversation: Conversation
    ) -> int:
        conversation = msgspec.structs.replace(conversation, id=f"c_{secrets.token_hex(8)}")
        number = await insert_conversation(transaction, self._numbers, owner, conversation)
        await insert_votes(transaction, owner, number, conversation)
        await insert_files(
            transaction, owner, number, conversation, self.limits.attachments, self._clock()
        )
        if conversation.turns:
            first = conversation.turns[0]
            await give_title(transaction, number, first.text, first.attachments)
        return number

    async def _check_room(self, transaction: Transaction, owner: str, more: int = 1) -> None:
        row = await transaction.row(
            "SELECT count(*) FROM conversation WHERE owner = ? AND deleted IS NULL", (owner,)
        )
        if row is not None and row[0] + more > self.limits.conversations:
            raise ConversationLimit(
                f"{self.limits.conversations} conversations are kept for one owner, and no more",
                hint="delete some, or raise `max_conversations` in [conversations]",
            )

    async def _remove(self, transaction: Transaction, number: int) -> None:
        self._removed.add(number)
        self.recorder.drop(number)
        await remove_conversation(transaction, number, self._clock())

    async def _flush(self) -> None:
        try:
            await self.recorder.flush()
        except StorageFailed as error:
            # Reading what is stored still works, and the recorder reports the failure.
            logger.debug("read without the newest text: %s", error)


def _batches(conversations: Sequence[Conversation]) -> Iterator[list[Conversation]]:
    """Return conversations in parts that take a moment to write each."""
    batch: list[Conversation] = []
    room = _BATCH_CHARS
    for conversation in conversations:
        batch.append(conversation)
        room -= size_of(conversation) + _BATCH_CHARS // 100
        if room <= 0:
            yield batch
            batch, room = [], _BATCH_CHARS
    if batch:
        yield batch
