"""llama.cpp's own log: written out before ours goes on, and read for the cause of a failure.

A thread of llama.cpp writes its log, some time later, to standard error. An exception from
its loader says only that loading failed. So the log also goes to a file for as long as the
loading takes, and after a failure it is flushed and read. Both are C++ functions of the module
that Python does not see. Should another version not have them, the cause is on standard error
only.
"""

import ctypes
import re
from pathlib import Path
from typing import Any

_MAIN = "_Z15common_log_mainv"
_SET_FILE = "_Z19common_log_set_fileP10common_logPKc"
_FLUSH = "_Z16common_log_flushP10common_log"
_CAUSE = re.compile(r"error loading model: (?:error loading model \w+: )?(?P<cause>.+)")
_ERROR = re.compile(r"^[\d.]+ E (?P<cause>.+)", re.MULTILINE)


class LlamaLog:
    """Keep what llama.cpp logs in a file, until closed."""

    def __init__(self, module_file: str, path: Path) -> None:
        self._path = path
        self._library: Any = ctypes.CDLL(module_file)
        self._is_kept = all(hasattr(self._library, name) for name in (_MAIN, _SET_FILE, _FLUSH))
        if self._is_kept:
            main = self._library[_MAIN]
            main.restype = ctypes.c_void_p
            self._log = ctypes.c_void_p(main())
            self._library[_SET_FILE](self._log, str(path).encode())

    def close(self) -> None:
        """Stop keeping the log, and forget what was kept."""
        if self._is_kept:
            self._library[_SET_FILE](self._log, None)
        self._path.unlink(missing_ok=True)

    def last_error(self) -> str:
        """Wait until all is written; return the first cause of the failure, as llama.cpp put it."""
        if not self._is_kept:
            return "its own words are above"
        self._library[_FLUSH](self._log)
        text = self._path.read_text(errors="replace")
        found = _CAUSE.search(text) or _ERROR.search(text)
        return found["cause"] if found else "it does not say why"
