"""The composition root: the one file that knows all the others.

A resource is one generator: what comes before its `yield` starts it, what comes after
ends it. aiohttp ends them in the opposite order, once no request is served any more;
sockets and answers under way are ended before that, in `on_shutdown`.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from server.access.quota import Quota
from server.archive.answer_writer import DescribeEngine
from server.archive.archive import Archive, ArchiveLimits
from server.archive.attachments import AttachmentsInMemory
from server.chat.admission import Admission
from server.chat.answer_cache import AnswerCache
from server.chat.generation_service import GenerationService
from server.chat.session import SessionLimits
from server.chat.session_store import SessionStore, StoreLimits
from server.chat.storing import engine_of
from server.core.attachments import AttachmentLimits
from server.core.errors import StorageFailed
from server.core.placement import Capacity
from server.dialects.connector import Connector
from server.dialects.http.timeouts import Timeouts
from server.models.capacity.gpus import gpu_takes
from server.models.catalogue.added_models import AddedModels
from server.models.catalogue.added_servers import AddedServers
from server.models.catalogue.catalog import ModelSpec
from server.models.catalogue.discovery import Discovery
from server.models.catalogue.found_servers import FoundServers
from server.models.catalogue.listing import ServerLists
from server.models.catalogue.source import CatalogSource
from server.models.fleet import Fleet
from server.models.runners.docker.engines import DockerEnginesRunner
from server.models.runners.docker.places import DockerPlaces
from server.models.runners.docker.runner import DockerRunner
from server.models.runners.programs.embedded import EmbeddedLauncher
from server.models.runners.programs.launch import Launcher
from server.models.runners.registry import RunnerContext, limits_of, make_runners
from server.runs.board import no_rounds
from server.runs.opening import open_runs
from server.settings.tables import SessionSettings, Settings
from server.web import middleware
from server.web.entry.gate import GATE, install_gate
from server.web.entry.roles import add_routes
from server.web.entry.sign_in import SignIn
from server.web.http import api
from server.web.http.openapi import DESCRIPTION, Description
from server.web.http.operations import add_operations
from server.web.keys import (
    ADDED_MODELS,
    ADDED_SERVERS,
    ARCHIVE,
    ATTACHMENTS,
    CATALOG_SOURCE,
    COMMAND_CHECKS,
    DISCOVERY,
    FLEET,
    GENERATIONS,
    LEADERBOARDS,
    LOOP_LAG,
    PROMPT_SETS,
    REQUEST_COUNTERS,
    RUNS,
    SESSIONS,
    SETTINGS,
    SOCKETS,
)
from server.web.log_filters import quieten_malformed_requests
from server.web.metrics import request_log
from server.web.metrics.service import LoopLag, RequestCounters
from server.web.page import PAGE, Page
from server.web.sockets.socket import Sockets
from server.web.sockets.websocket import websocket

logger = logging.getLogger(__name__)

# How often sessions are looked over; one may outlive its time by so many seconds.
EXPIRY_INTERVAL_SECONDS: Final = 10.0
# How often conversations are looked over that are kept for a while only.
TIDY_INTERVAL_SECONDS: Final = 600.0
# Attachments of all owners where no conversations are stored: some fifty photographs.
ATTACHMENTS_IN_MEMORY: Final = 256 << 20
# What has ended is checked and told of by then; a check that takes longer is done another time.
LAST_ANSWERS_SECONDS: Final = 1.0


def build_app(settings: Settings, *, embedded: Launcher | None = None) -> web.Application:
    """Put the application together; nothing runs before aiohttp starts it.

    `embedded` takes the embedded engine's place.
    """
    quieten_malformed_requests()
    app = web.Application(
        middlewares=[request_log.logged, middleware.errors, middleware.guarded],
        client_max_size=settings.server.max_frame_bytes,
    )
    app[SETTINGS] = settings
    app[SOCKETS] = Sockets()
    app[REQUEST_COUNTERS] = RequestCounters()
    install_gate(app, settings)
    app.on_response_prepare.extend([middleware.add_headers, request_log.add_request_id])
    app[DESCRIPTION] = Description(api.OPERATIONS)
    add_operations(app, api.OPERATIONS)
    page = app[PAGE] = Page(app[DESCRIPTION], has_runs=settings.runs.enabled)
    add_routes(app, "anyone", [*page.public_routes(), *SignIn(app[GATE], page).routes()])
    add_routes(app, "user", [*page.routes(), web.get("/ws", websocket)])
    engine = embedded or EmbeddedLauncher(settings.engines.weights_dir.expanduser())

    async def fleet(app: web.Application) -> AsyncIterator[None]:
        server = settings.server
        lists = ServerLists(server.state_dir.expanduser() / f"{server.instance}.models")
        source = app[CATALOG_SOURCE] = CatalogSource(settings, lists)
        found, held_ports = FoundServers(), set[int]()
        fleet = app[FLEET] = _build_fleet(settings, engine, source, found, held_ports)
        source.set_fleet(fleet)
        servers = app[ADDED_SERVERS] = AddedServers(found, source)
        app[ADDED_MODELS] = AddedModels(source, servers)
        adoption = asyncio.create_task(fleet.adopt(), name="adoption")
        discovery = app[DISCOVERY] = Discovery(
            settings,
            found,
            own_ports=lambda: held_ports | fleet.own_ports(),
            after=adoption,
        )
        yield
        await servers.additions.close()
        await discovery.close()
        await _end(adoption)
        await source.close()
        await fleet.close(keeps_servers=settings.engines.on_exit == "keep")

    async def sessions(app: web.Application) -> AsyncIterator[None]:
        app[GENERATIONS] = _build_generation_service(app[FLEET], settings, app[GATE].quota)
        app[SESSIONS] = SessionStore(app[GENERATIONS], _session_limits(settings.sessions))
        tasks = [
            asyncio.create_task(_expire(app[SESSIONS]), name="session expiry"),
            asyncio.create_task(app[GATE].follow(app[SESSIONS]), name="keys"),
        ]
        yield
        await _end(*tasks)

    async def runs(app: web.Application) -> AsyncIterator[None]:
        if not settings.runs.enabled:
            yield
            return
        keyring = app[GATE].keyring
        path = _kept_in(settings, settings.runs.file, "runs")
        async with open_runs(
            path,
            settings.runs,
            app[FLEET],
            app[GENERATIONS],
            keyring.holder,
            keyring.named,
            settings.command_checks,
            app[ARCHIVE].votes.rounds if ARCHIVE in app else no_rounds,
        ) as opened:
            app[PROMPT_SETS], app[RUNS], app[COMMAND_CHECKS], app[LEADERBOARDS] = opened
            yield

    async def archive(app: web.Application) -> AsyncIterator[None]:
        if not settings.conversations.enabled:
            app[ATTACHMENTS] = AttachmentsInMemory(
                attachment_limits(settings), max_bytes=ATTACHMENTS_IN_MEMORY, clock=time.monotonic
            )
            yield
            return
        app[ARCHIVE] = await open_archive(settings, lambda name: engine_of(app[FLEET], name))
        app[ATTACHMENTS] = app[ARCHIVE].attachments
        tidying = asyncio.create_task(_tidy(app[ARCHIVE]), name="tidying")
        yield
        await _end(tidying)
        await app[ARCHIVE].close()

    # The archive first: a file that cannot be used ends the start before anything else begins,
    # and the last words of answers are stored when all else has ended.
    app.cleanup_ctx.extend([archive, fleet, sessions, runs, _loop_lag])
    app.on_shutdown.append(_end_sessions)
    return app


async def open_archive(settings: Settings, describe: DescribeEngine) -> Archive:
    """Open the conversations; raises `UnusableFile` or `StorageFailed`."""
    kept = settings.conversations
    limits = ArchiveLimits(
        conversations=kept.max_conversations,
        conversation_chars=kept.max_conversation_size,
        file_bytes=kept.max_size,
        keep_seconds=kept.keep_for,
        deleted_seconds=kept.deleted_ttl,
        attachments=attachment_limits(settings),
    )
    return await Archive.open(_kept_in(settings, kept.file, "conversations"), limits, describe)


def _kept_in(settings: Settings, file: str, kind: str) -> Path:
    """Return the path of a database file, by its name in the settings or by the instance's."""
    server = settings.server
    return (Path(file) if file else server.state_dir / f"{server.instance}.{kind}").expanduser()


def attachment_limits(settings: Settings) -> AttachmentLimits:
    """Return how large attachments may be."""
    kept = settings.attachments
    return AttachmentLimits(
        bytes=kept.max_file_size,
        pixels=kept.max_pixels,
        text_bytes=kept.max_text_size,
        prompt_bytes=kept.max_prompt_size,
        owner_bytes=kept.max_owner_size,
        owner_files=kept.max_owner_files,
        unused_seconds=kept.unused_ttl,
    )


def _build_fleet(
    settings: Settings,
    embedded: Launcher,
    source: CatalogSource,
    found: FoundServers,
    held_ports: set[int],
) -> Fleet:
    engines = settings.engines
    timeouts = Timeouts(engines.connect_timeout, engines.read_timeout, engines.first_token_timeout)
    runners = make_runners(RunnerContext(settings, embedded, held_ports))

    async def takes_of_gpus(spec: ModelSpec) -> Mapping[str, float]:
        runner = runners[spec.runner]
        has_gpus = (
            isinstance(runner, DockerRunner | DockerEnginesRunner) and await runner.has_gpus()
        )
        return gpu_takes(spec, settings.docker, has_gpus=has_gpus)

    docker = runners["docker"]
    several = docker if isinstance(docker, DockerEnginesRunner) else None
    fleet = Fleet(
        source.catalog(),
        runners,
        Connector(timeouts).connect,
        limits_of(settings),
        instance=settings.server.instance,
        capacity=Capacity(engines.max_running, engines.memory_budget),
        facts=source.facts,
        on_server_change=source.look_soon,
        found=found,
        takes_of_gpus=takes_of_gpus,
        places=None if several is None else DockerPlaces(several.pool),
    )
    if several is not None:
        several.pool.on_change = lambda is_back: fleet.places_changed(is_back=is_back)
        several.pool.on_found = fleet.adopt_found
    return fleet


def _build_generation_service(fleet: Fleet, settings: Settings, quota: Quota) -> GenerationService:
    answers = settings.answers
    return GenerationService(
        fleet,
        Admission(max_slots=answers.max_queue),
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
            retained_generations=sessions.max_kept_generations,
            retained_chars=sessions.max_kept_chars,
        ),
    )


async def _loop_lag(app: web.Application) -> AsyncIterator[None]:
    app[LOOP_LAG] = LoopLag()
    yield
    app[LOOP_LAG].close()


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
            await archive.delete_expired()
        except StorageFailed as error:
            logger.warning("old conversations are not deleted: %s", error)
        await asyncio.sleep(TIDY_INTERVAL_SECONDS)


async def _end_sessions(app: web.Application) -> None:
    """Let answers end, or interrupt them, and then say good-bye on every socket."""
    if RUNS in app:
        app[RUNS].refuse()
    await app[GENERATIONS].close(grace_seconds=app[SETTINGS].server.shutdown_grace)
    await app[SOCKETS].close()
    # aiohttp waits for requests before it cleans up: a stream has to end here.
    if RUNS in app:
        await app[RUNS].end_following(wait_seconds=LAST_ANSWERS_SECONDS)
    app[FLEET].close_logs()
