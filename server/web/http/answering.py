"""Generate an answer for an HTTP request, and write it in the form of the API.

Rules:

1. The end of the request ends the answer: a client that disconnects cancels it, which frees the
   model server's slot.
2. An error before the first token is an HTTP status. After `keep_alive` seconds without a
   token the stream begins with a comment, so that no proxy gives it up while a
   model starts; from then on an error can only be an event.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any, Protocol

from aiohttp import web

from server.chat.prompt_attachments import PromptAttachments
from server.chat.reading import Part, parts, until_end
from server.chat.relay import GenerationTask
from server.chat.request import GenerationRequest
from server.core.errors import SidestreamError
from server.core.protocol import End, Message, TokenInfo
from server.web.entry.gate import CALLER
from server.web.failures import failure_of
from server.web.http.event_stream import COMMENT, EventStream
from server.web.http.sidestream_field import NO_WISHES, Wishes
from server.web.keys import GENERATIONS, SETTINGS

logger = logging.getLogger(__name__)


class Writer(Protocol):
    """Write an answer in the form of one API."""

    is_complete: bool
    """Whether the rest of the answer is not needed, although the model would go on."""

    @property
    def kinds(self) -> Collection[str]:
        """Return the kinds of text that are told apart; others are text of the answer."""

    def write(self, part: Part) -> bytes:
        """Return the events for new text."""

    def fail(self, error: SidestreamError) -> bytes:
        """Return the event for an answer that breaks off."""


def prepare(
    request: web.Request,
    model_id: str,
    content: Sequence[Message] | str,
    parameters: dict[str, Any],
    wishes: Wishes,
    attachments: PromptAttachments | None = None,
    *,
    optional: frozenset[str] = frozenset(),
) -> GenerationRequest:
    """Check a prompt for a model, with its attachments.

    `optional` are parameters that a model server may do without. Raises what
    `GenerationService.prepare` does.
    """
    wishes = wishes or NO_WISHES
    return request.app[GENERATIONS].prepare(
        model_id,
        content,
        parameters=[parameters],
        extra=wishes.extra,
        is_lenient=wishes.lenient,
        trims=wishes.trim is not None,
        optional=optional,
        attachments=attachments,
        principal=request[CALLER].principal,
    )


@contextmanager
def generating(
    request: web.Request, prepared: GenerationRequest, answer_id: str, *, keeps_tokens: bool
) -> Iterator[GenerationTask]:
    """Generate an answer while the context lasts; raises what `GenerationService.start` does."""
    caller = request[CALLER]
    (answer,) = request.app[GENERATIONS].start(
        [(answer_id, prepared)],
        party=f"http {caller.principal.id} {caller.address}",
        caller=caller,
        keeps_tokens=keeps_tokens,
    )
    try:
        yield answer
    finally:
        answer.cancel()


async def read_whole(answer: GenerationTask) -> tuple[str, Sequence[TokenInfo], End]:
    """Wait for the end of an answer; return its text, its tokens if the log has them, and its end.

    Raises the error with which it ended.
    """
    generation = answer.generation
    end = await until_end(generation)
    error = failure_of(end)
    if error is not None:
        raise error
    return generation.text, generation.tokens_between(0, generation.seq) or (), end


async def stream_answer(
    request: web.Request, answer: GenerationTask, writer: Writer
) -> web.StreamResponse:
    """Send an answer as events while it is generated.

    Raises the error with which it ended, if nothing was sent before.
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


async def _carry(
    request: web.Request, answer: GenerationTask, writer: Writer, stream: EventStream
) -> None:
    silence_seconds = request.app[SETTINGS].server.keep_alive
    async with aclosing(
        parts(answer.generation, silence_seconds=silence_seconds, kinds=writer.kinds)
    ) as arriving:
        async for part in arriving:
            if part is None:
                await stream.send(COMMENT)
                continue
            error = None if part.end is None or writer.is_complete else failure_of(part.end)
            if error is None:
                events = writer.write(part)
            elif part.text or stream.has_begun:
                events = writer.write(replace(part, end=None)) + writer.fail(error)
            else:
                raise error
            if events:
                await stream.send(events)
            if writer.is_complete:
                # The model would go on after a stop sequence that its server did not notice.
                answer.cancel()
