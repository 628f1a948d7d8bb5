"""Tools that a model may call, and the form that its answer has to have: OpenAI's shapes, checked.

Nothing here is run: a model's calls are handed on, and the client may answer them.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from server.core.errors import InvalidParameters
from server.core.json_schemas import schema_problem

_MAX_TOOLS: Final = 128
_MAX_BYTES: Final = 256 * 1024
_ANY_OBJECT: Final[dict[str, Any]] = {"type": "object", "properties": {}}

ToolName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class ToolFunction(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function that a model may call; `parameters` is the JSON schema of its arguments."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct, frozen=True):
    """A tool that a model may call; functions are the only kind."""

    function: ToolFunction
    type: Literal["function"] = "function"


class FunctionName(msgspec.Struct, frozen=True):
    """Name a function."""

    name: ToolName


class NamedTool(msgspec.Struct, frozen=True):
    """The one tool that a model has to call."""

    function: FunctionName
    type: Literal["function"] = "function"


ToolChoice = Literal["none", "auto", "required"] | NamedTool


class JSONSchema(msgspec.Struct, frozen=True):
    """A JSON schema with a name."""

    schema: dict[str, Any]
    name: str = ""


class TextFormat(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Any text will do."""


class JSONFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_object"):
    """A JSON object, of a schema if `value` holds one, as TGI takes it."""

    value: dict[str, Any] | None = None


class JSONSchemaFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_schema"):
    """JSON of this schema."""

    json_schema: JSONSchema


ResponseFormat = TextFormat | JSONFormat | JSONSchemaFormat


def grammar_of(wanted: ResponseFormat | None) -> dict[str, Any] | None:
    """Return the parameter `grammar` that stands for a form of answers, None for any text.

    Raises `InvalidParameters` for a schema that is none.
    """
    if isinstance(wanted, JSONSchemaFormat):
        schema, place = wanted.json_schema.schema, "response_format.json_schema.schema"
    elif isinstance(wanted, JSONFormat):
        schema, place = wanted.value or _ANY_OBJECT, "response_format.value"
    else:
        return None
    if problem := schema_problem(schema, place):
        raise InvalidParameters(problem, details={"parameter": "response_format"})
    return {"type": "json", "value": schema}


def tools_problem(tools: Sequence[Tool], choice: ToolChoice | None) -> str:
    """Return what is wrong with tools and the choice among them, with its place; empty if nothing.

    A choice that chooses nothing needs no tools.
    """
    if len(tools) > _MAX_TOOLS:
        return f"`tools` may have {_MAX_TOOLS} tools, not {len(tools)}"
    names: dict[str, int] = {}
    for place, tool in enumerate(tools):
        function = tool.function
        first = names.setdefault(function.name, place)
        if first != place:
            return f"`tools[{place}]` has the name of `tools[{first}]`: {function.name!r}"
        at = f"tools[{place}].function.parameters"
        if function.parameters is not None and (problem := schema_problem(function.parameters, at)):
            return problem
    try:
        size = len(msgspec.json.encode(tools))
    except RecursionError:
        return "`tools` is nested too deeply"
    if size > _MAX_BYTES:
        return f"`tools` may have {_MAX_BYTES} bytes, not {size}"
    if isinstance(choice, NamedTool) and choice.function.name not in names:
        return f"`tool_choice` names no tool: {choice.function.name!r}"
    if choice == "required" and not tools:
        return '`tool_choice` "required" needs `tools`'
    return ""


def fields_as_parameters(
    tools: Sequence[Tool] | None,
    choice: ToolChoice | None,
    response_format: ResponseFormat | None,
) -> Mapping[str, Any]:
    """Return what a request says beside its parameters as parameters, without what it leaves out.

    Raises `InvalidParameters` for a schema that is none.
    """
    said = {
        "tools": None if tools is None else msgspec.to_builtins(tools),
        "tool_choice": msgspec.to_builtins(choice),
        "grammar": grammar_of(response_format),
    }
    return {name: value for name, value in said.items() if value is not None}
