"""The OpenAPI description of the HTTP API, generated from the operations and their types.

The schema of a type is the one by which msgspec reads and writes it. Rules that types cannot
express, such as that one of two fields is required, are added here.
"""

import inspect
from collections.abc import Iterable
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from server import __version__
from server.core.parameter_rules import GenerationParameters
from server.web.failures import Failure
from server.web.http.openai.requests import RULES as OPENAI_RULES
from server.web.http.operations import EVENTS, JSON, Operation, Reply
from server.web.http.tgi.types import PARAMETER_RANGES
from server.web.http.tgi.types import RULES as TGI_RULES

Schema = dict[str, Any]

REF: Final = "#/components/schemas/"
_TITLE: Final = "Sidestream"
_ABOUT: Final = (
    "Several language models behind one address, started when they are needed. Whatever a request "
    "waits for (a model's start, a place in its queue), closing the connection ends it."
)
_RULES: Final = {**TGI_RULES, **OPENAI_RULES}
# What can be answered to any request.
_ANYWHERE: Final = (401, 403, 429, 500)
# What the names in paths are, where they first occur.
_IN_PATHS: Final = {
    "/models/{id}": "The model's id.",
    "/catalog/{id}": "The model's id.",
    "/conversations/{id}": "The conversation's id.",
    "/turns/{turn}": "The turn's id.",
    "/answers/{answer}": "The answer's id.",
    "/attachments/{id}": "The attachment's id: the SHA-256 of its bytes.",
    "/servers/{name}": "The server's name: `server.name` of its models.",
}


class Description:
    """Describe operations: `document` as OpenAPI, with each type that occurs in it."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = tuple(operations)

    @cached_property
    def document(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        paths: dict[str, dict[str, Any]] = {}
        for operation in self.operations:
            path = paths.setdefault(operation.path, {})
            path[operation.method.lower()] = self._describe(operation)
        return {
            "openapi": "3.1.0",
            "info": {"title": _TITLE, "version": __version__, "description": _ABOUT},
            "servers": [{"url": "./"}],
            "tags": [{"name": name} for name in self.groups],
            "paths": paths,
            "components": {"schemas": self.types},
        }

    @cached_property
    def groups(self) -> list[str]:
        """Return the names of the groups of operations, in their order."""
        return list(dict.fromkeys(operation.group for operation in self.operations))

    @property
    def types(self) -> dict[str, Schema]:
        """Return the schema of every named type."""
        return self._schemas[1]

    def schema(self, kind: Any) -> Schema:
        """Return a type's schema; of a named one, a reference."""
        return self._schemas[0][_key(kind)]

    @cached_property
    def _schemas(self) -> tuple[dict[str, Schema], dict[str, Schema]]:
        kinds = {_key(kind): kind for kind in self._kinds()}
        schemas, types = msgspec.json.schema_components(kinds.values(), ref_template=REF + "{name}")
        for name, rule in _RULES.items():
            types[name].update(rule)
        types["GenerationParameters"] = _as_sent(types["GenerationParameters"])
        clean_descriptions(types)
        return dict(zip(kinds, schemas, strict=True)), dict(sorted(types.items()))

    def _kinds(self) -> Iterable[Any]:
        yield from (GenerationParameters, Failure)
        for operation in self.operations:
            yield operation.form.struct
            if operation.body is not None and operation.body_type == JSON:
                yield operation.body
            for query in operation.query:
                yield query.type
            for reply in (operation.reply, *operation.also):
                yield from reply.content.values()
                if reply.breaks_off_with is not None:
                    yield reply.breaks_off_with

    def _describe(self, operation: Operation) -> dict[str, Any]:
        described: dict[str, Any] = {
            "operationId": operation.id,
            "tags": [operation.group],
            "summary": operation.about,
        }
        parameters: list[dict[str, Any]] = [
            {
                "name": place.partition("{")[2].removesuffix("}"),
                "in": "path",
                "required": True,
                "description": about,
                "schema": {"type": "string", "minLength": 1},
            }
            for place, about in _IN_PATHS.items()
            if place in operation.path
        ]
        parameters += [
            {
                "name": query.name,
                "in": "query",
                "description": query.about,
                "schema": {**self.schema(query.type), "default": query.default},
            }
            for query in operation.query
        ]
        if parameters:
            described["parameters"] = parameters
        if operation.body is not None:
            content: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
            if operation.body_type == JSON:
                content = {"schema": self.schema(operation.body)}
            if isinstance(operation.example, dict):
                content["example"] = operation.example
            described["requestBody"] = {
                "required": True,
                "content": {operation.body_type: content},
            }
        replies = {str(r.status): self._reply(r) for r in (operation.reply, *operation.also)}
        failure = {JSON: {"schema": self.schema(operation.form.struct)}}
        for status in sorted({*operation.errors, *_ANYWHERE}):
            words = HTTPStatus(status).phrase
            replies.setdefault(str(status), {"description": words, "content": failure})
        described["responses"] = replies
        return described

    def _reply(self, reply: Reply) -> dict[str, Any]:
        described: dict[str, Any] = {"description": reply.about}
        for kind, body in reply.content.items():
            schema = self._event(reply) if kind == EVENTS else self.schema(body)
            described.setdefault("content", {})[kind] = {"schema": schema}
        return described

    def _event(self, reply: Reply) -> Schema:
        """Return the schema of an event, whose data is text that holds JSON."""
        bodies = [self.schema(reply.content[EVENTS]), self.schema(reply.breaks_off_with)]
        data: Schema = {
            "type": "string",
            "contentMediaType": JSON,
            "contentSchema": {"anyOf": bodies},
        }
        if reply.last_event:
            data = {"anyOf": [{"const": reply.last_event}, data]}
        return {"type": "object", "properties": {"data": data}, "required": ["data"]}


def clean_descriptions(types: dict[str, Schema]) -> None:
    """Take out the indentation of docstrings, which would be code in Markdown."""
    for schema in types.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])


DESCRIPTION = web.AppKey("description", Description)


def _key(kind: Any) -> str:
    """Tell types apart; those with limits compare by name only."""
    return repr(kind)


def _as_sent(parameters: Schema) -> Schema:
    """Return the schema of generation parameters as a client may send them: null is "not said"."""
    properties = {}
    for name, known in parameters["properties"].items():
        schema = dict(known)
        if "anyOf" not in schema:
            default = {"default": schema.pop("default")}
            schema = {"anyOf": [schema, {"type": "null"}], **default}
        properties[name] = {**schema, **PARAMETER_RANGES.get(name, {})}
    return {**parameters, "properties": properties, "additionalProperties": False}
