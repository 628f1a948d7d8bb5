"""Numbers of rows that are never given out again, also after the row is deleted.

What was begun for a deleted row, by a task or a process that knows its number, then finds nothing:
SQLite alone would give the highest number again, to a row that may be another owner's.
"""

from typing import Literal

from server.storage.database import Transaction


async def next_number(transaction: Transaction, of: Literal["run", "judge"]) -> int:
    """Return a number that no row of this table has ever had; raises `StorageFailed`.

    It counts as given out once the transaction is committed.
    """
    await transaction.run("UPDATE last_number SET number = number + 1 WHERE of = ?", (of,))
    ((number,),) = await transaction.rows("SELECT number FROM last_number WHERE of = ?", (of,))
    return int(number)
