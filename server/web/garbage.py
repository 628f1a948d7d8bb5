"""What aiohttp logs of nonsense that clients send: a line without what was sent, no traceback.

aiohttp answers requests that are no HTTP with 400 before any handler of ours runs, and takes each
for an error of the server: anybody who reaches the port could fill the log. Its messages quote
what was sent, in which a key may stand, or a prompt whose length was not told.
"""

import logging
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError


class _Quieten(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, (HttpProcessingError, RequestPayloadError)):
            return True
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "a request that is no HTTP (%s)", (type(error).__name__,)
        record.exc_info = None
        return _SERVER.isEnabledFor(logging.INFO)


class _Silence(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        # The only thing it has to say of ours: which subprotocols a client asked for, where some
        # put their keys.
        return False


_SERVER: Final = logging.getLogger("aiohttp.server")
_SOCKETS: Final = logging.getLogger("aiohttp.websocket")
_QUIETEN: Final = _Quieten()
_SILENCE: Final = _Silence()


def quieten_garbage() -> None:
    """Have nonsense logged in one line; once is enough."""
    _SERVER.addFilter(_QUIETEN)
    _SOCKETS.addFilter(_SILENCE)
