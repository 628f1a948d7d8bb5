"""Read an answer while it is written, by a cursor of one's own.

The log is looked at first and waited for only if it holds nothing new, so that nothing is
lost in between. What collected while the reader was busy is one part.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

from server.core.generation import Generation
from server.core.protocol import End, TokenInfo

# What a slow reader gets at once stays small enough to be sent in one piece.
_MAX_PART_CHARS: Final = 64 * 1024


@dataclass(frozen=True)
class Part:
    """What is new of an answer: joined text, its tokens if they are kept, the end if it is there.

    `tokens` has the special tokens too, `text` does not.
    """

    text: str
    tokens: Sequence[TokenInfo]
    end: End | None = None


async def parts(
    generation: Generation, *, silence_seconds: float | None = None
) -> AsyncGenerator[Part | None, None]:
    """Yield an answer part by part until the one with its end, and None after each such silence."""
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
            text, stop = generation.text_since(cursor, max_chars=_MAX_PART_CHARS)
            tokens = generation.tokens_between(cursor, stop) or ()
            end = generation.end_event if stop == generation.seq else None
            cursor = stop
            yield Part(text, tokens, end)
            if end is not None:
                return
    finally:
        generation.unwatch(on_change)


async def until_end(generation: Generation) -> End:
    """Return an answer's end once it is there."""
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
