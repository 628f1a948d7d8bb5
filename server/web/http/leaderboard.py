"""The operation on the leaderboard over all runs and chats."""

from typing import Annotated, Final

import msgspec
from aiohttp import web

from server.core.errors import RunsOff
from server.runs.board_shapes import Leaderboard, Over, Tag
from server.web.bodies import Query, json_response
from server.web.http.conversations import owner_of
from server.web.http.operations import JSON, Group, Reply
from server.web.keys import LEADERBOARDS

GROUP: Final = Group("Runs")

_OVER: Final[Query[Over]] = Query("over", Over, "all", "What counts: runs, chats, or both.")
_SET: Final = Query(
    "set",
    Annotated[str, msgspec.Meta(max_length=64)],
    "",
    "The id of a prompt set, for the runs that asked it alone.",
)
_TAG: Final = Query("tag", Tag, "", "A tag of sets, of prompts in them, or of chats.")


@GROUP.operation(
    "GET",
    "/leaderboard",
    Reply("The leaderboard.", {JSON: Leaderboard}),
    query=(_OVER, _SET, _TAG),
    errors=(400, 404, 409, 503),
    example=True,
    role="user",
)
async def show(request: web.Request) -> web.StreamResponse:
    """Rank models by people's blind votes and by checks, over all that the caller may see.

    These are the caller's runs, those shared with the caller, and the caller's votes on chats.
    """
    boards = request.app.get(LEADERBOARDS)
    if boards is None:
        raise RunsOff("this server keeps no prompt sets and no runs")
    board = await boards.show(
        owner_of(request),
        over=_OVER.read(request),
        set_id=_SET.read(request),
        tag=_TAG.read(request),
    )
    return json_response(board)
