"""Have an answer written for an HTTP request, and carry it there in the form asked for.

Rules:

1. Whatever ends the request ends the answer: a client that goes away cancels it, and the
   model server's slot is free.
2. An error before the first token is an HTTP status. After `keep_alive` seconds without a
   token the stream begins with a comment, so that nothing in between gives it up while a
   model starts; from then on an error can only be an event.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Protocol

from aiohttp import web

from server.chat.desk import Answer
from server.chat.reading import Part, parts, until_end
from server.chat.request import Request
from server.core.errors import SidestreamError
from server.core.protocol import End, TokenInfo
from server.web.entry.gate import CALLER
from server.web.failures import failure_of
from server.web.http.event_stream import EventStream
from server.web.http.sse import COMMENT
from server.web.keys import DESK, SETTINGS

logger = logging.getLogger(__name__)


class Writer(Protocol):
    """Write an answer in one of the forms there are."""

    is_complete: bool
    """Whether nothing more is wanted of the answer, even if the model would go on."""

    def write(self, part: Part) -> bytes:
        """Return the events for what is new."""

    def fail(self, error: SidestreamError) -> bytes:
        """Return the event for an answer that breaks off."""


@contextmanager
def asking(
    request: web.Request, question: Request, answer_id: str, *, keeps_tokens: bool
) -> Iterator[Answer]:
    """Have `question` answered while the context lasts; raises what `Desk.ask` does."""
    caller = request[CALLER]
    answer = request.app[DESK].ask(
        question,
        answer_id,
        party=f"http {caller.principal.id} {caller.address}",
        caller=caller,
        keeps_tokens=keeps_tokens,
    )
    try:
        yield answer
    finally:
        answer.cancel()


async def read_whole(answer: Answer) -> tuple[str, Sequence[TokenInfo], End]:
    """Return an answer's text, its tokens if they are kept, and its end, once it has ended.

    Raises the error with which it ended.
    """
    generation = answer.generation
    end = await until_end(generation)
    error = failure_of(end)
    if error is not None:
        raise error
    return generation.text, generation.tokens_between(0, generation.seq) or (), end


async def stream_answer(request: web.Request, answer: Answer, writer: Writer) -> web.StreamResponse:
    """Send an answer as events while it is written.

    Raises the error with which it ended, if nothing was sent by then.
    """
    stream = EventStream(request)
    try:
        try:
            await _carry(request, answer, writer, stream)
        except ConnectionError:
            raise
        except Exception:
            if not stream.has_begun:
                raise
            logger.exception("%s %s broke", request.method, request.path)
            await stream.send(writer.fail(SidestreamError("internal error")))
        await stream.finish()
    except ConnectionError:
        logger.debug("the client of %s is gone", answer.generation.id)
    return stream.response


async def _carry(request: web.Request, answer: Answer, writer: Writer, stream: EventStream) -> None:
    silence_seconds = request.app[SETTINGS].server.keep_alive
    async with aclosing(parts(answer.generation, silence_seconds=silence_seconds)) as arriving:
        async for part in arriving:
            if part is None:
                await stream.send(COMMENT)
                continue
            error = None if part.end is None or writer.is_complete else failure_of(part.end)
            if error is None:
                events = writer.write(part)
            elif part.text or stream.has_begun:
                events = writer.write(Part(part.text, part.tokens)) + writer.fail(error)
            else:
                raise error
            if events:
                await stream.send(events)
            if writer.is_complete:
                # It would write on behind a stop sequence that it did not notice.
                answer.cancel()
