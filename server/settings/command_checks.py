"""The keys of [check NAME]: programs of the operator's that check answers of runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from server.settings.commands import program_problems
from server.settings.values import Size, Variables, option


@dataclass(frozen=True)
class CommandCheckSettings:
    """A program that checks answers of runs, for prompt sets that name it.

    It gets a JSON object on its standard input and writes one to its standard output; EVALUATE.md
    has both. Whoever may begin a run may have it run on answers of models, with options of theirs.
    """

    command: str = option(
        "",
        "The program and its arguments; no shell runs it. A program is in PATH, or a path from `/` "
        "or `~/` on. Has to be set.",
    )
    timeout: float = option(
        10.0,
        "Seconds that it may take for one answer; then it is killed with all that it has started.",
        low=0.1,
        high=600,
    )
    max_output: Size = option(
        Size(64 << 10), "Bytes that it may write for one answer.", low=64, high=16 << 20
    )
    max_concurrent: int = option(
        2, "Answers that it checks at once, each in a process of its own.", low=1, high=64
    )
    env: Variables = option(
        Variables(),
        "Environment variables, beside PATH and LANG, which are all that it gets of the gateway's. "
        "A value may be `file:PATH` or `env:NAME`.",
        secret=True,
    )


def command_check_problems(
    checks: Mapping[str, CommandCheckSettings],
) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each section with a problem, the key at fault, and what is wrong."""
    for name, check in checks.items():
        for key, problem in program_problems(check.command):
            yield name, key, problem
