"""Write the tables of messages in `docs/PROTOCOL.md` from the types in `server.core.protocol`.

`python -m tests.docs.protocol_tables` writes them anew; a test compares.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import inspect

from server.core.protocol import COMMANDS
from server.core.protocol.shared import Digest, Key
from server.web.sockets.events import EVENTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "PROTOCOL.md"
HEADING = "## Field by field\n"
NEXT_HEADING = "## Example\n"

Struct = type[msgspec.Struct]

_PATTERNS = {
    get_args(annotation)[1].pattern: word for annotation, word in ((Key, "id"), (Digest, "digest"))
}


def render_tables() -> str:
    """Return the section: a table for each command and event, and for the objects in them."""
    parts = [
        HEADING,
        "Generated from the types that the server validates and encodes with. An *id* has 1 to 64\n"
        "letters, digits, `-` and `_`; a *digest* is a SHA-256, 64 lowercase hexadecimal digits.\n"
        "Events may leave out fields that have their default value.",
    ]
    for name, command in COMMANDS.items():
        parts += [f"### Command `{name}`", _sentence(command), _table(command, omitted={"id"})]
        parts.append("Result: " + (_line(command.result) or "an empty object") + ".")
    for event in EVENTS:
        parts += [f"### Event `{event.__struct_config__.tag}`", _sentence(event), _table(event)]
    parts.append("### Objects in these messages")
    parts.append("\n".join(f"- **{one.__name__}**: {_line(one)}." for one in _objects()))
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n\n"


def split_page() -> tuple[str, str, str]:
    """Return what stands before the tables, the tables as the page has them, and the rest."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, after = text.partition(HEADING)
    tables, _, rest = after.partition(NEXT_HEADING)
    return before, HEADING + tables, NEXT_HEADING + rest


def _objects() -> list[Struct]:
    """Return the structs that occur in messages, each once, in the order of their use."""
    found: dict[Struct, None] = {}
    commands = COMMANDS.values()
    waiting: list[Struct] = [*commands, *(command.result for command in commands), *EVENTS]
    for struct in waiting:
        for field in msgspec.structs.fields(struct):
            for inner in _structs_in(inspect.type_info(field.type)):
                if inner not in found:
                    found[inner] = None
                    waiting.append(inner)
    return list(found)


def _structs_in(kind: inspect.Type) -> Iterator[Struct]:
    match kind:
        case inspect.Metadata():
            yield from _structs_in(kind.type)
        case inspect.StructType():
            yield kind.cls
        case inspect.ListType():
            yield from _structs_in(kind.item_type)
        case inspect.DictType():
            yield from _structs_in(kind.value_type)
        case inspect.UnionType():
            for one in kind.types:
                yield from _structs_in(one)


def _table(struct: Struct, omitted: frozenset[str] | set[str] = frozenset()) -> str:
    fields = [field for field in msgspec.structs.fields(struct) if field.name not in omitted]
    rows = [f"| `{field.name}` | {_type(field.type)} | {_default(field)} |" for field in fields]
    return "\n".join(["| field | type | default |", "|---|---|---|", *rows]) if rows else ""


def _line(struct: Struct) -> str:
    fields = msgspec.structs.fields(struct)
    marked = [(field.name + ("" if field.required else "?"), field) for field in fields]
    told = [f"`{name}`: {_type(field.type)}" for name, field in marked]
    config = struct.__struct_config__
    if config.tag is not None:
        told.insert(0, f"`{config.tag_field}`: `{config.tag}`")
    return "; ".join(told)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return f"`{msgspec.json.encode(value).decode()}`"


def _type(annotation: Any) -> str:
    return _words(inspect.type_info(annotation))


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _words(kind.type)
        case inspect.StructType():
            return kind.cls.__name__
        case inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
        case inspect.ListType():
            return f"list of {_words(kind.item_type)}{_range(kind.min_length, kind.max_length)}"
        case inspect.DictType():
            return f"object of {_words(kind.value_type)}"
        case inspect.UnionType():
            return " or ".join(_words(one) for one in kind.types)
        case inspect.StrType():
            if kind.pattern is not None:
                return _PATTERNS[kind.pattern]
            return "string" + _range(kind.min_length, kind.max_length)
        case inspect.IntType():
            return "integer" + _range(kind.ge, kind.le)
    names = {
        inspect.AnyType: "any",
        inspect.BoolType: "boolean",
        inspect.FloatType: "number",
        inspect.NoneType: "null",
    }
    return names[type(kind)]


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f" (at most {most})"
    return f" (at least {least})" if most is None else f" ({least} to {most})"


def _sentence(struct: Struct) -> str:
    return (struct.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip()


if __name__ == "__main__":
    before, _, rest = split_page()
    PAGE.write_text(before + render_tables() + rest, encoding="utf-8")
