"""Where the application keeps what its views need."""

from aiohttp import web

from server.archive.archive import Archive
from server.chat.desk import Desk
from server.chat.session_store import SessionStore
from server.models.added_servers import AddedServers
from server.models.catalog_source import CatalogSource
from server.models.discovery import Discovery
from server.models.fleet import Fleet
from server.settings import Settings
from server.web.observation.loop_lag import LoopLag
from server.web.observation.tally import Tally
from server.web.sockets.register import Sockets

SETTINGS = web.AppKey("settings", Settings)
DISCOVERY = web.AppKey("discovery", Discovery)
SERVERS = web.AppKey("servers", AddedServers)
CATALOG_SOURCE = web.AppKey("catalog_source", CatalogSource)
FLEET = web.AppKey("fleet", Fleet)
DESK = web.AppKey("desk", Desk)
SESSIONS = web.AppKey("sessions", SessionStore)
ARCHIVE = web.AppKey("archive", Archive)
SOCKETS = web.AppKey("sockets", Sockets)
TALLY = web.AppKey("tally", Tally)
LOOP_LAG = web.AppKey("loop_lag", LoopLag)
