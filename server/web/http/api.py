"""The plain HTTP views of the service itself, and the table of all operations there are."""

from typing import Any, Final, Literal

import msgspec
from aiohttp import web

from server import __version__
from server.web.entry.gate import CALLER, GATE, TICKET_SECONDS
from server.web.http import conversations, models, servers
from server.web.http.bodies import json_response
from server.web.http.openai import operations as openai
from server.web.http.openapi import DESCRIPTION
from server.web.http.operations import JSON, Operation, Reply
from server.web.http.tgi import operations as tgi
from server.web.keys import DESK, FLEET
from server.web.observation import metrics


class Health(msgspec.Struct, frozen=True):
    """A sign of life."""

    status: Literal["ok"]
    version: str


class Readiness(msgspec.Struct, frozen=True):
    """Whether questions are taken, and if not why."""

    ready: bool
    reasons: list[str]


class Ticket(msgspec.Struct, frozen=True):
    """A way in for one WebSocket: `GET /ws?ticket=…`, once, soon."""

    ticket: str
    expires_in_seconds: float


async def health(request: web.Request) -> web.StreamResponse:
    """Answer `GET /health`."""
    return json_response(Health("ok", __version__))


async def ready(request: web.Request) -> web.StreamResponse:
    """Answer `GET /ready`."""
    reasons = []
    if request.app[DESK].is_closed:
        reasons.append("the server is about to stop")
    if not request.app[FLEET].snapshots():
        reasons.append("the settings name no model")
    return json_response(Readiness(not reasons, reasons), status=503 if reasons else 200)


async def ws_ticket(request: web.Request) -> web.StreamResponse:
    """Answer `POST /ws-ticket`."""
    ticket = request.app[GATE].tickets.issue(request[CALLER].principal.id)
    return json_response(Ticket(ticket, TICKET_SECONDS))


async def openapi(request: web.Request) -> web.StreamResponse:
    """Answer `GET /openapi.json`."""
    return json_response(request.app[DESCRIPTION].document)


_GROUP: Final = "The service"

OPERATIONS: Final = (
    *models.OPERATIONS,
    *servers.OPERATIONS,
    *tgi.OPERATIONS,
    *openai.OPERATIONS,
    *conversations.OPERATIONS,
    Operation(
        "GET",
        "/health",
        health,
        _GROUP,
        "Tell that the process lives. Touches no model.",
        Reply("It lives.", {JSON: Health}),
        example=True,
    ),
    Operation(
        "GET",
        "/ready",
        ready,
        _GROUP,
        "Tell whether questions are taken.",
        Reply("They are.", {JSON: Readiness}),
        also=(Reply("They are not.", {JSON: Readiness}, status=503),),
        example=True,
    ),
    *metrics.OPERATIONS,
    Operation(
        "POST",
        "/ws-ticket",
        ws_ticket,
        _GROUP,
        "Give a ticket for one WebSocket, for clients that cannot send a key with its handshake.",
        Reply("The ticket.", {JSON: Ticket}),
        example=True,
    ),
    Operation(
        "GET",
        "/openapi.json",
        openapi,
        _GROUP,
        "Describe this API by OpenAPI 3.1.",
        Reply("The description.", {JSON: dict[str, Any]}),
        example=True,
    ),
)
