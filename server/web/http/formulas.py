"""The operation that typesets formulas for the page."""

import asyncio
from typing import Annotated, Final

import msgspec
from aiohttp import web

from server.typesetting.formulas import Formula, TypesetFormula, typeset
from server.web.bodies import json_response, read_body
from server.web.http.operations import JSON, Group, Reply

MAX_FORMULAS: Final = 100
"""A screen of an answer that is full of them; `MAX_AT_ONCE` in static/js/view/formulas.js."""

GROUP: Final = Group("Formulas")


class Formulas(msgspec.Struct, frozen=True):
    """Formulas of TeX."""

    formulas: Annotated[list[Formula], msgspec.Meta(max_length=MAX_FORMULAS)]


class TypesetFormulas(msgspec.Struct, frozen=True):
    """The formulas in their order."""

    formulas: list[TypesetFormula]


@GROUP.operation(
    "POST",
    "/formulas",
    Reply("The formulas in their order.", {JSON: TypesetFormulas}),
    body=Formulas,
    errors=(400, 413, 415),
    example={"formulas": [{"tex": "x^2", "block": False}]},
    role="user",
)
async def typeset_formulas(request: web.Request) -> web.StreamResponse:
    """Turn formulas of TeX into MathML.

    A formula that cannot be read has an `error` in place of its `mathml`. No commands can be
    defined.
    """
    body = await read_body(request, Formulas)
    found = await asyncio.wrap_future(typeset(body.formulas))
    return json_response(TypesetFormulas(found))
