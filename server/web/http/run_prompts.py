"""The operation that follows one prompt of a run while its answers are written."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from aiohttp import web

from server.runs.prompt_events import PromptEvent
from server.web.failures import Failure
from server.web.http.conversations import owner_of
from server.web.http.event_stream import COMMENT, joined, send_events
from server.web.http.operations import EVENTS, Group, Reply
from server.web.http.runs import runs_of
from server.web.keys import SETTINGS

GROUP: Final = Group("Runs")


@GROUP.operation(
    "GET",
    "/runs/{id}/prompts/{prompt}/events",
    Reply(
        "What is there of the answers, and then what is new.",
        {EVENTS: PromptEvent},
        breaks_off_with=Failure,
    ),
    errors=(404, 503),
    allows_head=False,
    role="user",
)
async def follow_prompt(request: web.Request) -> web.StreamResponse:
    """Follow the answers to one prompt of a run, numbered from 0, while they are written.

    First come all of its answers: an `answer` that is complete, with its checks, or a `snapshot`
    of what is written so far. `delta` events go on with a snapshot, until the `answer` takes its
    place; another snapshot begins an answer anew, which is asked again. What a slow client has not
    read is joined. The last event is `end`: the run is over, all answers are complete, or the
    server is about to stop.
    """
    names = request.match_info
    silence = request.app[SETTINGS].server.keep_alive
    told = runs_of(request).prompts.follow(owner_of(request), names["id"], names["prompt"], silence)

    async def pieces() -> AsyncGenerator[bytes, None]:
        async with aclosing(told) as several:
            async for events in several:
                for piece in (COMMENT,) if events is None else joined(events):
                    yield piece
                    # A write that the kernel takes at once gives nobody else a turn.
                    await asyncio.sleep(0)

    return await send_events(request, pieces())
