"""Requests that are no HTTP are worth a line in the log, not a traceback.

aiohttp answers them with 400 before any handler of ours runs, and takes each for an error of the
server. Anybody who reaches the port could fill the log.
"""

import logging
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError


class _Quieten(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        record.levelno, record.levelname = logging.INFO, "INFO"
        # What was sent may be quoted in the message.
        record.msg, record.args = "a request that is no HTTP: %.200r", (error.message,)
        record.exc_info = None
        return _LOGGER.isEnabledFor(logging.INFO)


_LOGGER: Final = logging.getLogger("aiohttp.server")
_QUIETEN: Final = _Quieten()


def quieten_garbage() -> None:
    """Have requests that are no HTTP logged in one line; once is enough."""
    _LOGGER.addFilter(_QUIETEN)
