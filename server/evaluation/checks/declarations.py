"""What checks there are, and what each is declared with: `{"type": "contains", "value": "Paris"}`.

Values and patterns are templates: `{{expected}}` and `{{name}}` stand for what the prompt has. In
patterns they are quoted.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

MAX_CHECKS: Final = 50
"""How many checks a list may have."""
MAX_VALUE_CHARS: Final = 100_000
MAX_PATTERN_CHARS: Final = 2_000

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_VALUE_CHARS)]
_Texts = Annotated[list[_Text], msgspec.Meta(min_length=1, max_length=1000)]
_Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PATTERN_CHARS)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
_Tolerance = Annotated[float, msgspec.Meta(ge=0)]


class _Check(
    msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True, omit_defaults=True
):
    """What all declarations are: told apart by `type`, without unknown fields."""


class Equals(_Check, frozen=True, tag="equals"):
    """The answer is this text; `trim` ignores white space around both."""

    value: _Text
    ignore_case: bool = False
    trim: bool = True


class Contains(_Check, frozen=True, tag="contains"):
    """The answer contains this text."""

    value: _Text
    ignore_case: bool = False


class NotContains(_Check, frozen=True, tag="not_contains"):
    """The answer does not contain this text."""

    value: _Text
    ignore_case: bool = False


class ContainsAny(_Check, frozen=True, tag="contains_any"):
    """The answer contains one or more of these texts."""

    values: _Texts
    ignore_case: bool = False


class ContainsAll(_Check, frozen=True, tag="contains_all"):
    """The answer contains each of these texts."""

    values: _Texts
    ignore_case: bool = False


class Regex(_Check, frozen=True, tag="regex"):
    """A regular expression of RE2's syntax matches somewhere; `whole`: the whole answer."""

    pattern: _Pattern
    ignore_case: bool = False
    whole: bool = False


class Json(_Check, frozen=True, tag="json"):
    """The answer is JSON; `fenced` also takes JSON that stands in one code fence."""

    fenced: bool = False


class JsonSchema(_Check, frozen=True, tag="json_schema"):
    """The answer is JSON that fits a JSON schema, which may refer to nothing outside itself."""

    schema: dict[str, Any] | bool
    fenced: bool = False


class Number(_Check, frozen=True, tag="number"):
    """A number of the answer is this one, give or take `absolute` or `relative`, the larger.

    Taken is the `last` number of the answer, or the `only` one, which may stand there repeatedly.
    A `value` that is a text has one number in it, such as $1,234. Groups of thousands are read;
    `decimal_comma` reads 1.234,5 instead of 1,234.5, in both.
    """

    value: float | _Text
    absolute: _Tolerance = 0.0
    relative: _Tolerance = 0.0
    which: Literal["last", "only"] = "last"
    decimal_comma: bool = False


class Length(_Check, frozen=True, tag="length"):
    """The answer has at least `min` and at most `max` characters, words or tokens."""

    unit: Literal["characters", "words", "tokens"] = "characters"
    min: _Count | None = None
    max: _Count | None = None


class Code(_Check, frozen=True, tag="code"):
    """The answer has code fences of a language, and the code in each of them can be parsed."""

    language: Literal["python", "json"]


class Refuses(_Check, frozen=True, tag="refuses"):
    """The answer refuses, by a list of phrases at its beginning: a heuristic."""


class Answers(_Check, frozen=True, tag="answers"):
    """The answer is not empty and does not refuse, by the same heuristic."""


class Command(_Check, frozen=True, tag="command"):
    """The program of the section `[check NAME]` says so, which gets `options` beside the answer."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    options: dict[str, Any] = {}


class AllOf(_Check, frozen=True, tag="all_of"):
    """Each of these checks passes."""

    checks: "Annotated[list[Check], msgspec.Meta(min_length=1, max_length=MAX_CHECKS)]"


class AnyOf(_Check, frozen=True, tag="any_of"):
    """One or more of these checks pass."""

    checks: "Annotated[list[Check], msgspec.Meta(min_length=1, max_length=MAX_CHECKS)]"


class NoneOf(_Check, frozen=True, tag="none_of"):
    """None of these checks passes."""

    checks: "Annotated[list[Check], msgspec.Meta(min_length=1, max_length=MAX_CHECKS)]"


Check = (
    Equals
    | Contains
    | NotContains
    | ContainsAny
    | ContainsAll
    | Regex
    | Json
    | JsonSchema
    | Number
    | Length
    | Code
    | Refuses
    | Answers
    | Command
    | AllOf
    | AnyOf
    | NoneOf
)
KINDS: Final = (
    *(Equals, Contains, NotContains, ContainsAny, ContainsAll, Regex, Json, JsonSchema, Number),
    *(Length, Code, Refuses, Answers, Command, AllOf, AnyOf, NoneOf),
)
TYPES: Final = tuple(str(kind.__struct_config__.tag) for kind in KINDS)
