"""Why a file is not imported, in words: what is wrong with it, and where."""

import re
from collections.abc import Callable
from typing import Final

_KINDS: Final = {
    "object": "an object",
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}
_AT: Final = re.compile(r"(.*?)(?: - at `(.+)`)?", re.DOTALL)
_STEP: Final = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]")
# What is said of a field, by what msgspec says of it.
_FAULTS: Final[tuple[tuple[str, Callable[[re.Match[str]], str]], ...]] = (
    (r"Expected `(.+?)`, got `(.+?)`", lambda m: f"has to be {_kind(m[1])}, and is {_kind(m[2])}"),
    (r"Expected `str` of length <= (\d+)", lambda m: f"has more than {m[1]} characters"),
    (r"Expected `array` of length <= (\d+)", lambda m: f"has more than {int(m[1]):,} entries"),
    (r"Expected `(?:str|array)` of length >= \d+", lambda _: "is empty"),
    (r"Expected `\w+` >= (\S+?)(?:\.0)?", lambda m: f"is less than {m[1]}"),
    (r"Expected `\w+` <= (\S+?)(?:\.0)?", lambda m: f"is more than {m[1]}"),
    (r"Expected `str` matching regex .*", lambda _: "has signs that it may not have"),
    (r"Invalid (?:enum )?value (.*)", lambda m: f"is {m[1]}, which is not known here"),
    (r"Number out of range", lambda _: "is a number that is too large"),
)


def in_words(message: str) -> str:
    """Return what msgspec says of a wrong value in words for people, with the path as it is."""
    found = _AT.fullmatch(message)
    fault, path = (found[1], found[2] or "$") if found else (message, "$")
    if missing := re.fullmatch(r"Object missing required field `(.+)`", fault):
        return f"{place_in_words(f'{path}.{missing[1]}')} is missing - at `{path}`"
    for pattern, words in _FAULTS:
        if told := re.fullmatch(pattern, fault, re.DOTALL):
            return f"{place_in_words(path)} {words(told)} - at `{path}`"
    return f"{place_in_words(path)}: {fault} - at `{path}`"


def place_in_words(path: str) -> str:
    """Return the place that a path leads to, the nearest first: "`text` of turn 3"."""
    steps: list[str] = []
    for name, number in _STEP.findall(path):
        if name:
            steps.append(f"`{name}`")
        elif steps and number.isdigit():
            # `turns[2]` is the third turn.
            several = steps.pop().strip("`")
            one = several.removesuffix("s").replace("_", " ")
            steps.append(f"{one} {int(number) + 1}")
        elif number.isdigit():
            steps.append(f"entry {int(number) + 1}")
    if len(steps) > 1 and steps[0] == "`conversation`":
        steps.pop(0)
    return " of ".join(reversed(steps)) or "the file"


def not_json(body: bytes, message: str) -> str:
    """Return why a file cannot be read as JSON, and where."""
    start = body[:64].lstrip()
    if not start:
        return "the file is empty"
    if start.startswith(b"PK\x03\x04"):
        return "the file is a ZIP archive: unpack it, and import the JSON file that is in it"
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "the file is UTF-16 text: save it as UTF-8"
    if start.startswith(b"<"):
        return "the file is a page, HTML or XML: import the JSON export instead"
    if start.startswith(b"%PDF"):
        return "the file is a PDF: import the JSON export instead"
    if start[0] not in b"[{":
        return "the file is not JSON: it does not begin with `{` or `[`"
    if "truncated" in message:
        return f"the file is not complete: it breaks off in line {_line(body, len(body))}"
    if found := re.search(r"\(byte (\d+)\)", message):
        return f"the file is not JSON: {_position(body, int(found[1]))}"
    return f"the file is not JSON: {message}"


def _kind(name: str) -> str:
    return " or ".join(_KINDS.get(one.strip(), one.strip()) for one in name.split("|"))


def _position(body: bytes, at: int) -> str:
    before = body[:at]
    column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
    near = " ".join(body[max(at - 20, 0) : at + 20].decode(errors="replace").split())
    return f"it is broken in line {_line(body, at)}, column {column}, near “{near}”"


def _line(body: bytes, at: int) -> int:
    return body.count(b"\n", 0, at) + 1
