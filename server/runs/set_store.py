"""What is stored of prompt sets, each on behalf of an owner.

Rules:

1. What belongs to somebody else is answered exactly like what does not exist.
2. A set's prompts are never changed in place: a change is a new version, and runs keep theirs.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from server.archive.answer_writer import to_json
from server.core.errors import RunLimit, UnknownPromptSet
from server.runs.shapes import SetChange, SetSummary, SetVersion
from server.storage.database import Database, Row, Transaction

_MAX_EARLIER: Final = 50
_SETS: Final = """
    SELECT id, name, tags, created, updated, prompt_set.version, prompts, 1 + (SELECT count(*)
        FROM earlier_version AS one WHERE one.prompt_set = number
            AND one.version <> prompt_set.version)
    FROM prompt_set JOIN content USING (version)
"""


class SetStore:
    """The prompt sets of the open file; an owner may have `most`."""

    def __init__(self, database: Database, most: int, clock: Callable[[], float]) -> None:
        self._database = database
        self._most = most
        self._clock = clock

    async def add(
        self, owner: str, name: str, tags: Sequence[str], version: str, body: str, prompts: int
    ) -> SetSummary:
        """Store a new set; raises `RunLimit` or `StorageFailed`."""
        name_of_it, now = f"p_{secrets.token_hex(8)}", self._clock()
        async with self._database.write() as transaction:
            row = await transaction.row("SELECT count(*) FROM prompt_set WHERE owner = ?", (owner,))
            if row is not None and row[0] >= self._most:
                raise RunLimit(
                    f"{self._most} prompt sets are kept for one owner, and no more",
                    hint="delete some, or raise `max_sets` in [runs]",
                )
            await _keep(transaction, version, body, prompts)
            await transaction.run(
                "INSERT INTO prompt_set (id, owner, name, tags, created, updated, version)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (name_of_it, owner, name, to_json(list(tags)), now, now, version),
            )
            return await _set(transaction, owner, name_of_it)

    async def replace_prompts(
        self, owner: str, set_id: str, version: str, body: str, prompts: int
    ) -> SetSummary:
        """Give a set a new version; the earlier one stays known. Raises `UnknownPromptSet`."""
        now = self._clock()
        async with self._database.write() as transaction:
            before = await _set(transaction, owner, set_id)
            if before.version == version:
                return before
            await _keep(transaction, version, body, prompts)
            await transaction.run(
                "INSERT OR IGNORE INTO earlier_version"
                " SELECT number, updated, version FROM prompt_set WHERE id = ?",
                (set_id,),
            )
            await transaction.run(
                "UPDATE prompt_set SET version = ?, updated = ? WHERE id = ?",
                (version, now, set_id),
            )
            await transaction.run(
                "DELETE FROM earlier_version WHERE (prompt_set, version) IN (SELECT prompt_set,"
                " earlier_version.version FROM earlier_version JOIN prompt_set AS one"
                " ON one.number = prompt_set WHERE one.id = ? ORDER BY earlier_version.created DESC"
                " LIMIT -1 OFFSET ?)",
                (set_id, _MAX_EARLIER),
            )
            await forget_unused(transaction)
            return await _set(transaction, owner, set_id)

    async def change(self, owner: str, set_id: str, change: SetChange) -> SetSummary:
        """Rename a set or give it tags; raises `UnknownPromptSet`."""
        async with self._database.write() as transaction:
            before = await _set(transaction, owner, set_id)
            name = before.name if change.name is None else change.name
            tags = before.tags if change.tags is None else change.tags
            await transaction.run(
                "UPDATE prompt_set SET name = ?, tags = ?, updated = ? WHERE id = ?",
                (name, to_json(tags), self._clock(), set_id),
            )
            return await _set(transaction, owner, set_id)

    async def remove(self, owner: str, set_id: str) -> None:
        """Delete a set; runs keep the versions that they have asked. Raises `UnknownPromptSet`."""
        async with self._database.write() as transaction:
            await _set(transaction, owner, set_id)
            await transaction.run("DELETE FROM prompt_set WHERE id = ?", (set_id,))
            await forget_unused(transaction)

    async def browse(self, owner: str) -> list[SetSummary]:
        """Return the owner's sets, last changed first."""
        async with self._database.read() as transaction:
            rows = await transaction.rows(
                f"{_SETS} WHERE owner = ? ORDER BY updated DESC, number DESC", (owner,)
            )
        return [_summary(row) for row in rows]

    async def get(self, owner: str, set_id: str) -> SetSummary:
        """Return a set without its prompts; raises `UnknownPromptSet`."""
        async with self._database.read() as transaction:
            return await _set(transaction, owner, set_id)

    async def body(self, owner: str, set_id: str, version: str = "") -> str:
        """Return what a version of a set has in it, the present one if none is named.

        Raises `UnknownPromptSet`.
        """
        async with self._database.read() as transaction:
            summary = await _set(transaction, owner, set_id)
            version = version or summary.version
            row = await transaction.row(
                "SELECT body FROM content WHERE version = ? AND (version = ? OR version IN"
                " (SELECT earlier_version.version FROM earlier_version JOIN prompt_set AS one"
                " ON one.number = prompt_set WHERE one.id = ?))",
                (version, summary.version, set_id),
            )
        if row is None:
            raise UnknownPromptSet(f"the prompt set {set_id} has no version {version[:80]!r}")
        return str(row[0])

    async def versions(self, owner: str, set_id: str) -> list[SetVersion]:
        """Return the versions of a set, the present one first; raises `UnknownPromptSet`."""
        async with self._database.read() as transaction:
            now = await _set(transaction, owner, set_id)
            rows = await transaction.rows(
                "SELECT content.version, content.prompts, one.created FROM earlier_version AS one"
                " JOIN content USING (version) JOIN prompt_set ON number = one.prompt_set"
                " WHERE id = ? AND content.version <> ? ORDER BY one.created DESC",
                (set_id, now.version),
            )
        return [SetVersion(now.version, now.prompts, now.updated), *(SetVersion(*r) for r in rows)]


async def _keep(transaction: Transaction, version: str, body: str, prompts: int) -> None:
    await transaction.run(
        "INSERT OR IGNORE INTO content VALUES (?, ?, ?)", (version, body, prompts)
    )


async def forget_unused(transaction: Transaction) -> None:
    """Delete what no set and no run has in it any more."""
    await transaction.run(
        "DELETE FROM content WHERE version NOT IN (SELECT version FROM prompt_set UNION"
        " SELECT version FROM earlier_version UNION SELECT version FROM run)"
    )


async def _set(transaction: Transaction, owner: str, set_id: str) -> SetSummary:
    row = await transaction.row(f"{_SETS} WHERE owner = ? AND id = ?", (owner, set_id))
    if row is None:
        raise UnknownPromptSet(f"there is no prompt set {set_id[:80]!r}")
    return _summary(row)


def _summary(row: Row) -> SetSummary:
    name, title, tags, *others = row
    return SetSummary(name, title, msgspec.json.decode(tags), *others)
