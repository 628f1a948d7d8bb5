"""Read a generation's log while it is written, with a cursor per reader.

A reader looks at the log first and waits only if there is nothing new, so that no change is
missed. All that was written while the reader was busy is one part.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from server.core.deltas import ANSWER, Label
from server.core.generation import Generation
from server.core.protocol import End, TokenInfo

# A part for a slow reader stays small enough to be sent in one piece.
_MAX_PART_CHARS: Final = 64 * 1024


@dataclass(frozen=True)
class Part:
    """New text of an answer, joined, its tokens if the log has them, and the end if it is reached.

    `tokens` includes special tokens, `text` does not.
    """

    text: str
    tokens: Sequence[TokenInfo]
    end: End | None = None
    label: Label = ANSWER


async def parts(
    generation: Generation,
    *,
    silence_seconds: float | None = None,
    kinds: Collection[str] = (),
) -> AsyncGenerator[Part | None, None]:
    """Yield an answer part by part up to its end, and None after each `silence_seconds` without.

    A part is of one kind; kinds that are not in `kinds` are read as answer.
    """
    changed = asyncio.Event()

    def on_change(_: Generation) -> None:
        changed.set()

    generation.watch(on_change)
    try:
        cursor = 0
        while True:
            try:
                async with asyncio.timeout(silence_seconds):
                    while generation.seq == cursor and not generation.has_ended:
                        changed.clear()
                        await changed.wait()
            except TimeoutError:
                yield None
                continue
            part, cursor = _part_after(cursor, generation, kinds, max_chars=_MAX_PART_CHARS)
            yield part
            if part.end is not None:
                return
    finally:
        generation.unwatch(on_change)


def whole(generation: Generation, *, kinds: Collection[str] = ()) -> Iterator[Part]:
    """Return an answer that has ended, kind by kind; the last part has the end."""
    cursor = 0
    max_chars = len(generation.text)
    while True:
        part, cursor = _part_after(cursor, generation, kinds, max_chars=max_chars)
        yield part
        if part.end is not None:
            return


def _part_after(
    cursor: int, generation: Generation, kinds: Collection[str], *, max_chars: int
) -> tuple[Part, int]:
    """Return what a log has after a cursor, as far as it is of one kind, and the next cursor."""
    text, stop, label = generation.text_since(cursor, max_chars=max_chars, kinds=kinds)
    tokens = generation.tokens_between(cursor, stop) or ()
    end = generation.end_event if stop == generation.seq else None
    return Part(text, tokens, end, label), stop


async def until_end(generation: Generation) -> End:
    """Wait for an answer's end and return it."""
    ended = asyncio.Event()

    def on_change(changed: Generation) -> None:
        if changed.has_ended:
            ended.set()

    generation.watch(on_change)
    try:
        while (end := generation.end_event) is None:
            await ended.wait()
    finally:
        generation.unwatch(on_change)
    return end
