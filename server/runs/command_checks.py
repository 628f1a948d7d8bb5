"""Checks by programs of the operator's: what they are given, and how what they say is read.

A program that cannot be run, breaks, is late or says nothing that can be read tells nothing of the
answer: the check has no result then, and the explanation says why. What it wrote to its standard
error is for operators, and goes to the log.
"""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from server.evaluation.checks.declarations import Command
from server.evaluation.checks.result import Answer, CheckResult
from server.evaluation.checks.running import RunCommand
from server.runs.programs import Bounds, ProgramFailed, run_program
from server.settings.command_checks import CommandCheckSettings
from server.settings.commands import command_words

logger = logging.getLogger(__name__)

_MAX_WORDS: Final = 300
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


class _Said(msgspec.Struct, frozen=True):
    """What a program says of an answer."""

    passed: bool | None
    explanation: str = ""


_DECODER: Final = msgspec.json.Decoder(_Said)


@dataclass(frozen=True)
class Asked:
    """What a program is told of the prompt that was answered."""

    messages: list[dict[str, str]]
    expected: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


class CommandChecks:
    """The programs of the sections `[check NAME]`, which may be replaced while checks are done."""

    def __init__(self, settings: Mapping[str, CommandCheckSettings]) -> None:
        self._sections: dict[str, CommandCheckSettings] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._told: dict[str, str] = {}
        self.apply(settings)

    @property
    def names(self) -> frozenset[str]:
        """Return the names that checks may have."""
        return frozenset(self._sections)

    def apply(self, settings: Mapping[str, CommandCheckSettings]) -> None:
        """Take other sections from the next check on; those under way end as they began."""
        for name, section in settings.items():
            known = self._sections.get(name)
            if known is None or known.max_concurrent != section.max_concurrent:
                self._slots[name] = asyncio.Semaphore(section.max_concurrent)
        self._sections = dict(settings)

    def about(self, asked: Callable[[], Asked]) -> RunCommand:
        """Return what does checks of answers to one prompt."""

        async def run(check: Command, answer: Answer) -> CheckResult:
            section = self._sections.get(check.name)
            if section is None:
                return _untold(f"the settings have no section [check {check.name}] any more")
            async with self._slots[check.name]:
                return await self._run(section, check, asked(), answer)

        return run

    async def _run(
        self, section: CommandCheckSettings, check: Command, asked: Asked, answer: Answer
    ) -> CheckResult:
        given: dict[str, Any] = {
            "messages": asked.messages,
            "answer": answer.text,
            "expected": asked.expected,
            "variables": dict(asked.variables),
            "options": check.options,
        }
        bounds = Bounds(section.timeout, section.max_output)
        try:
            output = await run_program(
                command_words(section.command),
                json.dumps(given).encode(),
                {"PATH": os.environ.get("PATH", _PATH), "LANG": "C.UTF-8", **section.env},
                bounds,
            )
            result = _result(output)
        except ProgramFailed as error:
            self._log(check.name, error)
            return _untold(str(error))
        self._told.pop(check.name, None)
        return result

    def _log(self, name: str, error: ProgramFailed) -> None:
        """Log what goes wrong once, and not again for each answer."""
        words = f"{error}: {error.errors}" if error.errors else str(error)
        if self._told.get(name) != words:
            self._told[name] = words
            logger.warning("[check %s] tells nothing: %s", name, words)


def _result(output: bytes) -> CheckResult:
    """Return what a program's output says; raises `ProgramFailed`."""
    if not output.strip():
        raise ProgramFailed("it wrote nothing")
    try:
        said = _DECODER.decode(output)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ProgramFailed(
            f"it did not write one JSON object with `passed` ({str(error)[:100]})"
        ) from None
    words = said.explanation or ("the command says so" if said.passed is not None else "")
    if said.passed is None:
        return _untold(words or "the command says so")
    return CheckResult(said.passed, _short(words))


def _untold(why: str) -> CheckResult:
    return CheckResult(None, _short(f"Cannot be told: {why}"))


def _short(words: str) -> str:
    return words if len(words) <= _MAX_WORDS else f"{words[: _MAX_WORDS - 1]}…"
