"""Whether a run may ask what it is to ask: within its limits, and of targets that can be asked."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.access.principal import Principal
from server.chat.generation_service import GenerationService
from server.core.errors import Contradiction, InvalidCommand, RunLimit, SidestreamError
from server.evaluation.problems import Problem, invalid
from server.runs.questions import RunQuestions
from server.runs.shapes import MAX_TARGETS, Target


@dataclass(frozen=True)
class RunLimits:
    """How much a run may have, and how many answers of a server it asks for at once."""

    answers: int
    max_concurrent: int


class RunAdmission:
    """Check what a run is to ask before it begins, or before it is extended."""

    def __init__(
        self,
        generations: GenerationService,
        limits: RunLimits,
        commands: Callable[[], frozenset[str]],
    ) -> None:
        self._generations = generations
        self._limits = limits
        self._commands = commands

    def check(
        self,
        principal: Principal,
        targets: Sequence[Target],
        questions: RunQuestions,
        *,
        repeats: int,
        width: int,
    ) -> None:
        """Check new targets, and a run that has `width` targets with them.

        Raises `RunLimit`, `InvalidCommand`, `InvalidPromptSet`, or what a target cannot be asked
        with, with its place in the details.
        """
        self._check_size(questions, repeats, width)
        if unknown := sorted(questions.commands - self._commands()):
            raise invalid([Problem(f"the settings have no section [check {unknown[0][:80]}]")])
        for place, target in enumerate(targets):
            try:
                self._generations.prepare(
                    target.model,
                    questions.messages(0, target.system),
                    parameters=[target.parameters],
                    system=target.system,
                    principal=principal,
                )
            except SidestreamError as error:
                error.details = {**(error.details or {}), "target": place}
                raise

    def _check_size(self, questions: RunQuestions, repeats: int, width: int) -> None:
        if width > MAX_TARGETS:
            raise RunLimit(f"the run would have {width} targets; {MAX_TARGETS} are taken")
        answers = len(questions) * repeats * width
        if answers > self._limits.answers:
            raise RunLimit(
                f"the run would have {answers} answers; {self._limits.answers} are taken",
                hint="take fewer prompts, targets or repeats, or raise `max_answers` in [runs]",
            )
        if not questions:
            raise InvalidCommand("the prompt set is empty")


async def check_continues(before: RunQuestions, after: RunQuestions) -> None:
    """Raise `Contradiction` unless the first prompts of `after` are those of `before`."""
    # In a thread: each prompt is filled into its template.
    if not await asyncio.to_thread(_continues, before, after):
        raise Contradiction(
            "prompts that were asked already have changed since",
            hint="begin a new run for the new version; add prompts behind the others to extend one",
        )


def _continues(before: RunQuestions, after: RunQuestions) -> bool:
    return len(after) >= len(before) and all(
        before.messages(place) == after.messages(place) for place in range(len(before))
    )
