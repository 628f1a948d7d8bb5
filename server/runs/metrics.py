"""What is counted of runs: plain numbers, once for each answer when it is there."""

from collections import Counter

from server.runs.judge_shapes import Judgement
from server.runs.shapes import RunAnswer


class RunMetrics:
    """Count the answers of all runs, and what judges said."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()
        """By how they ended, with the error's code or an empty text."""
        self.asked_again = 0
        """Answers that were lost, refused or cut off, and are asked again."""
        self.judgements: Counter[tuple[str, str]] = Counter()
        """By whether they could be read, with the error's code or an empty text."""

    def count_answer(self, answer: RunAnswer) -> None:
        """Count an answer that is kept."""
        self.answers[answer.finish_reason, answer.error.code if answer.error else ""] += 1

    def count_asked_again(self) -> None:
        """Count an answer that is not kept."""
        self.asked_again += 1

    def count_judgement(self, judgement: Judgement) -> None:
        """Count what a judge said: `read`, `unreadable` or `failed`."""
        if judgement.error is not None:
            self.judgements["failed", judgement.error.code] += 1
        elif judgement.grade is None and judgement.better is None:
            self.judgements["unreadable", ""] += 1
        else:
            self.judgements["read", ""] += 1
