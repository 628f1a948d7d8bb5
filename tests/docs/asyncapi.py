"""Write `docs/asyncapi.yaml` from the definitions that the server validates and encodes with.

`python -m tests.docs.asyncapi` writes it anew; a test compares. What the definitions do not hold
(what a command is answered with is in a table beside them, how a socket ends in the WebSocket's
module) is taken from where the server has it.
"""

from pathlib import Path
from typing import Any

import msgspec
import yaml
from aiohttp import WSCloseCode

from server.core.errors import SidestreamError
from server.core.protocol import COMMANDS, PROTOCOL_VERSION
from server.web.http.openapi import clean_descriptions
from server.web.sockets.events import EVENTS
from server.web.sockets.frames import CLOSE_TOO_SLOW
from server.web.sockets.websocket import CLOSE_BAD_FRAME, CLOSE_FLOODING, CLOSE_REVOKED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.yaml"
HEAD = "# Written by `python -m tests.docs.asyncapi` from server/core/protocol; do not edit.\n"

CLOSE_CODES = {
    WSCloseCode.GOING_AWAY: "The server goes away; reconnect.",
    WSCloseCode.MESSAGE_TOO_BIG: "The frame exceeds `max_frame_bytes`.",
    CLOSE_BAD_FRAME: "The frame is not a JSON object with a string `type`.",
    CLOSE_REVOKED: "The key was revoked, or has expired; its sessions are gone.",
    CLOSE_TOO_SLOW: "The client stopped reading for too long; reconnect and resume.",
    CLOSE_FLOODING: "The client went on sending although its commands were refused.",
}


def describe() -> dict[str, Any]:
    """Return the whole description."""
    schemas = _schemas()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sidestream",
            "version": f"{PROTOCOL_VERSION}.0.0",
            "description": "One WebSocket carries everything a client does with any number of "
            "models: prompts, live answers, starts and stops, progress, logs, runs. The text that "
            "binds is PROTOCOL.md. Fields, events and error codes that a client does not know "
            "are to be ignored.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {"host": "127.0.0.1:8000", "protocol": "ws", "description": "As it starts."}
        },
        "channels": {
            "socket": {
                "address": "/ws",
                "description": "Text frames of UTF-8 JSON: a command a frame from the client, "
                "one or more events a frame from the server.",
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"} for name in (*COMMANDS, "frame")
                },
                "bindings": {"ws": {"method": "GET"}},
                "x-close-codes": {int(code): text for code, text in CLOSE_CODES.items()},
            }
        },
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": schemas},
    }


def render() -> str:
    """Return the page."""
    return HEAD + yaml.dump(
        describe(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100
    )


class _Plain(yaml.SafeDumper):
    """Write what is said twice twice, for readers who do not know anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _operations() -> dict[str, Any]:
    channel = {"$ref": "#/channels/socket"}
    frame = {"$ref": "#/channels/socket/messages/frame"}
    operations: dict[str, Any] = {
        name: {
            "action": "receive",
            "channel": channel,
            "summary": _summary(command),
            "messages": [{"$ref": f"#/channels/socket/messages/{name}"}],
            "reply": {"channel": channel, "messages": [frame]},
        }
        for name, command in COMMANDS.items()
    }
    operations["tell"] = {
        "action": "send",
        "channel": channel,
        "summary": "Tell whatever is due.",
        "messages": [frame],
    }
    return operations


def _messages() -> dict[str, Any]:
    messages: dict[str, Any] = {
        name: {
            "summary": _summary(command),
            "payload": _ref(command),
            "x-result": _ref(command.result),
        }
        for name, command in COMMANDS.items()
    }
    events = [_ref(event) for event in EVENTS]
    messages["frame"] = {
        "summary": "One or more events.",
        "payload": {"type": "array", "minItems": 1, "items": {"oneOf": events}},
    }
    return messages


def _schemas() -> dict[str, Any]:
    results = list(dict.fromkeys(command.result for command in COMMANDS.values()))
    _, schemas = msgspec.json.schema_components(
        [*COMMANDS.values(), *EVENTS, *results], ref_template="#/components/schemas/{name}"
    )
    clean_descriptions(schemas)
    schemas["Result"]["properties"]["result"] = {"anyOf": [_ref(result) for result in results]}
    schemas["ErrorInfo"]["properties"]["code"]["examples"] = sorted(_codes(SidestreamError))
    # msgspec knows no rule that spans two fields; the parser checks this one itself.
    schemas["Generate"]["oneOf"] = [
        {"required": ["messages"], "properties": {"messages": {"type": "array"}}},
        {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
    ]
    return {name: _without_discriminators(schema) for name, schema in schemas.items()}


def _without_discriminators(schema: Any) -> Any:
    """Take out what OpenAPI has of the same name in another form; the tags say the same."""
    if isinstance(schema, list):
        return [_without_discriminators(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _without_discriminators(value)
        for name, value in schema.items()
        if not (name == "discriminator" and isinstance(value, dict))
    }


def _codes(error: type[SidestreamError]) -> set[str]:
    # Those of other modules are HTTP's own, and known only where these modules are imported.
    ours = [child for child in error.__subclasses__() if child.__module__ == error.__module__]
    return {error.code}.union(*map(_codes, ours))


def _ref(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


def _summary(struct: type[msgspec.Struct]) -> str:
    return (struct.__doc__ or "").split("\n")[0]


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
