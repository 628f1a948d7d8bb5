"""The keys of the application's shared objects."""

from aiohttp import web

from server.archive.archive import Archive
from server.archive.attachments import Attachments
from server.chat.generation_service import GenerationService
from server.chat.session_store import SessionStore
from server.models.catalogue.added_models import AddedModels
from server.models.catalogue.added_servers import AddedServers
from server.models.catalogue.discovery import Discovery
from server.models.catalogue.source import CatalogSource
from server.models.fleet import Fleet
from server.runs.board import Leaderboards
from server.runs.command_checks import CommandChecks
from server.runs.service import RunService
from server.runs.sets import SetLibrary
from server.settings.tables import Settings
from server.web.metrics.service import LoopLag, RequestCounters
from server.web.sockets.socket import Sockets

SETTINGS = web.AppKey("settings", Settings)
DISCOVERY = web.AppKey("discovery", Discovery)
ADDED_SERVERS = web.AppKey("added_servers", AddedServers)
ADDED_MODELS = web.AppKey("added_models", AddedModels)
CATALOG_SOURCE = web.AppKey("catalog_source", CatalogSource)
FLEET = web.AppKey("fleet", Fleet)
GENERATIONS = web.AppKey("generations", GenerationService)
SESSIONS = web.AppKey("sessions", SessionStore)
ARCHIVE = web.AppKey("archive", Archive)
ATTACHMENTS = web.AppKey("attachments", Attachments)
PROMPT_SETS = web.AppKey("prompt_sets", SetLibrary)
COMMAND_CHECKS = web.AppKey("command_checks", CommandChecks)
LEADERBOARDS = web.AppKey("leaderboards", Leaderboards)
RUNS = web.AppKey("runs", RunService)
SOCKETS = web.AppKey("sockets", Sockets)
REQUEST_COUNTERS = web.AppKey("request_counters", RequestCounters)
LOOP_LAG = web.AppKey("loop_lag", LoopLag)
