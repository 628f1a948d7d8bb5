"""Prompt sets: what is asked, by which template, and what answers are checked for.

A prompt is variables for the template, or a whole dialogue. An empty variable is as one that is not
there: tables cannot tell the two apart.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from server.core.content import text_of
from server.core.protocol import Message
from server.evaluation.checks.declarations import Check
from server.evaluation.checks.reading import as_data, put_in
from server.evaluation.templates import fill, variables_of

PROMPT_COLUMN: Final = "prompt"
DEFAULT_TEMPLATE: Final = "{{prompt}}"
# 64 bits: a set has fewer versions, and fewer prompts, than would make two alike likely.
_DIGITS: Final = 16


@dataclass(frozen=True)
class Prompt:
    """One line of a prompt set; what is empty is not there.

    `messages` is a whole dialogue, in place of the template. `expected` is the answer that is hoped
    for: checks and judges refer to it. `system` replaces that of the set. `checks` are done beside
    those for all.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    expected: str = ""
    system: str = ""
    checks: tuple[Check, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptSet:
    """Hold prompts with what is common to them; made by `files.reading`, which checks it."""

    name: str
    prompts: tuple[Prompt, ...]
    template: str = DEFAULT_TEMPLATE
    system: str = ""
    checks: tuple[Check, ...] = ()

    @cached_property
    def version(self) -> str:
        """Return 16 hexadecimal digits that follow from the content, whatever the name."""
        # The sorted JSON of all, a part at a time: made at once, it would hold up other threads.
        checks = [as_data(check) for check in self.checks]
        digest = hashlib.sha256(f'{{"checks":{canonical(checks)},"prompts":['.encode())
        for place, prompt in enumerate(self.prompts):
            digest.update(f"{',' if place else ''}{canonical(prompt_data(prompt))}".encode())
        system, template = canonical(self.system), canonical(self.template)
        digest.update(f'],"system":{system},"template":{template}}}'.encode())
        return digest.hexdigest()[:_DIGITS]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Return the names of all variables, those of the template first."""
        names = dict.fromkeys(variables_of(self.template))
        for prompt in self.prompts:
            names.update(dict.fromkeys(prompt.variables))
        return tuple(names)

    @cached_property
    def prompt_ids(self) -> tuple[str, ...]:
        """Return the id of each prompt: it follows from what is asked.

        So the same prompt is known again in another version of the set. One that is there several
        times is numbered: `…-2`.
        """
        seen: Counter[str] = Counter()
        ids = []
        for prompt in self.prompts:
            one = _digest([message_data(message) for message in self.messages_of(prompt)])
            seen[one] += 1
            ids.append(f"{one}-{seen[one]}" if seen[one] > 1 else one)
        return tuple(ids)

    def messages_of(self, prompt: Prompt) -> list[Message]:
        """Return what a model is asked for a prompt of this set."""
        variables = _Variables(prompt.variables)
        messages = list(prompt.messages)
        if not messages:
            messages = [Message("user", fill(self.template, variables))]
        system = prompt.system or self.system
        if system and all(message.role != "system" for message in messages):
            messages.insert(0, Message("system", system))
        return messages

    def checks_of(self, prompt: Prompt) -> list[Check]:
        """Return the checks of an answer to a prompt, its variables put in; those for all first.

        Raises `KeyError` without a variable. That, and that it makes a check wrong, is ruled out by
        reading the set: to look again for each answer would cost more than the check.
        """
        variables = dict(prompt.variables)
        if prompt.expected:
            variables["expected"] = prompt.expected
        return [put_in(check, variables) for check in (*self.checks, *prompt.checks)]


class _Variables(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return ""


def prompt_data(prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as JSON's values, without what is empty."""
    data = {
        "variables": dict(prompt.variables),
        "messages": [message_data(message) for message in prompt.messages],
        "expected": prompt.expected,
        "system": prompt.system,
        "checks": [as_data(check) for check in prompt.checks],
        "tags": list(prompt.tags),
    }
    return {name: value for name, value in data.items() if value}


def message_data(message: Message) -> dict[str, str]:
    """Return a message in OpenAI's form, its text alone."""
    return {"role": message.role, "content": text_of(message.content)}


def canonical(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Return the one JSON of a value: keys sorted, no spaces."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def _digest(value: Mapping[str, Any] | Sequence[Any]) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:_DIGITS]
