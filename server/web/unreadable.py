"""Answer requests that cannot be read as HTTP: with our form of error, as all others.

aiohttp has no setting for what it answers then, and no handler or middleware sees such a request.
So its server makes connections of a class of ours.
"""

import re
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError

from server.core.errors import InvalidCommand, SidestreamError
from server.web.failures import failure
from server.web.middleware import HEADERS, SERVER

# Where what was sent begins in a sentence: nothing is looked for twice in it, however long it is.
_SHOWN_BYTES: Final = re.compile(r"\bb['\"]|\bbytearray\(|(?<=status line )['\"]")
_MOST_CHARS: Final = 200


class Runner(web.AppRunner):
    """The runner of an application whose errors are all in our form."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory, **self._kwargs)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # It logs the error, and raises if an answer has begun.
        super().handle_error(request, status, exc, message)
        error = SidestreamError("internal error") if status >= 500 else unreadable(exc, message)
        answer = web.Response(
            status=status,
            body=msgspec.json.encode(failure(error)),
            content_type="application/json",
            headers={**HEADERS, **SERVER},
        )
        answer.force_close()
        return answer


def unreadable(exc: BaseException | None, message: str | None) -> InvalidCommand:
    """Return the error for what aiohttp's parser says, without the bytes that it shows."""
    said, *shown_below = (message or "").split("\n", 1)
    if isinstance(exc, InvalidURLError) and not shown_below:
        # It says nothing but the target itself.
        why = "its target is no address"
    else:
        why = _SHOWN_BYTES.split(said, maxsplit=1)[0].strip().rstrip(":.")[:_MOST_CHARS]
    return InvalidCommand(f"the request cannot be read as HTTP{why and f': {why}'}")
