"""Hide secrets in the lines of a log.

TGI's launcher prints all its arguments, including the API key, and Python tracebacks may contain a
token. As text, the arguments are printed on several lines, so a line may have to be hidden because
of the line before it.
"""

import re
from collections.abc import Iterable
from typing import Final

from server.settings.models import ModelSettings
from server.settings.secrets import Secret

HIDDEN: Final = "[redacted]"

# Shorter ones are no secrets, and hiding them would cut up ordinary words.
_MIN_SECRET_CHARS: Final = 6
_TELLS_A_SECRET: Final = ("key", "token", "secret", "password")
_TOKEN: Final = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
_BEARER: Final = re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{6,}")
_KEY_WORD: Final = r"(?:api[_-]?key|hf[_-]?token|hf[_-]?api[_-]?token|hugging_face_hub_token)"
# `api_key: Some("…")`, also on several lines and with the quotes escaped in JSON;
# `--api-key …`, `API_KEY=…`, `"api_key": "…"`.
_SOME: Final = re.compile(rf'(?i)({_KEY_WORD}:\s*Some\((?:\\n|\s)*\\?")(.*?)(\\?")')
_ASSIGNED: Final = re.compile(
    rf"""(?i)(--{_KEY_WORD}[ =]|\b{_KEY_WORD}\\?["']?\s*[=:]\s*\\?["'])([^\s"'\\]+)"""
)
_PLAIN: Final = re.compile(rf"(\b{_KEY_WORD.upper()}=)([^\s\"']+)")
# A line that matches a pattern above has one of these; searching for them is ten times faster.
_SIGNS: Final = ("key", "token", "bearer", "hf_")
_SOME_OPENS: Final = re.compile(rf"(?i){_KEY_WORD}:\s*Some\(\s*$")


class Redactor:
    """Hide secrets in the lines of one log, in their order."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted(
            {secret for secret in secrets if len(secret) >= _MIN_SECRET_CHARS},
            key=len,
            reverse=True,
        )
        self._is_next_hidden = False

    def clean(self, line: str) -> str:
        """Return the line without secrets."""
        if self._is_next_hidden:
            self._is_next_hidden = False
            return HIDDEN
        for secret in self._secrets:
            line = line.replace(secret, HIDDEN)
        lowered = line.lower()
        if not any(sign in lowered for sign in _SIGNS):
            return line
        line = _TOKEN.sub(HIDDEN, line)
        line = _BEARER.sub(rf"\1{HIDDEN}", line)
        line = _SOME.sub(rf"\1{HIDDEN}\3", line)
        line = _ASSIGNED.sub(rf"\1{HIDDEN}", line)
        line = _PLAIN.sub(rf"\1{HIDDEN}", line)
        self._is_next_hidden = bool(_SOME_OPENS.search(line))
        return line


def secrets_of(said: ModelSettings) -> list[str]:
    """Return the secrets in a model's settings, which the readers of its log must not see."""
    variables = [
        value
        for name, value in said.env.items()
        if (isinstance(value, Secret) and value.is_from_elsewhere)
        or any(word in name.lower() for word in _TELLS_A_SECRET)
    ]
    return [said.api_key, *variables]
