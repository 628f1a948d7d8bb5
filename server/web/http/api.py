"""The operations of the service itself, and the table of all operations."""

from typing import Any, Final, Literal

import msgspec
from aiohttp import web

from server import __version__
from server.web.bodies import json_response
from server.web.entry.gate import CALLER, GATE, TICKET_SECONDS
from server.web.http import (
    attachments,
    catalog,
    conversations,
    formulas,
    leaderboard,
    machines,
    models,
    prompt_sets,
    run_judges,
    run_prompts,
    run_results,
    run_votes,
    runs,
    servers,
    votes,
)
from server.web.http.openai import operations as openai
from server.web.http.openapi import DESCRIPTION
from server.web.http.operations import JSON, Group, Reply
from server.web.http.tgi import operations as tgi
from server.web.keys import FLEET, GENERATIONS
from server.web.metrics import endpoint as metrics

_GROUP: Final = Group("The service")


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


@_GROUP.operation("GET", "/health", Reply("It lives.", {JSON: Health}), example=True, role="anyone")
async def health(request: web.Request) -> web.StreamResponse:
    """Tell that the process lives.

    Touches no model.
    """
    return json_response(Health("ok", __version__))


@_GROUP.operation(
    "GET",
    "/ready",
    Reply("They are.", {JSON: Readiness}),
    also=(Reply("They are not.", {JSON: Readiness}, status=503),),
    example=True,
    role="anyone",
)
async def ready(request: web.Request) -> web.StreamResponse:
    """Tell whether questions are taken."""
    reasons = []
    if request.app[GENERATIONS].is_closed:
        reasons.append("the server is about to stop")
    if not request.app[FLEET].snapshots():
        reasons.append("the settings name no model")
    reasons += [error.message for error in request.app[FLEET].lockouts()]
    return json_response(Readiness(not reasons, reasons), status=503 if reasons else 200)


@_GROUP.operation(
    "POST", "/ws-ticket", Reply("The ticket.", {JSON: Ticket}), example=True, role="user"
)
async def ws_ticket(request: web.Request) -> web.StreamResponse:
    """Give a ticket for one WebSocket, for clients that cannot send a key with its handshake."""
    ticket = request.app[GATE].tickets.issue(request[CALLER].principal.id)
    return json_response(Ticket(ticket, TICKET_SECONDS))


@_GROUP.operation(
    "GET",
    "/openapi.json",
    Reply("The description.", {JSON: dict[str, Any]}),
    example=True,
    role="user",
)
async def openapi(request: web.Request) -> web.StreamResponse:
    """Describe this API by OpenAPI 3.1."""
    return json_response(request.app[DESCRIPTION].document)


OPERATIONS: Final = (
    *models.GROUP.operations,
    *servers.GROUP.operations,
    *machines.GROUP.operations,
    *catalog.GROUP.operations,
    *tgi.GROUP.operations,
    *openai.GROUP.operations,
    *conversations.GROUP.operations,
    *votes.GROUP.operations,
    *prompt_sets.GROUP.operations,
    *runs.GROUP.operations,
    *run_prompts.GROUP.operations,
    *run_votes.GROUP.operations,
    *run_judges.GROUP.operations,
    *run_results.GROUP.operations,
    *leaderboard.GROUP.operations,
    *attachments.GROUP.operations,
    *formulas.GROUP.operations,
    *_GROUP.operations,
    *metrics.GROUP.operations,
)
