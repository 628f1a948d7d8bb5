"""The composition root: the one file that knows all the others.

A resource is one generator: what comes before its `yield` starts it, what comes after
ends it. aiohttp ends them in the opposite order, once no request is served any more;
sockets and answers under way are ended before that, in `on_shutdown`.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from aiohttp import web

from server.access.quota import Quota
from server.archive.archive import Archive, ArchiveLimits
from server.archive.following import DescribeEngine
from server.chat.admission import Admission
from server.chat.answer_cache import AnswerCache
from server.chat.desk import Desk
from server.chat.session import SessionLimits
from server.chat.session_store import SessionStore, StoreLimits
from server.core.errors import StorageFailed
from server.core.placement import Capacity
from server.dialects.connector import Connector
from server.dialects.http.timeouts import Timeouts
from server.models.added_servers import AddedServers
from server.models.attempt import Limits
from server.models.catalog import ModelSpec
from server.models.catalog_source import CatalogSource
from server.models.discovery import Discovery
from server.models.fleet import Fleet
from server.models.found import Found
from server.models.listing import ServerLists
from server.models.runners.command.runner import CommandRunner
from server.models.runners.docker.runner import DockerRunner
from server.models.runners.process import CommandFor, ProcessRunner
from server.models.runners.remote import RemoteRunner
from server.settings import EngineSettings, SessionSettings, Settings
from server.web import middleware
from server.web.entry.gate import GATE, install_gate
from server.web.entry.sign_in import SignIn
from server.web.garbage import quieten_garbage
from server.web.http import api
from server.web.http.addresses import serve_untidy_addresses
from server.web.http.openapi import DESCRIPTION, Description
from server.web.http.operations import routes
from server.web.keys import (
    ARCHIVE,
    CATALOG_SOURCE,
    DESK,
    DISCOVERY,
    FLEET,
    LOOP_LAG,
    SERVERS,
    SESSIONS,
    SETTINGS,
    SOCKETS,
    TALLY,
)
from server.web.observation import observing
from server.web.observation.loop_lag import LoopLag
from server.web.observation.tally import Tally
from server.web.page import Page
from server.web.sockets.keeping import engine_of
from server.web.sockets.register import Sockets
from server.web.sockets.websocket import websocket

logger = logging.getLogger(__name__)

# How often sessions are looked over; one may outlive its time by so many seconds.
EXPIRY_INTERVAL_SECONDS: Final = 10.0
# How often conversations are looked over that are kept for a while only.
TIDY_INTERVAL_SECONDS: Final = 600.0


def build_app(settings: Settings, *, command_for: CommandFor | None = None) -> web.Application:
    """Put the application together; nothing runs before aiohttp starts it.

    `command_for` replaces the embedded engine's command line.
    """
    quieten_garbage()
    app = web.Application(
        middlewares=[observing.observed, middleware.errors, middleware.guarded],
        client_max_size=settings.server.max_frame_bytes,
    )
    app[SETTINGS] = settings
    app[SOCKETS] = Sockets()
    app[TALLY] = Tally()
    install_gate(app, settings)
    app.on_response_prepare.extend([middleware.add_headers, observing.add_request_id])
    app[DESCRIPTION] = Description(api.OPERATIONS)
    serve_untidy_addresses(app, app.router.add_routes(routes(api.OPERATIONS)))
    page = Page(app[DESCRIPTION])
    app.router.add_routes([*page.routes(), *SignIn(app[GATE], page).routes()])
    app.router.add_get("/ws", websocket)
    engine = command_for or _engine_command(settings.engines)

    async def fleet(app: web.Application) -> AsyncIterator[None]:
        lists = ServerLists(
            settings.server.state_dir.expanduser() / f"{settings.server.instance}.models"
        )
        source = app[CATALOG_SOURCE] = CatalogSource(settings, lists)
        found, held_ports = Found(), set[int]()
        fleet = app[FLEET] = _build_fleet(settings, engine, source, found, held_ports)
        source.attach(fleet)
        servers = app[SERVERS] = AddedServers(found, source)
        adoption = asyncio.create_task(fleet.adopt(), name="adoption")
        discovery = app[DISCOVERY] = Discovery(
            settings,
            found,
            own_ports=lambda: held_ports | fleet.own_ports(),
            after=adoption,
        )
        yield
        await servers.close()
        await discovery.close()
        await _end(adoption)
        await source.close()
        await fleet.close(keeps_servers=settings.engines.on_exit == "keep")

    async def sessions(app: web.Application) -> AsyncIterator[None]:
        app[DESK] = _build_desk(app[FLEET], settings, app[GATE].quota)
        app[SESSIONS] = SessionStore(app[DESK], _session_limits(settings.sessions))
        tasks = [
            asyncio.create_task(_expire(app[SESSIONS]), name="session expiry"),
            asyncio.create_task(app[GATE].follow(app[SESSIONS]), name="keys"),
        ]
        yield
        await _end(*tasks)

    async def loop_lag(app: web.Application) -> AsyncIterator[None]:
        app[LOOP_LAG] = LoopLag()
        yield
        app[LOOP_LAG].close()

    async def archive(app: web.Application) -> AsyncIterator[None]:
        if not settings.conversations.enabled:
            yield
            return
        archive = await open_archive(settings, lambda model_id: engine_of(app[FLEET], model_id))
        app[ARCHIVE] = archive
        tidying = asyncio.create_task(_tidy(archive), name="tidying")
        yield
        await _end(tidying)
        await archive.close()

    # The archive first: a file that cannot be used ends the start before anything else begins,
    # and the last words of answers are stored when all else has ended.
    app.cleanup_ctx.extend([archive, fleet, sessions, loop_lag])
    app.on_shutdown.append(_end_sessions)
    return app


async def open_archive(settings: Settings, describe: DescribeEngine) -> Archive:
    """Open the conversations; raises `UnusableFile` or `StorageFailed`."""
    kept, server = settings.conversations, settings.server
    path = Path(kept.file) if kept.file else server.state_dir / f"{server.instance}.conversations"
    limits = ArchiveLimits(
        conversations=kept.max_conversations,
        conversation_chars=kept.max_conversation_size,
        file_bytes=kept.max_size,
        keep_seconds=kept.keep_for,
        deleted_seconds=kept.deleted_ttl,
    )
    return await Archive.open(path.expanduser(), limits, describe)


def _build_fleet(
    settings: Settings,
    command_for: CommandFor,
    source: CatalogSource,
    found: Found,
    held_ports: set[int],
) -> Fleet:
    engines = settings.engines
    hub_cache = str(settings.docker.hf_cache.expanduser() / "hub")
    timeouts = Timeouts(engines.connect_timeout, engines.read_timeout, engines.first_token_timeout)
    common = Limits(
        download=engines.download_timeout,
        start=engines.start_timeout,
        drain=engines.drain_timeout,
        stop_grace=engines.stop_grace,
        health_interval=engines.health_interval,
        restarts=engines.restart_limit,
    )
    return Fleet(
        source.catalog(),
        {
            "process": ProcessRunner(command_for, ports=engines.ports, held_ports=held_ports),
            "command": CommandRunner(engines.ports, held_ports, hub_cache),
            "docker": DockerRunner(
                settings.docker,
                instance=settings.server.instance,
                ports=engines.ports,
                held_ports=held_ports,
            ),
            "remote": RemoteRunner(hub_cache),
        },
        Connector(timeouts).connect,
        {
            "process": common,
            "command": common,
            "docker": replace(
                common,
                download=settings.docker.download_timeout,
                start=settings.docker.start_timeout,
                stop_grace=settings.docker.stop_grace,
            ),
            # A remote server is not started: it answers soon or not at all.
            "remote": replace(common, start=engines.connect_timeout),
        },
        instance=settings.server.instance,
        capacity=Capacity(engines.max_running, engines.memory_budget),
        facts=source.facts,
        on_server_change=source.look_soon,
        found=found,
    )


def _build_desk(fleet: Fleet, settings: Settings, quota: Quota) -> Desk:
    answers = settings.answers
    return Desk(
        fleet,
        Admission(max_places=answers.max_queue),
        AnswerCache(max_bytes=answers.cache_size, max_age_seconds=answers.cache_max_age),
        queue_timeout_seconds=answers.queue_timeout,
        max_live_per_owner=settings.sessions.max_live_per_owner,
        max_prompt_chars=answers.max_prompt_chars,
        generation_timeout_seconds=answers.generation_timeout,
        quota=quota,
    )


def _session_limits(sessions: SessionSettings) -> StoreLimits:
    return StoreLimits(
        sessions=sessions.max_sessions,
        ttl_seconds=sessions.session_ttl,
        session=SessionLimits(
            live_generations=sessions.max_live_generations,
            kept_generations=sessions.max_kept_generations,
            kept_chars=sessions.max_kept_chars,
        ),
    )


def _engine_command(engines: EngineSettings) -> CommandFor:
    weights_dir = str(engines.weights_dir.expanduser())

    def command_for(spec: ModelSpec, listener: int, lifeline: int) -> list[str]:
        model = spec.settings
        options = {
            "--weights": model.weights,
            "--weights-dir": weights_dir,
            "--weights-sha256": model.weights_sha256,
            "--model-id": spec.id,
            "--fd": str(listener),
            "--lifeline-fd": str(lifeline),
            "--slots": str(model.slots),
            "--context-tokens": str(model.context_tokens),
            "--threads": str(model.threads or os.cpu_count() or 1),
            "--graceful-termination-timeout": str(engines.stop_grace),
        }
        given = [part for name, value in options.items() if value for part in (name, value)]
        return [sys.executable, "-m", "server.engine", "--json-output", *given]

    return command_for


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _expire(sessions: SessionStore) -> None:
    while True:
        await asyncio.sleep(EXPIRY_INTERVAL_SECONDS)
        await sessions.expire()


async def _tidy(archive: Archive) -> None:
    while True:
        try:
            await archive.tidy()
        except StorageFailed as error:
            logger.warning("old conversations are not deleted: %s", error)
        await asyncio.sleep(TIDY_INTERVAL_SECONDS)


async def _end_sessions(app: web.Application) -> None:
    """Let answers end, or interrupt them, and then say good-bye on every socket."""
    await app[DESK].close(grace_seconds=app[SETTINGS].server.shutdown_grace)
    await app[SOCKETS].close()
    app[FLEET].close_logs()
