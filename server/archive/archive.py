"""The archive: everything that can be done with kept conversations, each for its owner.

Whose a conversation is not gets the same answer as if there were none. What streams is stored by
the recorder; before anything is read, it stores what it has, so that nobody sees less than there
is.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from server.archive.database import Database, Transaction
from server.archive.following import DescribeEngine, json_of
from server.archive.imports import check_outline, check_vote, read_export
from server.archive.places import Begun, Place, begin, find_place
from server.archive.reading import find_head, list_some, load, load_tokens, summarise
from server.archive.recorder import Recorder
from server.archive.shapes import (
    Change,
    Conversation,
    Listing,
    Outline,
    Summary,
    Tokens,
    Vote,
    VoteGiven,
)
from server.archive.writing import (
    Numbers,
    insert_conversation,
    mark_interrupted,
    remove_conversation,
    update_conversation,
)
from server.core.errors import ConversationLimit, StorageFailed, UnknownConversation
from server.core.protocol import Record, Target

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArchiveLimits:
    """How much is kept, and for how long in seconds; 0 for ever."""

    conversations: int
    conversation_chars: int
    file_bytes: int
    keep_seconds: float
    deleted_seconds: float


class Archive:
    """Keep conversations."""

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

    @classmethod
    async def open(
        cls,
        path: Path,
        limits: ArchiveLimits,
        describe: DescribeEngine,
        *,
        clock: Callable[[], float] = time.time,
    ) -> "Archive":
        """Open the file and close what was under way when it was last used.

        Raises `UnusableFile` or `StorageFailed`.
        """
        database = await Database.open(path, max_bytes=limits.file_bytes)
        try:
            async with database.change() as transaction:
                numbers = await Numbers.read(transaction)
                interrupted = await mark_interrupted(transaction)
        except BaseException:
            await database.close()
            raise
        if interrupted:
            logger.warning("%d answers were interrupted when the last gateway ended", interrupted)
        return cls(database, Recorder(database, describe), numbers, limits, clock)

    async def close(self) -> None:
        """Store what is left and let go of the file."""
        await self.recorder.close()
        await self._database.close()

    # --- conversations ----------------------------------------------------------------------

    async def create(self, owner: str, outline: Outline) -> Summary:
        """Begin a conversation; raises `ConversationLimit`, `InvalidCommand`, `StorageFailed`."""
        check_outline(outline)
        now = self._clock()
        return await self._insert(
            owner,
            Conversation("", outline.title, now, now, columns=outline.columns, view=outline.view),
        )

    async def take_in(self, owner: str, body: bytes) -> Summary:
        """Make a conversation of an export; raises what `create` does."""
        # A large file takes longer to read than others should wait for.
        found = await asyncio.to_thread(read_export, body, max_size=self.limits.conversation_chars)
        return await self._insert(
            owner, msgspec.structs.replace(found, updated=self._clock(), deleted=None)
        )

    async def browse(
        self, owner: str, *, words: str, deleted: bool, before: str, limit: int
    ) -> Listing:
        """List the owner's conversations; raises `InvalidCommand` or `StorageFailed`."""
        await self._store_what_is_new()
        async with self._database.look() as transaction:
            return await list_some(
                transaction, owner, words=words, deleted=deleted, before=before, limit=limit
            )

    async def load(self, owner: str, conversation_id: str, *, is_full: bool) -> Conversation:
        """Return a whole conversation; raises `UnknownConversation` or `StorageFailed`."""
        await self._store_what_is_new()
        async with self._database.look() as transaction:
            head = await find_head(transaction, owner, conversation_id, with_deleted=True)
            return await load(transaction, head, is_full=is_full)

    async def tokens(self, owner: str, conversation_id: str, answer_id: str) -> Tokens:
        """Return what an answer was written in; raises `UnknownConversation` or `StorageFailed`."""
        await self._store_what_is_new()
        async with self._database.look() as transaction:
            head = await find_head(transaction, owner, conversation_id, with_deleted=True)
            return Tokens(await load_tokens(transaction, head, answer_id))

    async def change(self, owner: str, conversation_id: str, change: Change) -> Summary:
        """Give a conversation another title, columns or view; what is not said stays."""
        check_outline(change)
        values: dict[str, object] = {}
        if change.title is not None:
            values["title"] = change.title
        if change.columns is not None:
            values["columns"] = json_of(change.columns)
        if change.view is not None:
            values["view"] = json_of(change.view)
        async with self._database.change() as transaction:
            head = await find_head(transaction, owner, conversation_id)
            if values:
                await update_conversation(transaction, head.number, **values)
            return await summarise(transaction, head.number)

    async def delete(self, owner: str, conversation_id: str, *, forever: bool) -> Summary:
        """Delete a conversation, so that it can be restored for a while unless `forever`."""
        async with self._database.change() as transaction:
            head = await find_head(transaction, owner, conversation_id, with_deleted=True)
            deleted = self._clock() if head.deleted is None else head.deleted
            await update_conversation(transaction, head.number, deleted=deleted)
            summary = await summarise(transaction, head.number)
            if forever:
                await self._remove(transaction, head.number)
        return summary

    async def restore(self, owner: str, conversation_id: str) -> Summary:
        """Take a deletion back; raises `ConversationLimit` when there is no room any more."""
        async with self._database.change() as transaction:
            head = await find_head(transaction, owner, conversation_id, with_deleted=True)
            if head.deleted is not None:
                await self._check_room(transaction, owner)
                await update_conversation(transaction, head.number, deleted=None)
            return await summarise(transaction, head.number)

    async def vote(
        self, owner: str, conversation_id: str, turn_id: str, given: VoteGiven | None
    ) -> Vote | None:
        """Set a turn's vote, or take it back; raises `InvalidCommand`, `UnknownConversation`."""
        await self._store_what_is_new()
        async with self._database.change() as transaction:
            head = await find_head(transaction, owner, conversation_id)
            turn = await transaction.row(
                "SELECT number FROM turn WHERE conversation = ? AND id = ?", (head.number, turn_id)
            )
            if turn is None:
                raise UnknownConversation(f"the conversation has no turn {turn_id[:80]!r}")
            vote = None
            if given is not None:
                rows = await transaction.rows(
                    "SELECT id FROM answer WHERE conversation = ? AND turn = ?",
                    (head.number, turn_id),
                )
                check_vote(given, {answer for (answer,) in rows})
                vote = Vote(**msgspec.structs.asdict(given), created=self._clock())
            await transaction.run(
                "UPDATE turn SET vote = ? WHERE number = ?",
                (None if vote is None else json_of(vote), turn[0]),
            )
        return vote

    # --- answers ----------------------------------------------------------------------------

    async def place(self, owner: str, record: Record, targets: Sequence[Target]) -> Place:
        """Look whether answers can be kept there; nothing is written.

        Raises `UnknownConversation`, `ConversationLimit`, `InvalidCommand` or `StorageFailed`.
        """
        # Before the look, or what is stored in between would be in neither.
        followed = self.recorder.followed
        async with self._database.look() as transaction:
            head = await find_head(transaction, owner, record.conversation)
            if head.size >= self.limits.conversation_chars:
                raise ConversationLimit(
                    "the conversation is as large as one may be", hint="begin another one"
                )
            return await find_place(transaction, head, record, targets, followed)

    def check(self, place: Place) -> None:
        """Raise `UnknownConversation` or `StorageFailed` when answers cannot begin there now."""
        if place.conversation in self._removed:
            raise UnknownConversation("the conversation was deleted in this moment")
        if self.recorder.is_full:
            raise StorageFailed("too many answers wait to be stored")

    def begin(self, place: Place, answers: Sequence[Begun]) -> list[str]:
        """Keep answers from now on, one for each target of the place; return their ids."""
        return begin(place, answers, self.recorder, self._numbers, self._clock())

    # --- time -------------------------------------------------------------------------------

    async def tidy(self) -> int:
        """Delete what is older than is kept, and for good what was deleted long enough ago."""
        now, limits = self._clock(), self.limits
        async with self._database.change() as transaction:
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
            async with self._database.change() as transaction:
                await self._remove(transaction, number)
        return len(rows)

    # --- inside -----------------------------------------------------------------------------

    async def _insert(self, owner: str, conversation: Conversation) -> Summary:
        conversation = msgspec.structs.replace(conversation, id=f"c_{secrets.token_hex(8)}")
        async with self._database.change() as transaction:
            await self._check_room(transaction, owner)
            number = await insert_conversation(transaction, self._numbers, owner, conversation)
            return await summarise(transaction, number)

    async def _check_room(self, transaction: Transaction, owner: str) -> None:
        row = await transaction.row(
            "SELECT count(*) FROM conversation WHERE owner = ? AND deleted IS NULL", (owner,)
        )
        if row is not None and row[0] >= self.limits.conversations:
            raise ConversationLimit(
                f"{self.limits.conversations} conversations are kept for one owner, and no more",
                hint="delete some, or raise `max_conversations` in [conversations]",
            )

    async def _remove(self, transaction: Transaction, number: int) -> None:
        self._removed.add(number)
        self.recorder.forget(number)
        await remove_conversation(transaction, number)

    async def _store_what_is_new(self) -> None:
        try:
            await self.recorder.flush()
        except StorageFailed as error:
            # What is stored can be read all the same; that nothing is stored, the recorder says.
            logger.debug("read without what is new: %s", error)
