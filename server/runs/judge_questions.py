"""What a judge is asked about the answers of a run.

A request has the answers in it that it is about. So it is made when it is asked, not before: the
pairs of a few prompts may be thousands.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, permutations
from typing import Final

from server.core.protocol import End, Message
from server.evaluation.judging import Judged, grade_request, pair_requests
from server.runs.judge_shapes import JudgeGiven
from server.runs.judge_store import JudgedKey
from server.runs.questions import RunQuestions
from server.runs.shapes import CheckOutcome, RunAnswer

ALONE: Final = -1
"""Stands for the second target in the key of a grade."""
_MOST_KEYS: Final = 2000

Texts = Mapping[tuple[int, int], Mapping[int, str]]
"""The text of each target's answer, by prompt and repeat."""


class JudgeQuestions:
    """What a judge is asked about some answers (`plan.Questions`)."""

    def __init__(
        self, judge: JudgeGiven, prompts: RunQuestions, texts: Texts, keys: Sequence[JudgedKey]
    ) -> None:
        self.keys = keys
        self._judge = judge
        self._prompts = prompts
        self._texts = texts
        # Made anew, a request has other marks than those that the judge saw.
        self._asked: dict[int, Sequence[Message]] = {}

    def __len__(self) -> int:
        """Return how many judgements there are."""
        return len(self.keys)

    @property
    def held(self) -> int:
        """Return how many requests are in memory."""
        return len(self._asked)

    def messages(self, prompt: int, system: str | None = None) -> Sequence[Message]:
        """Return what the judge is asked: the same until `forget` is called."""
        if (known := self._asked.get(prompt)) is None:
            known = self._asked[prompt] = self._request(self.keys[prompt])
        return known

    def forget(self, prompt: int) -> None:
        """Hold a request no longer, since its reply is there."""
        self._asked.pop(prompt, None)

    async def check(self, prompt: int, text: str, end: End) -> list[CheckOutcome]:
        """Return no checks."""
        return []

    def _request(self, key: JudgedKey) -> Sequence[Message]:
        prompt, repeat, first, second = key
        judge, texts = self._judge, self._texts[prompt, repeat]
        expected = self._prompts.expected(prompt) or ""
        about = Judged(self._prompts.messages(prompt), judge.criteria, expected)
        if second == ALONE:
            return grade_request(about, texts[first], judge.grades).messages
        return pair_requests(about, texts[first], texts[second])[0].messages


def questions_about(
    judge: JudgeGiven,
    prompts: RunQuestions,
    answers: Sequence[RunAnswer],
    judged: set[JudgedKey],
) -> Iterator[JudgeQuestions]:
    """Yield what a judge has yet to be asked about answers, some `_MOST_KEYS` at a time.

    Failed answers are not judged.
    """
    texts: dict[tuple[int, int], dict[int, str]] = {}
    for answer in answers:
        if answer.is_answered:
            texts.setdefault((answer.prompt, answer.repeat), {})[answer.target] = answer.text
    due = (key for key in _keys(judge, texts) if key not in judged)
    while keys := list(islice(due, _MOST_KEYS)):
        yield JudgeQuestions(judge, prompts, texts, keys)


def _keys(judge: JudgeGiven, texts: Texts) -> Iterator[JudgedKey]:
    for (prompt, repeat), by_target in texts.items():
        if judge.mode == "pairs":
            for first, second in permutations(by_target, 2):
                yield prompt, repeat, first, second
        else:
            for place in by_target:
                yield prompt, repeat, place, ALONE
