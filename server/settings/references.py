"""Resolve values that refer to files or environment variables: keys, header fields, templates.

They are resolved when the settings are read, so that a missing file or variable is reported at
start, with its key, and not by the first request.
"""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from server.settings.commands import Problem, variable_problem
from server.settings.secrets import (
    WRITTEN,
    Secret,
    file_at,
    is_reference,
    read_file,
    resolve_secret,
)
from server.settings.values import Variables

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MAX_HEADERS: Final = 32
# Fields about the transport of a request, which the gateway writes itself.
_ITS_OWN_FIELDS: Final = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-encoding", "content-length"),
        *("content-type", "expect", "host", "keep-alive", "te", "traceparent", "trailer"),
        *("transfer-encoding", "upgrade"),
    }
)
# The longest known chat template has 30 KB.
_MAX_TEMPLATE_BYTES: Final = 1 << 20


def look_up(
    values: dict[str, Any],
    *,
    folder: Path,
    environment: Mapping[str, str] | None,
    overridden: Mapping[str, str],
    origin: str = WRITTEN,
) -> Iterator[Problem]:
    """Replace references in `values` by what they refer to; yield each key whose target is missing.

    Relative paths begin at `folder`. If `environment` is None, nothing outside of the settings is
    read. `overridden` are the keys that the environment set; `origin` is where the others are
    written.
    """

    def secret(key: str, text: str) -> Secret:
        if environment is None and is_reference(text):
            return Secret(text, text)
        place = "environment" if key in overridden else origin
        return resolve_secret(text, folder=folder, environment=environment or {}, origin=place)

    try:
        if values.get("api_key"):
            values["api_key"] = secret("api_key", values["api_key"])
    except ValueError as error:
        yield "api_key", str(error)
    yield from _look_up_headers(values, secret)
    yield from _look_up_variables(values, secret)
    for key, check in (("ca_file", _check_certificates), ("chat_template", _check_template)):
        if values.get(key):
            try:
                path = file_at(values[key], folder)
                if environment is not None:
                    check(path)
                values[key] = str(path)
            except ValueError as error:
                yield key, str(error)


def _look_up_headers(
    values: dict[str, Any], secret: Callable[[str, str], Secret]
) -> Iterator[Problem]:
    headers: dict[str, str] = {}
    for name, value in values.get("headers", {}).items():
        try:
            _check_field(name, value, headers, has_key=bool(values.get("api_key")))
            headers[name] = secret("headers", value)
        except ValueError as error:
            yield "headers", f"{name!r}: {error}"
    if headers:
        values["headers"] = headers


def _look_up_variables(
    values: dict[str, Any], secret: Callable[[str, str], Secret]
) -> Iterator[Problem]:
    variables: dict[str, str] = {}
    for name, value in values.get("env", {}).items():
        try:
            if problem := variable_problem(name, value):
                raise ValueError(problem)
            # Unlike an API key, a literal variable may be empty and have any characters.
            is_elsewhere = is_reference(value)
            variables[name] = secret("env", value) if is_elsewhere else Secret(value)
        except ValueError as error:
            yield "env", f"{name[:80]!r}: {error}"
    if variables:
        values["env"] = Variables(variables)


def _check_field(name: str, value: Any, others: Mapping[str, str], *, has_key: bool) -> None:
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError("this is no name of a header field")
    known = name.lower()
    if known in _ITS_OWN_FIELDS or known.startswith(("proxy-", "sec-")):
        raise ValueError("the gateway writes this field itself")
    if known == "authorization" and has_key:
        raise ValueError("`api_key` is sent in this field already")
    if known in (other.lower() for other in others):
        raise ValueError("the field is there twice")
    if len(others) >= _MAX_HEADERS:
        raise ValueError(f"expected at most {_MAX_HEADERS} fields")
    if not isinstance(value, str):
        raise ValueError("expected text")


def _check_certificates(path: Path) -> None:
    _content(path, _MAX_TEMPLATE_BYTES * 8)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError):
        raise ValueError(f"{path} holds no certificates in the form PEM") from None


def _check_template(path: Path) -> None:
    try:
        _content(path, _MAX_TEMPLATE_BYTES).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text") from None


def _content(path: Path, max_bytes: int) -> bytes:
    content = read_file(path, max_bytes)
    if not content.strip():
        raise ValueError(f"{path} is empty")
    return content
