"""One cause of a model server's end: how it is recognised, what it is called, what to do."""

import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Cause:
    """A cause; `pattern` is searched in an exception's type and message, whatever its case.

    `phases` are those in which it can be; none stands for all. `said` replaces the exception's
    own line, with the pattern's groups in it. `loses_place` tells that the server's machine or its
    engine is away: the server can run at another place.
    """

    code: str
    message: str
    hint: str
    pattern: str = ""
    phases: frozenset[str] = frozenset()
    said: str = ""
    loses_place: bool = False

    @cached_property
    def _searched(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE)

    def find(self, text: str, phase: str) -> re.Match[str] | None:
        """Return where the cause is recognised in an error of that phase, None if it is not."""
        if not self.pattern or (self.phases and phase not in self.phases):
            return None
        return self._searched.search(text)


BAD_ARGUMENT = Cause(
    "bad_argument",
    "the model server refuses its arguments",
    "correct the limits and `arguments` in the model's section, or its `command`",
)
"""What an engine says in words of its own, and by its exit code."""
