"""Whoever reads an answer while it is written gets all of it, in order, however slow they are."""

import asyncio
from contextlib import aclosing

from hypothesis import given
from hypothesis import strategies as st

import tests.support.properties  # noqa: F401
from server.chat.reading import Part, parts, until_end
from server.core.generation import Generation
from server.core.protocol import TokenInfo


def generation(*, keeps_tokens: bool = False) -> Generation:
    log = Generation("g", "m", now_ms=0, keeps_tokens=keeps_tokens)
    log.move_to("running", now_ms=0)
    return log


async def read(log: Generation, pauses: list[int]) -> list[Part]:
    """Read to the end, letting the writer go on for so many turns of the loop between parts."""
    found = []
    waits = iter(pauses)
    async with aclosing(parts(log)) as arriving:
        async for part in arriving:
            assert part is not None
            found.append(part)
            for _ in range(next(waits, 0)):
                await asyncio.sleep(0)
    return found


TURNS = st.lists(st.integers(0, 3), max_size=12)


@given(st.lists(st.lists(st.text(max_size=3), min_size=1, max_size=3), max_size=8), TURNS, TURNS)
def test_nothing_is_lost_and_nothing_comes_twice(
    batches: list[list[str]], writer_pauses: list[int], reader_pauses: list[int]
) -> None:
    async def run() -> None:
        log = generation(keeps_tokens=True)
        reading = asyncio.create_task(read(log, reader_pauses))
        waits = iter(writer_pauses)
        number = 0
        for batch in batches:
            for _ in range(next(waits, 0)):
                await asyncio.sleep(0)
            tokens = [TokenInfo(number + i, text, None, False) for i, text in enumerate(batch)]
            number += len(batch)
            log.append(batch, tokens, now_ms=1)
        log.end("stop", now_ms=2)
        found = await asyncio.wait_for(reading, 10)
        assert "".join(part.text for part in found) == log.text
        assert [token.id for part in found for token in part.tokens] == list(range(number))
        assert [part.end for part in found] == [None] * (len(found) - 1) + [log.end_event]

    asyncio.run(run())


async def test_silence_is_told_and_nothing_is_lost_by_it() -> None:
    log = generation()
    async with aclosing(parts(log, silence_seconds=0.01)) as arriving:
        assert await anext(arriving) is None
        assert await anext(arriving) is None
        log.append(["x"], [], now_ms=1)
        assert await anext(arriving) == Part("x", ())
        assert await anext(arriving) is None
        log.end("stop", now_ms=2)
        assert await anext(arriving) == Part("", (), log.end_event)


async def test_a_long_answer_is_read_in_pieces_of_bounded_size() -> None:
    log = generation()
    log.append(["x" * 1000] * 1000, [], now_ms=1)
    log.end("length", now_ms=2)
    found = await read(log, [])
    assert max(len(part.text) for part in found) <= 64 * 1024
    assert sum(len(part.text) for part in found) == 1_000_000


async def test_a_reader_that_leaves_is_not_told_any_more() -> None:
    log = generation()
    async with aclosing(parts(log, silence_seconds=0.01)) as arriving:
        await anext(arriving)
    waiting = asyncio.create_task(until_end(log))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not log._watchers
