"""Attachments, each its owner's: stored in the database, or in memory without conversations.

Rules:

1. Somebody else's attachment is answered exactly like one that does not exist.
2. One that a stored conversation names is kept as long as the conversation is, and gone with the
   last one. Others are dropped when they have not been used for a while, or when their owner has
   no room for another one. One that was used just now is neither: it may be about to be asked
   with, or in a message that is not stored yet.
3. An attachment is stored whole or not at all. Put again it is the same, under the newer name.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from server.core.attachments import Attachment, AttachmentLimits
from server.core.errors import AttachmentLimit, StorageFailed, UnknownAttachment
from server.storage.database import Database, Row, Transaction

logger = logging.getLogger(__name__)

# A use is noted no more often than that: most answers follow each other within it.
_USE_SECONDS: Final = 60.0
# How long ago "just now" was; more than `_USE_SECONDS`, after which a use is noted again.
_LATELY_SECONDS: Final = 300.0
# Values in one statement; SQLite takes more.
_MOST_VALUES: Final = 500

_COLUMNS: Final = "id, media_type, kind, bytes, name, width, height"
_FREE: Final = "NOT EXISTS (SELECT 1 FROM attached WHERE attached.attachment = attachment.number)"


class Attachments(Protocol):
    """Where attachments are; every operation is on behalf of an owner."""

    limits: AttachmentLimits

    async def put(self, owner: str, attachment: Attachment, data: bytes) -> Attachment:
        """Store an attachment that was examined; raises `AttachmentLimit` or `StorageFailed`."""

    async def find(self, owner: str, ids: Iterable[str]) -> Mapping[str, Attachment]:
        """Return these attachments, which count as used now.

        Raises `UnknownAttachment` or `StorageFailed`.
        """

    async def read(self, owner: str, attachment: str) -> bytes:
        """Return the bytes of an attachment; raises `UnknownAttachment` or `StorageFailed`."""


class StoredAttachments:
    """Attachments in the database of conversations."""

    def __init__(
        self, database: Database, limits: AttachmentLimits, clock: Callable[[], float]
    ) -> None:
        self.limits = limits
        self._database = database
        self._clock = clock

    async def put(self, owner: str, attachment: Attachment, data: bytes) -> Attachment:
        """Store an attachment, or note that it is used again."""
        now = self._clock()
        async with self._database.write() as transaction:
            await store_attachment(transaction, owner, attachment, data, self.limits, now)
        return attachment

    async def find(self, owner: str, ids: Iterable[str]) -> Mapping[str, Attachment]:
        """Return these attachments."""
        wanted, now = list(dict.fromkeys(ids)), self._clock()
        rows: list[Row] = []
        async with self._database.read() as transaction:
            for start in range(0, len(wanted), _MOST_VALUES):
                part = wanted[start : start + _MOST_VALUES]
                rows += await transaction.rows(
                    f"SELECT {_COLUMNS}, used FROM attachment"  # noqa: S608 - our own names
                    f" WHERE owner = ? AND id IN ({','.join('?' * len(part))})",
                    (owner, *part),
                )
        found = {row[0]: read_attachment(row) for row in rows}
        _check_all(wanted, found)
        if stale := [(now, owner, row[0]) for row in rows if row[-1] < now - _USE_SECONDS]:
            try:
                async with self._database.write() as transaction:
                    await transaction.run_each(
                        "UPDATE attachment SET used = ? WHERE owner = ? AND id = ?", stale
                    )
            except StorageFailed as error:
                # They may be dropped earlier; what they are asked with goes on.
                logger.debug("uses of attachments are not noted: %s", error)
        return found

    async def read(self, owner: str, attachment: str) -> bytes:
        """Return the bytes of an attachment."""
        async with self._database.read() as transaction:
            row = await transaction.row(
                "SELECT data FROM attachment WHERE owner = ? AND id = ?", (owner, attachment)
            )
        if row is None:
            raise unknown(attachment)
        data: bytes = row[0]
        return data


async def store_attachment(
    transaction: Transaction,
    owner: str,
    attachment: Attachment,
    data: bytes,
    limits: AttachmentLimits,
    now: float,
) -> None:
    """Write an attachment, or the newer name of one that the owner has.

    Raises `AttachmentLimit`.
    """
    known = await transaction.row(
        "SELECT number FROM attachment WHERE owner = ? AND id = ?", (owner, attachment.id)
    )
    if known is not None:
        await transaction.run(
            "UPDATE attachment SET name = ?, used = ? WHERE number = ?",
            (attachment.name, now, known[0]),
        )
        return
    rows = await transaction.rows(
        f"SELECT number, bytes, used < ? AND {_FREE} FROM attachment"  # noqa: S608 - our own
        " WHERE owner = ? ORDER BY used",
        (now - _LATELY_SECONDS, owner),
    )
    for number in _evicted(rows, attachment, limits):
        await transaction.run("DELETE FROM attachment WHERE number = ?", (number,))
    await transaction.run(
        f"INSERT INTO attachment (owner, {_COLUMNS}, used, data)"  # noqa: S608 - our own
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            owner,
            attachment.id,
            attachment.media_type,
            attachment.kind,
            attachment.bytes,
            attachment.name,
            attachment.width,
            attachment.height,
            now,
            data,
        ),
    )


async def link_attachments(
    transaction: Transaction, conversation: int, attachments: Iterable[str]
) -> None:
    """Note that a conversation names attachments; those that its owner has are kept with it."""
    await transaction.run_each(
        "INSERT OR IGNORE INTO attached (conversation, attachment)"
        " SELECT c.number, a.number FROM conversation AS c JOIN attachment AS a"
        " ON a.owner = c.owner WHERE c.number = ? AND a.id = ?",
        [(conversation, one) for one in dict.fromkeys(attachments)],
    )


async def load_attachments(transaction: Transaction, conversation: int) -> list[Attachment]:
    """Return the attachments that are kept with a conversation."""
    rows = await transaction.rows(
        f"SELECT {_COLUMNS} FROM attachment"  # noqa: S608 - our own names
        " JOIN attached ON attached.attachment = attachment.number"
        " WHERE attached.conversation = ? ORDER BY attachment.number",
        (conversation,),
    )
    return [read_attachment(row) for row in rows]


async def remove_linked_attachments(
    transaction: Transaction, conversation: int, now: float
) -> None:
    """Remove the attachments that belong to this conversation alone and were not used lately."""
    await transaction.run(
        "DELETE FROM attachment WHERE number IN"
        " (SELECT attachment FROM attached WHERE conversation = ?)"
        " AND NOT EXISTS (SELECT 1 FROM attached"
        " WHERE attached.attachment = attachment.number AND conversation != ?) AND used < ?",
        (conversation, conversation, now - _LATELY_SECONDS),
    )


async def remove_unused(transaction: Transaction, before: float) -> None:
    """Remove the attachments of no conversation that were last used before that time."""
    await transaction.run(
        f"DELETE FROM attachment WHERE used < ? AND {_FREE}",  # noqa: S608 - our own
        (before,),
    )


def read_attachment(row: Row) -> Attachment:
    """Return what the first columns of a row say."""
    return Attachment(*row[:7])


def unknown(attachment: str) -> UnknownAttachment:
    """Return the error for an attachment that is not there, or somebody else's."""
    return UnknownAttachment(
        f"there is no attachment {attachment[:80]!r}", hint="put it with `PUT /attachments`"
    )


@dataclass(frozen=True)
class _Held:
    attachment: Attachment
    data: bytes
    used: float


class AttachmentsInMemory:
    """Attachments where nothing may be stored: gone with the process, and after a while."""

    def __init__(
        self, limits: AttachmentLimits, *, max_bytes: int, clock: Callable[[], float]
    ) -> None:
        self.limits = limits
        self._max_bytes = max_bytes
        self._clock = clock
        # The least recently used first.
        self._held: dict[tuple[str, str], _Held] = {}

    async def put(self, owner: str, attachment: Attachment, data: bytes) -> Attachment:
        """Hold an attachment; the least recently used ones make room."""
        key = owner, attachment.id
        self._held.pop(key, None)
        if attachment.bytes > self._max_bytes:
            raise _too_many(self.limits)
        self._drop_unused()
        lately = self._clock() - _LATELY_SECONDS
        own = [
            (one, held.attachment.bytes, held.used < lately)
            for one, held in self._held.items()
            if one[0] == owner
        ]
        for one in _evicted(own, attachment, self.limits):
            del self._held[one]
        self._held[key] = _Held(attachment, data, self._clock())
        size = sum(held.attachment.bytes for held in self._held.values())
        while size > self._max_bytes:
            size -= self._held.pop(next(iter(self._held))).attachment.bytes
        return attachment

    async def find(self, owner: str, ids: Iterable[str]) -> Mapping[str, Attachment]:
        """Return these attachments."""
        self._drop_unused()
        wanted = list(dict.fromkeys(ids))
        keys = [(owner, one) for one in wanted if (owner, one) in self._held]
        _check_all(wanted, {one for _, one in keys})
        for key in keys:
            self._held[key] = replace(self._held.pop(key), used=self._clock())
        return {key[1]: self._held[key].attachment for key in keys}

    async def read(self, owner: str, attachment: str) -> bytes:
        """Return the bytes of an attachment."""
        held = self._held.get((owner, attachment))
        if held is None:
            raise unknown(attachment)
        return held.data

    def _drop_unused(self) -> None:
        before = self._clock() - self.limits.unused_seconds
        for key in [key for key, held in self._held.items() if held.used < before]:
            del self._held[key]


def _evicted(known: Sequence[Row], attachment: Attachment, limits: AttachmentLimits) -> list[Any]:
    """Return which of an owner's attachments have to go for another one, oldest use first.

    `known` has each one's key, its bytes, and whether it may go. Raises `AttachmentLimit`.
    """
    files, size = len(known) + 1, sum(one[1] for one in known) + attachment.bytes
    evicted = []
    for key, freed, may_go in known:
        if may_go and _is_beyond(limits, files, size):
            evicted.append(key)
            files, size = files - 1, size - freed
    if _is_beyond(limits, files, size):
        raise _too_many(limits)
    return evicted


def _check_all(wanted: Iterable[str], found: Iterable[str]) -> None:
    known = set(found)
    missing = next((one for one in wanted if one not in known), None)
    if missing is not None:
        raise unknown(missing)


def _is_beyond(limits: AttachmentLimits, files: int, size: int) -> bool:
    return files > limits.owner_files or size > limits.owner_bytes


def _too_many(limits: AttachmentLimits) -> AttachmentLimit:
    return AttachmentLimit(
        f"one owner may have {limits.owner_files:,} attachments with {limits.owner_bytes:,} bytes "
        "in all, and conversations have them, or they were used just now",
        hint="delete conversations with files, or raise `max_owner_files` or `max_owner_size` in "
        "[attachments]",
    )
