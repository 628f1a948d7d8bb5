"""Do the checks that may take long, take much memory or crash, in a process of its own.

Imports the standard library, RE2, the validator of JSON schemas, and nothing of ours that imports
more. A deeply nested text overflows the stack of more than one parser: the process ends then, and
`worker.py` tells so.
"""

import ast
import functools
import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import jsonschema_rs
import re2

from server.evaluation.checks.fences import fences_in
from server.workers.fences import arguments, serve

_MAX_WORDS: Final = 300
_MAX_ERRORS: Final = 3
_LANGUAGES: Final = {
    "python": {"python", "py", "python3", "py3"},
    "json": {"json"},
}

Result = tuple[bool, str]


def check(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{"passed": bool, "explanation": words}` for the fields of a check and a `text`."""
    try:
        passed, explanation = _CHECKS[request["type"]](request, request["text"])
    except MemoryError:
        passed, explanation = False, "took too much memory"
    except RecursionError:
        passed, explanation = False, "is nested too deeply"
    if len(explanation) > _MAX_WORDS:
        explanation = f"{explanation[: _MAX_WORDS - 1]}…"
    return {"passed": passed, "explanation": explanation}


def _regex(declared: Mapping[str, Any], text: str) -> Result:
    pattern = _compiled(declared["pattern"], bool(declared.get("ignore_case")))
    # What is no character cannot be matched, but must not fail the rest.
    text = text.encode(errors="replace").decode()
    found = pattern.fullmatch(text) if declared.get("whole") else pattern.search(text)
    if found is None:
        where = "the whole answer does not match" if declared.get("whole") else "nothing matches"
        return False, f"{where} {declared['pattern']!r}"
    return True, f"{found.group()[:80]!r} matches {declared['pattern']!r}"


@functools.lru_cache(maxsize=32)
def _compiled(pattern: str, ignore_case: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    return re2.compile(pattern, options)


def _json(declared: Mapping[str, Any], text: str) -> Result:
    try:
        _parsed(text, bool(declared.get("fenced")))
    except ValueError as error:
        return False, str(error)
    return True, "is JSON"


def _json_schema(declared: Mapping[str, Any], text: str) -> Result:
    try:
        value = _parsed(text, bool(declared.get("fenced")))
    except ValueError as error:
        return False, str(error)
    errors = list(_validator(json.dumps(declared["schema"])).iter_errors(value))
    if not errors:
        return True, "fits the schema"
    words = [f"at `{_path(error.instance_path)}`: {error.message}" for error in errors]
    more = f" (and {len(words) - _MAX_ERRORS} more)" if len(words) > _MAX_ERRORS else ""
    return False, f"does not fit the schema: {'; '.join(words[:_MAX_ERRORS])}{more}"


@functools.lru_cache(maxsize=8)
def _validator(schema: str) -> Any:
    # Linear expressions only, and nothing is fetched.
    return jsonschema_rs.validator_for(
        json.loads(schema), pattern_options=jsonschema_rs.RegexOptions(), offline=True
    )


def _path(steps: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _parsed(text: str, fenced: bool) -> Any:
    """Return the value of a text that is JSON; raises `ValueError` in words."""
    if fenced:
        fences = [fence for fence in fences_in(text) if fence.language in {"", "json"}]
        if len(fences) > 1:
            raise ValueError(f"has {len(fences)} code fences that may be JSON instead of one")
        text = fences[0].code if fences else text
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"is no JSON: {error.msg} ({place})") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"is no JSON: {constant} is not of it")


def _code(declared: Mapping[str, Any], text: str) -> Result:
    language = declared["language"]
    codes = [fence.code for fence in fences_in(text) if fence.language in _LANGUAGES[language]]
    if not codes:
        return False, f"has no code fence of {language}"
    for number, code in enumerate(codes, 1):
        which = f"code fence {number} of {language}" if len(codes) > 1 else "the code"
        try:
            _PARSERS[language](code)
        except SyntaxError as error:
            return False, f"{which} cannot be parsed: {error.msg} (line {error.lineno})"
        except ValueError as error:
            return False, f"{which} cannot be parsed: it {error}"
        except (MemoryError, RecursionError):
            return False, f"{which} cannot be parsed: it is nested too deeply"
    return True, f"{len(codes)} code fence{'s' if len(codes) > 1 else ''} of {language} parsed"


_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any], str], Result]]] = {
    "regex": _regex,
    "json": _json,
    "json_schema": _json_schema,
    "code": _code,
}
_PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "python": ast.parse,
    "json": lambda code: _parsed(code, fenced=False),
}
# Done before any other: what is imported on first use is there afterwards.
_FIRST: Final = (
    {"type": "regex", "pattern": "é", "text": "é"},
    {"type": "json_schema", "schema": {"format": "date", "pattern": "a"}, "text": '"b"'},
    {"type": "code", "language": "python", "text": "```py\nif\n```"},
)


def main() -> None:
    """Answer frames until the input ends; the argument is the seconds that each may take."""
    warnings.simplefilter("ignore")
    for first in _FIRST:
        check(first)
    serve(check, float(arguments()[0]))
