"""Answers that are stored in a conversation: the archive's words for requests and models.

Rule: the archive is asked for the destination before anything starts; between the last check and
the first record nothing is awaited, so that every answer that has started is recorded.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from server.archive.archive import Archive
from server.archive.shapes import Asked, StoredEngine
from server.archive.slots import ConversationSlot, StartedAnswer
from server.chat.relay import GenerationTask
from server.chat.request import GenerationRequest
from server.core.errors import StorageFailed, UnknownModel
from server.core.protocol import Record, Target
from server.models.fleet import Fleet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Destination:
    """Where the answers of one command are stored."""

    archive: Archive
    slot: ConversationSlot

    def store(
        self, requests: Sequence[GenerationRequest], started: Sequence[GenerationTask]
    ) -> list[str]:
        """Store the answers from now on, one for each target; return their ids in the archive."""
        return self.archive.record(
            self.slot,
            [
                StartedAnswer(
                    task.generation,
                    _parameters(request),
                    _asked(request),
                    sorted(request.asked & request.parameters.keys()),
                )
                for request, task in zip(requests, started, strict=True)
            ],
        )


async def find_destination(
    archive: Archive,
    owner: str,
    record: Record,
    targets: Sequence[Target],
    request_id: str | None = None,
) -> Destination | None:
    """Find where answers are to be stored; None if nothing can be stored for the time being.

    Raises what `Archive.find_slot` does, except for `StorageFailed`.
    """
    try:
        slot = await archive.find_slot(owner, record, targets, request_id=request_id)
        archive.check_slot(slot)
    except StorageFailed as error:
        logger.warning("answers are not stored: %s", error)
        return None
    return Destination(archive, slot)


def engine_of(fleet: Fleet, model_id: str) -> StoredEngine | None:
    """Return what serves a model now, as far as it is known; None if the model has gone."""
    try:
        spec, info = fleet.spec(model_id), fleet.info(model_id)
    except UnknownModel:
        return None
    return StoredEngine(
        engine=spec.engine or info.engine,
        runner=spec.runner,
        model_id=info.model_id,
        version=info.version,
        revision=info.revision,
        image=info.image,
        weights=spec.settings.weights,
    )


def _parameters(request: GenerationRequest) -> dict[str, Any]:
    """Return the parameters; a length that nobody chose is known when the answer runs."""
    parameters = dict(request.parameters)
    if not request.has_chosen_length:
        parameters.pop("max_new_tokens", None)
    return parameters


def _asked(request: GenerationRequest) -> list[Asked]:
    if isinstance(request.content, str):
        return [Asked("prompt", request.content)]
    # A message has some of the fields of a stored one, under the same names.
    messages = request.attachments.named(request.content)
    return msgspec.convert(msgspec.to_builtins(messages), list[Asked])
