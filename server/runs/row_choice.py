"""Which prompts of a run are shown, and in which order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from server.core.content import text_of
from server.runs.questions import RunQuestions

Show = Literal["all", "failed", "disagree", "cut", "errors", "unvoted"]
Order = Literal["prompt", "slowest", "failed"]


@dataclass(frozen=True)
class RowChoice:
    """Name the prompts that are shown, by their complete answers and by a text.

    `failed` are those where an answer failed, or a check of one; `errors` those where an answer
    failed; `disagree` those where one target is right and another is not, or, if nothing was
    checked, where their texts differ; `cut` those with an answer that reached its greatest length;
    `unvoted` those with answers on which the reader has not voted. `search` is a text of the
    prompt, of the expected answer, or of an answer.
    """

    show: Show = "all"
    sort: Order = "prompt"
    search: str = ""


EVERY_ROW: Final = RowChoice()


def asking_for(questions: RunQuestions, needle: str) -> list[int]:
    """Return the prompts with a text in them or in their expected answer, whatever its case.

    Takes a while for many: call it in a thread.
    """
    wanted = needle.casefold()
    return [
        prompt
        for prompt in range(len(questions))
        if any(wanted in text_of(one.content).casefold() for one in questions.messages(prompt))
        or wanted in (questions.expected(prompt) or "").casefold()
    ]


def arranged(
    total: int, choice: RowChoice, matching: Sequence[int], found: Collection[int] | None
) -> list[int]:
    """Return the prompts to show, in order, of `total`.

    `matching` are those with answers that match, in order; `found` those with the text that is
    searched for, None where none is. Those without answers are among all, behind the others.
    """
    prompts = [prompt for prompt in matching if prompt < total]
    if choice.show == "all":
        if choice.sort == "prompt":
            prompts = list(range(total))
        else:
            prompts += sorted(set(range(total)) - set(prompts))
    return prompts if found is None else [prompt for prompt in prompts if prompt in found]
