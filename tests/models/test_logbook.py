"""A log with several readers: each has its own position, and none delays another."""

import asyncio
from collections.abc import AsyncIterator

from server.models.logbook import LogBook, LogLine


def add(book: LogBook, *numbers: int) -> None:
    """Write numbers as lines."""
    for number in numbers:
        book.add(LogLine(0.0, "stdout", str(number)))


async def numbers(batches: AsyncIterator[list[LogLine]]) -> list[int]:
    """Read to the end."""
    async with asyncio.timeout(5):
        return [int(line.text) async for lines in batches for line in lines]


async def test_history_is_as_long_as_asked() -> None:
    book = LogBook()
    add(book, *range(10))
    for tail, expected in ((0, []), (3, [7, 8, 9]), (10, list(range(10))), (99, list(range(10)))):
        assert await numbers(book.read(tail=tail, follow=False)) == expected
        assert [int(line.text) for line in book.tail(tail)] == expected


async def test_a_follower_gets_each_line_until_the_logbook_closes() -> None:
    book = LogBook()
    add(book, 1, 2)
    reading = asyncio.create_task(numbers(book.read(tail=1, follow=True)))
    for number in (3, 4, 5):
        await asyncio.sleep(0)
        add(book, number)
    book.close()
    assert await reading == [2, 3, 4, 5]


async def test_lines_that_come_while_a_reader_is_busy_are_not_lost() -> None:
    book = LogBook()
    add(book, 1)
    batches = book.read(tail=9, follow=True)
    assert [line.text for line in await anext(batches)] == ["1"]
    add(book, 2, 3)
    book.close()
    assert await numbers(batches) == [2, 3]


async def test_a_reader_that_is_too_slow_misses_what_is_forgotten() -> None:
    book = LogBook(max_lines=3)
    add(book, 1)
    batches = book.read(tail=9, follow=True)
    await anext(batches)
    add(book, *range(2, 100))
    book.close()
    assert await numbers(batches) == [97, 98, 99]


async def test_a_closed_book_is_read_to_its_end_and_no_further() -> None:
    book = LogBook()
    add(book, 1)
    book.close()
    assert await numbers(book.read(tail=9, follow=True)) == [1]


async def test_lines_without_measure_do_not_fill_the_memory() -> None:
    book = LogBook(max_chars=100)
    for number in range(10):
        book.add(LogLine(0.0, "stdout", str(number) * 40))
    assert [line.text[0] for line in book.tail(99)] == ["8", "9"]
    book.add(LogLine(0.0, "stdout", "x" * 1000))
    assert book.tail(99) == []
    add(book, 1, 2)
    book.close()
    assert await numbers(book.read(tail=9, follow=True)) == [1, 2]
