"""Where the application keeps what its views need."""

from aiohttp import web

from server.chat.session import SessionStore
from server.models.fleet import Fleet
from server.settings import Settings
from server.web.sockets import Sockets

SETTINGS = web.AppKey("settings", Settings)
FLEET = web.AppKey("fleet", Fleet)
SESSIONS = web.AppKey("sessions", SessionStore)
SOCKETS = web.AppKey("sockets", Sockets)
