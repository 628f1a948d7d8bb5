"""What a run asks, read from a prompt set as it is stored."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Any, Final, Protocol

from server.core.protocol import End, Message
from server.evaluation.checks.reading import as_data, commands_in
from server.evaluation.checks.result import Answer
from server.evaluation.checks.running import run_checks
from server.evaluation.checks.worker import CheckWorkers
from server.evaluation.files.reading import read_written
from server.evaluation.files.writing import common_data, row_data
from server.evaluation.prompt_set import PromptSet, message_data
from server.runs.command_checks import Asked, CommandChecks
from server.runs.plan import Questions
from server.runs.shapes import PREVIEW_CHARS, CheckOutcome

# Runs that are looked at, and those under way; each may be some megabytes.
_MOST_KEPT: Final = 8


class RunQuestions(Questions, Protocol):
    """What a run asks, and what is shown of it."""

    def title(self, prompt: int) -> str:
        """Return how one prompt begins."""

    def expected(self, prompt: int) -> str | None:
        """Return the answer that is hoped for, None where none is."""

    def checks_due(self, prompt: int) -> int:
        """Return how many checks an answer to it has."""

    @property
    def commands(self) -> frozenset[str]:
        """Return the names of the commands that its checks are done by."""

    def common(self) -> dict[str, Any]:
        """Return what is common to all prompts, as a file of the set has it."""

    def row(self, prompt: int) -> dict[str, Any]:
        """Return one prompt as a file of the set has it."""


LoadBody = Callable[[], Awaitable[str]]
"""Load what is stored of a version of a set."""


class SetQuestions:
    """The questions of a prompt set (`RunQuestions`); without workers they cannot be checked."""

    def __init__(
        self,
        prompt_set: PromptSet,
        workers: CheckWorkers | None,
        checks: CommandChecks | None = None,
    ) -> None:
        self.prompt_set = prompt_set
        self._workers = workers
        self._command_checks = checks or CommandChecks({})

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.prompt_set.prompts)

    def title(self, prompt: int) -> str:
        """Return how one prompt begins: the last that a user says in it."""
        messages = self.messages(prompt)
        said = [message.content for message in messages if message.role == "user"]
        return str((said or [messages[-1].content])[-1])[:PREVIEW_CHARS]

    def messages(self, prompt: int, system: str | None = None) -> Sequence[Message]:
        """Return one prompt as it is asked; `system` replaces the set's, and no dialogue's own."""
        one = self.prompt_set.prompts[prompt]
        messages = self.prompt_set.messages_of(one)
        is_own = any(message.role == "system" for message in one.messages)
        if system is None or is_own:
            return messages
        asked = [message for message in messages if message.role != "system"]
        return [Message("system", system), *asked] if system else asked

    def expected(self, prompt: int) -> str | None:
        """Return the answer that is hoped for, None where none is."""
        return self.prompt_set.prompts[prompt].expected or None

    def checks_due(self, prompt: int) -> int:
        """Return how many checks an answer to it has."""
        return len(self.prompt_set.checks) + len(self.prompt_set.prompts[prompt].checks)

    @cached_property
    def commands(self) -> frozenset[str]:
        """Return the names of the commands that its checks are done by."""
        own = (check for prompt in self.prompt_set.prompts for check in prompt.checks)
        return frozenset(commands_in((*self.prompt_set.checks, *own)))

    def common(self) -> dict[str, Any]:
        """Return what is common to all prompts, as a file of the set has it."""
        return common_data(self.prompt_set)

    def row(self, prompt: int) -> dict[str, Any]:
        """Return one prompt as a file of the set has it."""
        return row_data(self.prompt_set, self.prompt_set.prompts[prompt])

    async def check(self, prompt: int, text: str, end: End) -> list[CheckOutcome]:
        """Check an answer to one prompt; raises `RuntimeError` without workers."""
        if self._workers is None:
            raise RuntimeError("these questions are read only")
        checks = self.prompt_set.checks_of(self.prompt_set.prompts[prompt])
        tokens = None if end.usage.estimated else end.usage.completion_tokens
        command = self._command_checks.about(lambda: self._asked(prompt))
        results = await run_checks(checks, Answer(text, tokens), self._workers, command)
        return [
            CheckOutcome(as_data(check), result.passed, result.explanation)
            for check, result in zip(checks, results, strict=True)
        ]

    def _asked(self, prompt: int) -> Asked:
        messages = [message_data(message) for message in self.messages(prompt)]
        return Asked(messages, self.expected(prompt), self.prompt_set.prompts[prompt].variables)


class QuestionReader:
    """Reads prompt sets, and keeps the last ones that were read."""

    def __init__(self, workers: CheckWorkers, checks: CommandChecks | None = None) -> None:
        self._workers = workers
        self._command_checks = checks
        self._kept: OrderedDict[str, SetQuestions] = OrderedDict()

    async def __call__(self, version: str, load: LoadBody) -> SetQuestions:
        """Return the questions of a version, which is loaded where it is not kept."""
        known = self._kept.get(version)
        if known is None:
            # In a thread: a large one would hold up the event loop.
            read = await asyncio.to_thread(read_written, await load())
            known = self._kept[version] = SetQuestions(read, self._workers, self._command_checks)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(version)
        return known
