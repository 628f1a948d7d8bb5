"""Answers that are repeated out of the archive: logs that have ended, as the stored answers did.

What was asked once is not asked again, whatever became of the session that asked: the command is
known in its conversation by its `request_id`.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from server.archive.archive import Archive
from server.archive.shapes import StoredAnswer
from server.chat.relay import GenerationTask
from server.chat.token_runs import runs_of
from server.core.errors import StorageFailed, UnknownGeneration
from server.core.generation import Generation
from server.core.protocol import Generate, TokenInfo
from server.dialects.base import NO_TOKEN_ID
from server.dialects.thinking import Thinking
from server.dialects.tool_calls import ToolCalls


async def find_repeated(archive: Archive, owner: str, command: Generate) -> list[StoredAnswer]:
    """Return the stored answers to a command, one for each target; none if it is a new one.

    Raises `UnknownConversation`, and `UnknownGeneration` while an answer is still being written, or
    if not all of them are there.
    """
    if command.record is None or command.request_id is None:
        return []
    try:
        found = await archive.repeated(owner, command.record.conversation, command.request_id)
    except StorageFailed:
        # As where nothing is stored for the time being, which the end of the answers does not tell.
        return []
    if any(one.state != "ended" for one in found):
        raise UnknownGeneration(
            "the answers to this request are still being written, in another session",
            hint="resume that session, or ask again when they have ended",
        )
    if found and len(found) != len(command.targets):
        raise UnknownGeneration(
            f"of the {len(command.targets)} answers to this request {len(found)} are stored"
        )
    return found


def repeated(generation_id: str, answer: StoredAnswer, *, now_ms: float) -> GenerationTask:
    """Return an ended log with the content and the end of a stored answer."""
    generation = Generation(generation_id, answer.model, now_ms=now_ms)
    generation.move_to("running", now_ms=now_ms)
    for label, tokens in runs_of(_tokens_of(answer)):
        texts = [token.text for token in tokens]
        generation.append(texts, tokens, now_ms=now_ms, label=label)
    generation.end(
        answer.finish_reason or "interrupted",
        now_ms=now_ms,
        error=answer.error,
        is_cached=answer.cached,
        notices=answer.notices,
        details=answer.details,
        answered_by=answer.answered_by,
        cost=answer.cost,
    )
    end = generation.end_event
    if end is not None:
        generation.end_event = msgspec.structs.replace(
            end, usage=answer.usage or end.usage, timings=answer.timings or end.timings
        )
    written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    written.set_result(None)
    return GenerationTask(generation, written)


def _tokens_of(answer: StoredAnswer) -> list[TokenInfo]:
    """Return what the answer is made of, with the marks that stand between its kinds."""
    thinking = Thinking()
    tokens = thinking.think(_token(answer.reasoning)) if answer.reasoning else []
    calls = [
        {"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.tool_calls
    ]
    return [*tokens, *thinking.close(), *_token(answer.text), *ToolCalls().take_whole(calls)]


def _token(text: str) -> Sequence[TokenInfo]:
    return [TokenInfo(NO_TOKEN_ID, text, None, special=False)] if text else []
