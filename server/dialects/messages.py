"""A conversation in the words of servers: calls of tools, and the answers to them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from server.core.content import text_of
from server.core.errors import InvalidCommand
from server.core.protocol import Message


def in_openais_form(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages as OpenAI has them, and all who follow it."""
    return [_openai_message(message) for message in messages]


def with_objects(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages in OpenAI's form with arguments as objects, as chat templates want them."""
    written = in_openais_form(messages)
    for place, message in enumerate(written):
        for call, past in zip(
            message.get("tool_calls", ()), messages[place].tool_calls, strict=False
        ):
            call["function"]["arguments"] = _decoded(past.arguments, past.arguments)
        if message["content"] is None:
            message["content"] = ""
    return written


def in_ollamas_form(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages as Ollama has them: arguments are objects, tools are named.

    Raises `InvalidCommand` for arguments that are no object.
    """
    names: dict[str, str] = {}
    written: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        form: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            calls = form["tool_calls"] = []
            for number, call in enumerate(message.tool_calls):
                names[call.id] = call.name
                arguments = _decoded(call.arguments or "{}", None)
                if not isinstance(arguments, dict):
                    raise InvalidCommand(
                        f"`messages[{place}].tool_calls[{number}].arguments` has to be a JSON "
                        "object for Ollama"
                    )
                function = {"name": call.name, "arguments": arguments}
                calls.append({"id": call.id, "function": function})
        if message.role == "tool":
            form |= {
                "tool_name": names.get(message.tool_call_id, ""),
                "tool_call_id": message.tool_call_id,
            }
        written.append(form)
    return written


def as_text(message: Message) -> str:
    """Return a message's text, its calls of tools between the marks that models write."""
    calls = (
        f'<tool_call>\n{{"name": {_encoded(call.name)}, "arguments": {call.arguments}}}\n'
        "</tool_call>"
        for call in message.tool_calls
    )
    return "\n".join([*filter(None, [text_of(message.content)]), *calls])


def _openai_message(message: Message) -> dict[str, Any]:
    form: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        # Some servers take a message with content, be it empty, for one without calls.
        form["content"] = message.content or None
        form["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        form["tool_call_id"] = message.tool_call_id
    return form


def _decoded(text: str, otherwise: Any) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return otherwise


def _encoded(text: str) -> str:
    return msgspec.json.encode(text).decode()
