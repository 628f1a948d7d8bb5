"""Request bodies, and the refusals TGI's web framework (axum) gives before any handler runs.

These are plain text with a real status, on streams too: 415 without a JSON content type,
413 over the limit, 400 for what is not JSON, 422 for JSON of another shape. Unknown fields
are ignored, as TGI does.
"""

import re
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from server.core.errors import InvalidParameters
from server.core.parameter_rules import GenerationParameters, convert

PAYLOAD_LIMIT_BYTES = 2_000_000  # TGI's --payload-limit

_SHAPE = "Failed to deserialize the JSON body into the target type: "
_JSON_TYPE = re.compile(r"application/([\w.!#$&^-]+\+)?json", re.IGNORECASE)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_Body = TypeVar("_Body")


class GenerateRequest(msgspec.Struct, frozen=True):
    """The body of `/`, `/generate`, `/generate_stream` and `/tokenize`.

    `parameters` left out altogether is not the same as `{}`: TGI samples then.
    """

    inputs: str
    parameters: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    stream: bool = False


class ChatRequest(msgspec.Struct, frozen=True):
    """The body of `/chat_tokenize`, as far as it bears on the prompt."""

    messages: list[dict[str, Any]]
    tools: list[Any] | None = None


class BodyRefused(Exception):
    """A body that no handler gets to see."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


async def read_body(request: web.Request, shape: type[_Body]) -> _Body:
    """Read a request's body as `shape`. Raises `BodyRefused`."""
    if not _JSON_TYPE.fullmatch(request.headers.get("Content-Type", "").split(";")[0].strip()):
        raise BodyRefused(415, "Expected request with `Content-Type: application/json`")
    try:
        content = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyRefused(413, "Failed to buffer the request body: length limit exceeded") from None
    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.ValidationError as error:
        raise BodyRefused(422, _SHAPE + _MISSING.sub(r"missing field `\1`", str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyRefused(400, f"Failed to parse the request body as JSON: {error}") from None


def read_parameters(request: GenerateRequest) -> GenerationParameters:
    """Return the request's parameters, typed. Raises `BodyRefused`."""
    if request.parameters is msgspec.UNSET:
        return GenerationParameters(do_sample=True)
    try:
        return convert(request.parameters)
    except InvalidParameters as error:
        raise BodyRefused(422, f"{_SHAPE}parameters: {error}") from None
