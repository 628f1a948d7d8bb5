"""Tell apart why TGI refuses a request: above all, what a `template_error` means.

TGI's words, of its chat templates (minijinja), and those of the embedded engine (llama.cpp):

    Template error: template not found                          there is none
    Template error: syntax error: WORDS (in <string>:1)         `raise_exception(WORDS)`
    Template error: ... Jinja Exception: WORDS                  the same, in llama.cpp
    Template error: unknown method (in <string>:1)              the template is beyond the server
"""

import re
from typing import Final

from server.core.errors import EngineError

_NOT_FOUND: Final = "Template error: template not found"
# A template that does not parse ends TGI before it listens: this is never about its syntax.
_RAISED: Final = re.compile(
    r"Template error: syntax error: (?P<words>.*?)(?: \(in <string>:\d+\))?\s*", re.DOTALL
)
_RAISED_IN_LLAMA: Final = re.compile(r"Template error: .*Jinja Exception: (?P<words>.*)", re.DOTALL)


class Refused(EngineError):
    """The server refused a request; carries what it said, for the caller to tell cases apart."""

    def __init__(self, message: str, status: int, error_type: str, said: str = "") -> None:
        super().__init__(message)
        self.upstream_status = status
        self.error_type = error_type
        self.said = said

    @property
    def is_without_template(self) -> bool:
        """Whether the model has no chat template, or the server nothing that renders one."""
        return self.upstream_status == 404 or self.said.strip() == _NOT_FOUND

    @property
    def template_words(self) -> str | None:
        """What the model's template says against these messages; None if it is not that."""
        raised = _RAISED.fullmatch(self.said) or _RAISED_IN_LLAMA.fullmatch(self.said)
        return raised["words"].strip() if raised else None
