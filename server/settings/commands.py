"""The command of a model with `runner = command`: its words and variables, and their limits.

Rules:

1. No shell runs a command: it is split into words as a shell splits them, and only `{port}` and a
   `~/` at the beginning of a word are replaced. Syntax that only a shell understands is refused,
   since the program would misread it.
2. A placeholder is a name in single braces. Other braces stay as they are: JSON and templates have
   them too.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Problem = tuple[str, str]

PORT: Final = "{port}"
# For checks of an address's form, to which the port does not matter.
SOME_PORT: Final = 8080

_PLACEHOLDER: Final = re.compile(r"(?<!\{)\{([A-Za-z_][A-Za-z0-9_]*)\}(?!\})")
_SHELLS_WORDS: Final = frozenset(
    {"|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1", "&>", ">&"}
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT: Final = re.compile(rf"{_NAME.pattern}=.*", re.DOTALL)
# Linux's own limit for one of them (MAX_ARG_STRLEN).
_MAX_VARIABLE_BYTES: Final = 128 * 1024


def command_words(command: str, port: int | None = None) -> list[str]:
    """Return the words of a command, with `{port}` replaced.

    Raises `ValueError` for an open quote or a backslash at the end.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        reason = str(error)
        said = "a quote is not closed" if "quotation" in reason else "it ends with a backslash"
        raise ValueError(f"expected words as a shell has them; {said}") from None
    home = str(Path("~").expanduser())
    words = [f"{home}{word[1:]}" if word.startswith("~/") else word for word in words]
    return words if port is None else [with_port(word, port) for word in words]


def with_port(text: str, port: int) -> str:
    """Return the text with `{port}` replaced."""
    return text.replace(PORT, str(port))


def takes_any_port(command: str, url: str, env: Mapping[str, str]) -> bool:
    """Tell whether a command's server gets a free port, so that several can run at once."""
    return any(PORT in text for text in (command, url, *env.values()))


def command_problems(command: str, url: str, env: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the problems of a command; `url` is its server's address, empty if that is `{port}`."""
    try:
        words = command_words(command)
    except ValueError:
        words = []
    yield from program_problems(command, f", such as … --port {PORT}")
    if not words:
        return
    for key, text in (("command", command), ("url", url)):
        for name in _PLACEHOLDER.findall(text):
            if name != "port":
                yield key, f"unknown placeholder {{{name}}}; expected {PORT}"
    # Some programs take the port from their environment only, such as Ollama.
    is_told = any(PORT in word for word in (*words, *env.values()))
    if not is_told and not url:
        yield (
            "command",
            f"the program is not told where to listen: write {PORT} where its port belongs, here "
            "or in `env`, or say in `url` where it answers",
        )
    if is_told and url and PORT not in url:
        yield "url", f"the command is given a port, so that {PORT} belongs into its address too"
    if not is_told and PORT in url:
        yield "command", f"the address has {PORT}, so that the program has to be told it too"


def program_problems(command: str, example: str = "") -> Iterator[Problem]:
    """Yield what is wrong with a command, wherever its program listens or not."""
    try:
        words = command_words(command)
    except ValueError as error:
        yield "command", str(error)
        return
    if not words:
        yield "command", f"missing; expected a program and its arguments{example}"
        return
    if "\0" in command:
        yield "command", "has a character that no argument can have"
    yield from _words_problems(words)


def parse_variables(text: str) -> dict[str, Any]:
    """Parse `NAME=VALUE` pairs, separated by blanks or commas; values may be in quotes.

    A comma inside a value is part of it unless another pair follows. Raises `ValueError`, which
    does not repeat the values.
    """
    variables: dict[str, Any] = {}
    place = 0
    while place < len(text):
        found = _PAIR.match(text, place)
        if found is None:
            raise ValueError(
                f"expected NAME=VALUE pairs or a JSON object; pair {len(variables) + 1} is none"
            )
        name, value = found["name"], found["value"]
        if name in variables:
            raise ValueError(f"{name} is there twice")
        variables[name] = value[1:-1] if value[:1] in ("'", '"') else value
        place = found.end()
    return variables


def variable_problem(name: str, value: Any) -> str:
    """Return why an environment variable is invalid, without its value; empty if it is valid."""
    if not _NAME.fullmatch(name):
        return "expected a name of letters, digits and _"
    if not isinstance(value, str):
        return "expected text"
    if "\0" in value:
        return "has a character that no variable can have"
    if len(value.encode()) > _MAX_VARIABLE_BYTES:
        return f"has more than {_MAX_VARIABLE_BYTES} bytes"
    return ""


_PAIR: Final = re.compile(
    rf"""\s*(?P<name>{_NAME.pattern})=
    (?P<value>"[^"]*"|'[^']*'|[^\s"'][^\s]*?|)
    (?:\s*,\s*(?={_NAME.pattern}=)|\s+|\s*,?\s*\Z)""",
    re.VERBOSE,
)


def _words_problems(words: list[str]) -> Iterator[Problem]:
    program = words[0]
    for word in words:
        if word in _SHELLS_WORDS:
            yield "command", f"no shell runs it, so that {word!r} means nothing; write a script"
            return
    if _ASSIGNMENT.fullmatch(program):
        yield "command", f"begins with {program.partition('=')[0]}=…, which belongs into `env`"
    elif "/" in program and not program.startswith("/"):
        yield "command", f"expected a program in PATH or a path from / or ~/ on, found {program!r}"
