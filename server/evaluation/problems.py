"""What is wrong with a prompt set, with its place: all of it at once, up to a number."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Final

from server.core.errors import InvalidPromptSet

MAX_PROBLEMS: Final = 20


@dataclass(frozen=True)
class Problem:
    """Say what is wrong and where: the line in the file, from 1, and the column or key."""

    message: str
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        """Return the place and the sentence, as one line."""
        place = [f"line {self.row}"] if self.row is not None else []
        place += [f"column `{self.column}`"] if self.column is not None else []
        return f"{', '.join(place)}: {self.message}" if place else self.message


class TooManyProblems(Exception):
    """As many problems were found as are told: ends the reading, and reaches nobody."""


class Problems:
    """Collect problems while something is read."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.order: Sequence[str] = ()
        """The columns of the file from left to right, where it has such."""

    def add(self, message: str, row: int | None = None, column: str | None = None) -> None:
        """Note a problem; raises `TooManyProblems` once there are `MAX_PROBLEMS`."""
        self.found.append(Problem(message, row, column))
        if len(self.found) >= MAX_PROBLEMS:
            raise TooManyProblems

    def check(self) -> None:
        """Raise `InvalidPromptSet` if there are any."""
        if self.found:
            raise invalid(sorted(self.found, key=self._place))

    def _place(self, problem: Problem) -> tuple[int, int]:
        """Return where a problem is told: what is about all first, then by line and column."""
        names = (problem.column or "", (problem.column or "").partition("[")[0])
        places = (self.order.index(name) for name in names if name in self.order)
        return problem.row or 0, next(places, len(self.order))


@contextmanager
def collected() -> Iterator[Problems]:
    """Collect problems; raises `InvalidPromptSet` with all of them at the end, if there are any."""
    problems = Problems()
    with suppress(TooManyProblems):
        yield problems
    problems.check()


def invalid(problems: Sequence[Problem]) -> InvalidPromptSet:
    """Return the error that tells these problems."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidPromptSet(
        f"{problems[0]}{more}", details={"problems": [asdict(problem) for problem in problems]}
    )
