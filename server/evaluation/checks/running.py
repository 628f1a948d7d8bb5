"""Do the checks on an answer: small ones here, others in a process that can be killed."""

from collections.abc import Awaitable, Callable, Sequence

from server.evaluation.checks.declarations import (
    AllOf,
    Answers,
    AnyOf,
    Check,
    Code,
    Command,
    Equals,
    Json,
    JsonSchema,
    Length,
    NoneOf,
    Number,
    Refuses,
    Regex,
)
from server.evaluation.checks.numbers import check_number
from server.evaluation.checks.reading import as_data
from server.evaluation.checks.result import Answer, CheckResult, all_of, any_of, none_of
from server.evaluation.checks.texts import (
    check_contains,
    check_equals,
    check_length,
    check_refuses,
)
from server.evaluation.checks.worker import CheckWorkers

RunCommand = Callable[[Command, Answer], Awaitable[CheckResult]]
"""Do a check by the operator's program of that name."""


async def no_command(check: Command, answer: Answer) -> CheckResult:
    """Return that nothing can be told, where there are no programs that check."""
    return CheckResult(None, f"Cannot be told: there is no command {check.name!r} here")


async def run_checks(
    checks: Sequence[Check],
    answer: Answer,
    workers: CheckWorkers,
    command: RunCommand = no_command,
) -> list[CheckResult]:
    """Return the result of each check, in order; their variables have to be bound.

    Raises what `CheckWorkers.check` does.
    """
    return [await run_check(check, answer, workers, command) for check in checks]


async def run_check(
    check: Check, answer: Answer, workers: CheckWorkers, command: RunCommand = no_command
) -> CheckResult:
    """Return the result of one check; raises what `CheckWorkers.check` does."""
    match check:
        case AllOf():
            return all_of(await run_checks(check.checks, answer, workers, command))
        case AnyOf():
            return any_of(await run_checks(check.checks, answer, workers, command))
        case NoneOf():
            return none_of(await run_checks(check.checks, answer, workers, command))
        case Command():
            return await command(check, answer)
        case Regex() | Json() | JsonSchema() | Code():
            return await workers.check(as_data(check), answer.text)
        case _:
            return _at_once(check, answer)


def _at_once(check: Check, answer: Answer) -> CheckResult:
    match check:
        case Equals():
            return check_equals(check, answer)
        case Number():
            return check_number(check, answer)
        case Length():
            return check_length(check, answer)
        case Refuses() | Answers():
            return check_refuses(answer, wanted=isinstance(check, Refuses))
        case Regex() | Json() | JsonSchema() | Code() | Command() | AllOf() | AnyOf() | NoneOf():
            raise TypeError(f"{check} is not done at once")
        case _:
            return check_contains(check, answer)
