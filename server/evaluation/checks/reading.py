"""Read declarations of checks; what is wrong is told with its place, all at once."""

import difflib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import jsonschema_rs
import msgspec
import re2

from server.core.json_schemas import schema_problem
from server.evaluation.checks.declarations import (
    MAX_CHECKS,
    TYPES,
    AllOf,
    AnyOf,
    Check,
    Command,
    JsonSchema,
    Length,
    NoneOf,
    Number,
    Regex,
)
from server.evaluation.checks.numbers import wanted_number
from server.evaluation.problems import Problem, invalid
from server.evaluation.templates import escape, fill, variables_of

_MAX_DEPTH: Final = 5

_decoder = msgspec.json.Decoder(Check)


def checks_in(declared: Any, place: str) -> tuple[tuple[Check, ...], list[tuple[str, str]]]:
    """Read a list of declarations, or a single one.

    Returns the checks that are right, and the place and words of what is wrong.
    """
    if isinstance(declared, dict):
        declared = [declared]
    if not isinstance(declared, list):
        return (), [(place, "checks are a list of objects")]
    if len(declared) > MAX_CHECKS:
        return (), [(place, f"there are more than {MAX_CHECKS} checks")]
    checks: list[Check] = []
    problems: list[tuple[str, str]] = []
    for number, one in enumerate(declared):
        where = f"{place}[{number}]"
        found = _type_problems(one, where, 1)
        if not found:
            try:
                check = msgspec.convert(one, Check)
            except msgspec.ValidationError as error:
                found = [_placed(str(error), where)]
            else:
                found = _problems(check, where)
                checks.append(check)
        problems += found
    return tuple(checks), problems


def as_data(check: Check) -> dict[str, Any]:
    """Return the declaration of a check, without what is as it would be anyway."""
    data: dict[str, Any] = msgspec.to_builtins(check)
    return data


def command_problems(
    checks: Sequence[Check], place: str, known: Container[str]
) -> Iterator[tuple[str, str]]:
    """Yield the place and words of each check of a command that is not known."""
    for number, check in enumerate(checks):
        where = f"{place}[{number}]"
        match check:
            case AllOf() | AnyOf() | NoneOf():
                yield from command_problems(check.checks, f"{where}.checks", known)
            case Command(name=name) if name not in known:
                yield f"{where}.name", f"the settings have no section [check {name[:80]}]"
            case _:
                pass


def commands_in(checks: Iterable[Check]) -> Iterator[str]:
    """Yield the names of all commands that checks are done by."""
    for check in checks:
        match check:
            case AllOf() | AnyOf() | NoneOf():
                yield from commands_in(check.checks)
            case Command():
                yield check.name
            case _:
                pass


def variables_in(check: Check) -> list[str]:
    """Return the names of the variables that a check's texts take from the prompt."""
    names: list[str] = []
    for text in _texts(check):
        names += variables_of(text)
    return list(dict.fromkeys(names))


def put_in(check: Check, variables: Mapping[str, str]) -> Check:
    """Return a check with a prompt's variables put in, where `bind` has found nothing wrong.

    Raises `KeyError` without a variable.
    """
    return _with_texts(check, lambda text, quote: fill(text, variables, quote))


def bind(check: Check, variables: Mapping[str, str]) -> Check:
    """Return a check with a prompt's variables put in.

    Raises `InvalidPromptSet` where that makes it wrong, `KeyError` without a variable.
    """
    bound = put_in(check, variables)
    # What was put in may itself have braces: checked is what then stands there.
    problems = _problems(_with_texts(bound, lambda text, quote: escape(text)), "")
    if problems:
        raise invalid([Problem(message) for _, message in problems])
    return bound


def _type_problems(declared: Any, place: str, depth: int) -> list[tuple[str, str]]:
    """Return what is wrong with the types, also of checks inside."""
    if not isinstance(declared, dict):
        return [(place, "a check is an object with a `type`")]
    kind = declared.get("type")
    if kind is None:
        return [(place, "a check needs a `type`")]
    if kind not in TYPES:
        near = difflib.get_close_matches(str(kind).lower().replace("-", "_"), TYPES, 1, 0.5)
        hint = f": is it {near[0]!r}?" if near else f"; there are {', '.join(TYPES)}"
        return [(f"{place}.type", f"{str(kind)[:80]!r} is no type of check{hint}")]
    if depth > _MAX_DEPTH:
        return [(place, f"checks are nested more than {_MAX_DEPTH} deep")]
    inner = declared.get("checks")
    return [
        problem
        for number, one in enumerate(inner if isinstance(inner, list) else [])
        for problem in _type_problems(one, f"{place}.checks[{number}]", depth + 1)
    ]


def _placed(message: str, place: str) -> tuple[str, str]:
    """Take the place out of msgspec's words."""
    words, _, path = message.partition(" - at `$")
    return place + path.rstrip("`"), words


def _problems(check: Check, place: str) -> list[tuple[str, str]]:
    """Return what is wrong with a check beside its form."""
    match check:
        case AllOf() | AnyOf() | NoneOf():
            return [
                problem
                for number, one in enumerate(check.checks)
                for problem in _problems(one, f"{place}.checks[{number}]")
            ]
        case Regex():
            return _regex_problems(check, place)
        case JsonSchema():
            return _schema_problems(check.schema, place)
        # With variables, it has to be a number by prompt.
        case Number(value=str() as value) if not variables_of(value):
            literal = msgspec.structs.replace(check, value=fill(value, {}))
            if wanted_number(literal) is None:
                return [(f"{place}.value", f"{value[:80]!r} is no number")]
            return []
        case Length(min=None, max=None):
            return [(place, "a length needs `min` or `max`")]
        case Length(min=int() as least, max=int() as most) if least > most:
            return [(f"{place}.min", "`min` is above `max`")]
        case _:
            return []


def _regex_problems(check: Regex, place: str) -> list[tuple[str, str]]:
    pattern = fill(check.pattern, dict.fromkeys(variables_of(check.pattern), "x"), quote_pattern)
    if problem := pattern_problem(pattern):
        return [(f"{place}.pattern", f"it is no regular expression of RE2's syntax: {problem}")]
    return []


def pattern_problem(pattern: str) -> str:
    """Return what is wrong with a regular expression; empty if nothing is."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    except UnicodeEncodeError:
        return "half of a surrogate pair is no character"
    return ""


def quote_pattern(text: str) -> str:
    """Return the regular expression that matches this text."""
    return str(re2.escape(text))


def _schema_problems(schema: dict[str, Any] | bool, place: str) -> list[tuple[str, str]]:
    place = f"{place}.schema"
    if problem := schema_problem(schema, place):
        return [(place, problem)]
    try:
        jsonschema_rs.validator_for(
            schema, pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        words = getattr(error, "message", "") or str(error).split("\n", 1)[0]
        return [(place, f"it is no JSON schema: {words[:300]}")]
    return []


def _texts(check: Check) -> Sequence[str]:
    texts: list[str] = []

    def note(text: str, quote: Callable[[str], str]) -> str:
        texts.append(text)
        return text

    _with_texts(check, note)
    return texts


def _with_texts(check: Check, change: Callable[[str, Callable[[str], str]], str]) -> Check:
    """Return a check whose texts are changed; `change` gets each with how it quotes what it has."""
    changes: dict[str, Any] = {}
    for name in ("value", "pattern", "values", "checks"):
        old = getattr(check, name, None)
        if isinstance(old, str):
            changes[name] = change(old, quote_pattern if name == "pattern" else str)
        elif name == "values" and old is not None:
            changes[name] = [change(text, str) for text in old]
        elif name == "checks" and old is not None:
            changes[name] = [_with_texts(one, change) for one in old]
    return msgspec.structs.replace(check, **changes) if changes else check
