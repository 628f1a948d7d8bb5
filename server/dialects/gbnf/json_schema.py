"""JSON schemas as grammars, as far as a grammar can express them.

Rules:

1. An object with properties has these and no others unless the schema says so, as in TGI; they
   come in the order of the schema.
2. Blanks stand nowhere but behind a colon or a comma, and there at most one.
3. What bounds a value and cannot be said here is refused; what only describes it is passed over.
4. `oneOf` is read as `anyOf`: whether two of them fit at once is not checked.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from server.dialects.gbnf import json_texts as texts
from server.dialects.gbnf import regex
from server.dialects.gbnf.json_keywords import (
    BEARING,
    BOUNDS,
    CHOICES,
    counts,
    joined,
    listed,
    number_bounds,
    refused,
    whole_bounds,
)
from server.dialects.gbnf.json_shapes import Rules, any_value, array, members, pair
from server.dialects.gbnf.nodes import Node, Ref, alt, seq, text
from server.dialects.gbnf.writing import write

# What would be lost if it were passed over.
_UNSAID: Final = (
    *("not", "if", "then", "else", "multipleOf", "contains", "patternProperties"),
    *("propertyNames", "dependentRequired", "dependentSchemas", "dependencies"),
    *("$dynamicRef", "$recursiveRef"),
)
_FORMATS: Final = {
    "date": r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])",
    "time": r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "ipv4": r"((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)",
    "email": r"[A-Za-z0-9._%+-]{1,64}@([A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24}",
}
_PATTERNS: Final = {**_FORMATS, "date-time": f"{_FORMATS['date']}T{_FORMATS['time']}"}
_PASSED_OVER: Final = ("pattern", "minProperties", "maxProperties")
_MAX_DEPTH: Final = 40
# References that are read again wherever something stands beside them may multiply.
_MAX_PARTS: Final = 5000
_MAX_BYTES: Final = 128 * 1024


def as_gbnf(schema: Any) -> str:
    """Return the grammar of the values that a schema allows; raises `GrammarRefused`."""
    try:
        size = len(msgspec.json.encode(schema))
    except RecursionError:
        raise refused("#", "is nested too deeply") from None
    if size > _MAX_BYTES:
        raise refused("#", "is too large")
    reader = _Reader(schema)
    root = reader.read(schema, "#")
    return write(root, reader.rules.nodes)


def is_beyond_llama_cpp(schema: Any) -> bool:
    """Tell whether a schema bounds values in a way that llama.cpp's own translation passes over.

    That is so for patterns, counts of properties, and bounds of numbers that need not be whole.
    """
    left = [schema]
    while left:
        inner = left.pop()
        if isinstance(inner, Mapping):
            is_whole = inner.get("type") == "integer"
            beyond = _PASSED_OVER if is_whole else (*_PASSED_OVER, *BOUNDS["number"])
            if any(name in inner for name in beyond):
                return True
        if isinstance(inner, Mapping | list):
            left += inner.values() if isinstance(inner, Mapping) else inner
    return False


class _Reader:
    def __init__(self, root: Any) -> None:
        self._root = root
        self.rules = Rules()
        self._names: dict[str, str] = {}
        self._depth = 0
        self._count = 0

    def read(self, schema: Any, at: str) -> Node:
        """Return what a schema allows; `at` is its place, for people."""
        if schema is True:
            return any_value(self.rules)
        if not isinstance(schema, Mapping):
            raise refused(at, "has something that is no schema")
        self._depth += 1
        self._count += 1
        if self._depth > _MAX_DEPTH or self._count > _MAX_PARTS:
            raise refused(
                at, "is nested too deeply" if self._count <= _MAX_PARTS else "is too large"
            )
        node = self._read(schema, at)
        self._depth -= 1
        return node

    def _read(self, schema: Mapping[str, Any], at: str) -> Node:
        unsaid = next((name for name in _UNSAID if name in schema), "")
        if unsaid or schema.get("uniqueItems") is True:
            raise refused(at, f"has `{unsaid or 'uniqueItems'}`, which no grammar here can say")
        if "$ref" in schema:
            return self._referred(schema, at)
        if "allOf" in schema:
            whole: Mapping[str, Any] = {key: schema[key] for key in schema if key != "allOf"}
            for part in listed(schema["allOf"], at, "allOf"):
                whole = joined(whole, self._resolved(part, at), at)
            return self.read(whole, at)
        choice = next((name for name in CHOICES if name in schema), "")
        if choice:
            beside = {key: value for key, value in schema.items() if key != choice}
            return alt(
                self._chosen(branch, beside, f"{at}/{choice}/{place}")
                for place, branch in enumerate(listed(schema[choice], at, choice))
            )
        if "const" in schema:
            return texts.literal(schema["const"])
        if "enum" in schema:
            return alt(map(texts.literal, listed(schema["enum"], at, "enum")))
        kinds = schema.get("type", _implied(schema))
        if kinds is None:
            return any_value(self.rules)
        kinds = [kinds] if isinstance(kinds, str) else listed(kinds, at, "type")
        return alt([self._of_kind(kind, schema, at) for kind in kinds])

    def _chosen(self, branch: Any, beside: Mapping[str, Any], at: str) -> Node:
        if not BEARING.isdisjoint(beside):
            branch = joined(beside, self._resolved(branch, at), at)
        return self.read(branch, at)

    def _of_kind(self, kind: object, schema: Mapping[str, Any], at: str) -> Node:
        readers: Mapping[object, Callable[[Mapping[str, Any], str], Node]] = {
            "string": self._string,
            "integer": lambda schema, at: texts.integer(*whole_bounds(schema, at)),
            "number": self._number,
            "array": self._array,
            "object": self._object,
            "boolean": lambda *_: alt((text("true"), text("false"))),
            "null": lambda *_: text("null"),
        }
        if not isinstance(kind, str) or kind not in readers:
            raise refused(at, f"has the type {str(kind)[:40]!r}, which JSON has not")
        return readers[kind](schema, at)

    def _referred(self, schema: Mapping[str, Any], at: str) -> Node:
        if not BEARING.isdisjoint(schema):
            return self.read(self._resolved(schema, at), at)
        place = str(schema["$ref"])
        name = self._names.get(place)
        if name is None:
            name = self._names[place] = f"ref-{len(self._names)}"
            target = self._find(schema["$ref"], at)
            self.rules.nodes[name] = self.read(target, place)
        return Ref(name)

    def _resolved(self, schema: Any, at: str) -> Mapping[str, Any]:
        """Return a schema without its reference."""
        for _ in range(_MAX_DEPTH):
            if not isinstance(schema, Mapping):
                raise refused(at, "has something that is no schema")
            if "$ref" not in schema:
                return schema
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            target = self._find(schema["$ref"], at)
            schema = joined(beside, target, at) if isinstance(target, Mapping) else target
        raise refused(at, "has a `$ref` that leads nowhere")

    def _find(self, place: object, at: str) -> Any:
        if not isinstance(place, str) or not (place == "#" or place.startswith("#/")):
            raise refused(at, f"has a `$ref` to {place!r}, which is not in the schema itself")
        found = self._root
        for part in place.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, Mapping) and key in found:
                found = found[key]
            else:
                raise refused(at, f"has a `$ref` to {place!r}, where nothing is")
        return found

    def _string(self, schema: Mapping[str, Any], at: str) -> Node:
        pattern, form = schema.get("pattern"), _PATTERNS.get(str(schema.get("format")))
        length = next((name for name in ("minLength", "maxLength") if name in schema), "")
        if pattern is None and (form is None or length):
            # A format describes a text; its length bounds it.
            return texts.string(*counts(schema, "minLength", "maxLength", at))
        if length:
            raise refused(at, f"has `{length}` beside `pattern`, which no grammar here can say")
        if pattern is None:
            return texts.quoted(regex.parse(form or ""))
        if not isinstance(pattern, str):
            raise refused(at, "has a `pattern` that is no text")
        return texts.quoted(regex.parse_search(pattern))

    def _number(self, schema: Mapping[str, Any], at: str) -> Node:
        low, high = number_bounds(schema, at)
        if low is None and high is None:
            return texts.NUMBER
        return texts.number(low, high)

    def _array(self, schema: Mapping[str, Any], at: str) -> Node:
        items, first = schema.get("items"), schema.get("prefixItems")
        if isinstance(items, list):  # As older drafts have it.
            items, first = schema.get("additionalItems"), items
        places = listed(first, at, "prefixItems") if first is not None else []
        least, most = counts(schema, "minItems", "maxItems", at)
        heads = [self.read(item, f"{at}/prefixItems/{n}") for n, item in enumerate(places)]
        if items is False or (heads and items is None):
            more = None
        else:
            more = self.read(True if items is None else items, f"{at}/items")
        if more is None and least > len(heads):
            raise refused(at, f"wants {least} items and allows {len(heads)}")
        return array(heads if most is None else heads[:most], more, least, most)

    def _object(self, schema: Mapping[str, Any], at: str) -> Node:
        properties = schema.get("properties", {})
        if not isinstance(properties, Mapping):
            raise refused(at, "has `properties` that are no object")
        required: Sequence[Any] = listed(
            schema.get("required", []), at, "required", may_be_empty=True
        )
        if not all(isinstance(name, str) for name in required):
            raise refused(at, "requires a property whose name is no text")
        more = schema.get("additionalProperties", not properties)
        least, most = counts(schema, "minProperties", "maxProperties", at)
        if properties and (least or most is not None):
            raise refused(at, "counts properties beside `properties`")
        lacking = {name: more for name in required if name not in properties}
        if lacking and more is False:
            raise refused(at, f"requires `{next(iter(lacking))}` and does not allow it")
        pairs = [
            (pair(texts.literal(name), self.read(inner, f"{at}/properties/{name}")), is_needed)
            for name, inner, is_needed in (
                *((name, inner, name in required) for name, inner in properties.items()),
                *((name, inner, True) for name, inner in lacking.items()),
            )
        ]
        other = None
        if more is not False:
            value = self.read(more, f"{at}/additionalProperties")
            other = pair(texts.string(0, None), value)
        return seq(text("{"), members(self.rules, pairs, other, least, most), text("}"))


def _implied(schema: Mapping[str, Any]) -> list[str] | None:
    """Return the types that a schema without one is about, None for all."""
    found = [kind for kind, names in BOUNDS.items() if not schema.keys().isdisjoint(names)]
    return found or None
