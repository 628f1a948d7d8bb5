"""The bytes of attachments in exports and imports, as base64 beside what each file is."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec

from server.archive.attachments import link_attachments, store_attachment
from server.archive.shapes import Conversation, StoredAttachment
from server.core.attachments import AttachmentLimits, examine
from server.core.errors import Contradiction, InvalidAttachment
from server.storage.database import Transaction

MAX_EXPORTED_BYTES: Final = 32 << 20
"""How many bytes of attachments an export has; those beyond it are only named."""


async def load_files(
    transaction: Transaction, owner: str, attachments: Sequence[StoredAttachment]
) -> list[StoredAttachment]:
    """Return attachments with their bytes, as long as these are not too many."""
    files, room = [], MAX_EXPORTED_BYTES
    for one in attachments:
        room -= one.bytes
        row = None
        if room >= 0:
            row = await transaction.row(
                "SELECT data FROM attachment WHERE owner = ? AND id = ?", (owner, one.id)
            )
        data = "" if row is None else base64.b64encode(row[0]).decode("ascii")
        files.append(msgspec.structs.replace(one, data=data))
    return files


def checked_files(
    attachments: Sequence[StoredAttachment], limits: AttachmentLimits
) -> list[StoredAttachment]:
    """Return the attachments of an export that have their bytes, each as its bytes are.

    Raises `InvalidAttachment`, or `Contradiction` for bytes that are not of the id.
    """
    files: dict[str, StoredAttachment] = {}
    for number, one in enumerate(attachments):
        if not one.data:
            continue
        place = f"at `$.conversation.attachments[{number}]`"
        try:
            found = examine(binascii.a2b_base64(one.data, strict_mode=True), one.name, limits)
        except binascii.Error as error:
            raise InvalidAttachment(f"`data` is not base64: {error} - {place}") from None
        except InvalidAttachment as error:
            raise type(error)(f"{error.message} - {place}", hint=error.hint) from None
        if found.id != one.id:
            raise Contradiction(f"these are not the bytes of {one.id!r} - {place}")
        files[found.id] = StoredAttachment(**msgspec.structs.asdict(found), data=one.data)
    return list(files.values())


async def insert_files(
    transaction: Transaction,
    owner: str,
    conversation: int,
    imported: Conversation,
    limits: AttachmentLimits,
    now: float,
) -> None:
    """Write the attachments of an import that was checked; raises `AttachmentLimit`."""
    for one in imported.attachments:
        data = binascii.a2b_base64(one.data)
        await store_attachment(transaction, owner, one, data, limits, now)
        await link_attachments(transaction, conversation, [one.id])
