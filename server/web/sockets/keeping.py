"""Answers that are kept: a command of the socket, put into the words of the archive.

Where they belong is looked up before anything starts. Between the last look and their beginning
nothing is waited for, so that an answer that has begun is one that is kept.
"""

import logging
from collections.abc import Sequence

from server.archive.archive import Archive
from server.archive.places import Begun as BegunAnswer
from server.archive.places import Place
from server.archive.shapes import Asked, Engine
from server.chat.request import Request
from server.chat.session import Keeper
from server.core.errors import ConversationsOff, StorageFailed, UnknownModel
from server.core.generation import Generation
from server.core.protocol import Begun, Generate, Record
from server.models.fleet import Fleet
from server.web.sockets.connection import Connection

logger = logging.getLogger(__name__)


async def generate_kept(connection: Connection, command: Generate, record: Record) -> Begun:
    """Carry out a `generate` whose answers are kept.

    Raises what `Session.generate` does, `ConversationsOff`, and what `Archive.place` does; but
    where nothing can be stored just now, the answers are given without being kept.
    """
    archive, session = connection.archive, connection.session
    if archive is None:
        raise ConversationsOff("this server keeps no conversations")
    keep = None
    try:
        place = await archive.place(session.principal.id, record, command.targets)
        archive.check(place)
        keep = _keeper(archive, place)
    except StorageFailed as error:
        logger.warning("answers are not kept: %s", error)
    generations = connection.generate(command, keep)
    return Begun(generations, session.kept_as(generations))


def engine_of(fleet: Fleet, model_id: str) -> Engine | None:
    """Return what answers for a model just now, as far as it is known; None if it has gone."""
    try:
        spec, info = fleet.spec(model_id), fleet.info(model_id)
    except UnknownModel:
        return None
    return Engine(
        engine=spec.engine or info.engine,
        runner=spec.runner,
        model_id=info.model_id,
        version=info.version,
        revision=info.revision,
        image=info.image,
        weights=spec.settings.weights,
    )


def _keeper(archive: Archive, place: Place) -> Keeper:
    def keep(asked: Sequence[tuple[Request, Generation]]) -> list[str]:
        return archive.begin(
            place,
            [
                BegunAnswer(generation, dict(request.parameters), _asked(request))
                for request, generation in asked
            ],
        )

    return keep


def _asked(request: Request) -> list[Asked]:
    if isinstance(request.content, str):
        return [Asked("prompt", request.content)]
    return [Asked(message.role, message.content) for message in request.content]
