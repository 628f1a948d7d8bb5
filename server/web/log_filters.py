"""Filters for aiohttp's own log: malformed requests become one line without their content.

aiohttp answers malformed HTTP with 400 before any handler of ours runs, and logs each as an error
of the server with a traceback: anybody who reaches the port could fill the log. Its messages quote
the request, which may hold a key or a prompt.
"""

import logging
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError


class _OneLine(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, (HttpProcessingError, RequestPayloadError)):
            return True
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "a request that is no HTTP (%s)", (type(error).__name__,)
        record.exc_info = None
        return _SERVER.isEnabledFor(logging.INFO)


class _Drop(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        # Its one message about our sockets quotes the subprotocols that a client offered, where
        # some clients put their keys.
        return False


_SERVER: Final = logging.getLogger("aiohttp.server")
_SOCKETS: Final = logging.getLogger("aiohttp.websocket")
_ONE_LINE: Final = _OneLine()
_DROP: Final = _Drop()


def quieten_malformed_requests() -> None:
    """Install the filters; calling it again changes nothing."""
    _SERVER.addFilter(_ONE_LINE)
    _SOCKETS.addFilter(_DROP)
