"""Tell a model's thinking from its answer, and end an answer that thinks beyond its budget."""

from typing import Final

from server.core.protocol import Notice, TokenInfo
from server.dialects.base import Ask, EngineInfo, Finish
from server.dialects.reasoning_marks import MarkReader, Marks, opens_for, opens_in
from server.dialects.thinking import closing_mark

# A server that keeps the budget itself may add words of its own to end the thinking.
_SERVERS_SLACK: Final = 64


class ReasoningReader:
    """Label the tokens of one answer, and find where its thinking exceeds its budget."""

    def __init__(self, ask: Ask, info: EngineInfo) -> None:
        self.is_budget_spent = False
        """Whether the model would think on beyond its budget."""
        # None once the answer has begun.
        self._marks: MarkReader | None = MarkReader(_opened(ask, info))
        # None where there is no budget to count here.
        self._budget: int | None = None
        budget = ask.parameters.get("reasoning")
        if isinstance(budget, int):
            self._budget = budget + _SERVERS_SLACK if info.ends_thinking else budget

    def feed(self, arrived: list[TokenInfo], *, thoughts: int) -> list[TokenInfo]:
        """Return the labelled tokens that can be handed on; those that may be a mark are held back.

        `thoughts` is how many tokens of thinking were handed on before. If `is_budget_spent` is set
        afterwards, the returned tokens are the last.
        """
        if self._marks is not None:
            arrived = self._marks.feed(arrived)
            if self._marks.is_settled:
                self._marks = None
        if self._budget is None:
            return arrived
        return self._within_budget(arrived, self._budget - thoughts)

    def finish(self) -> list[TokenInfo]:
        """Return the tokens that are still held back."""
        return self._marks.finish() if self._marks is not None else []

    def _within_budget(self, arrived: list[TokenInfo], left: int) -> list[TokenInfo]:
        thoughts = [
            n for n, token in enumerate(arrived) if token.kind == "reasoning" and not token.mark
        ]
        if len(thoughts) <= left or arrived[-1].kind != "reasoning":
            return arrived
        closing = closing_mark(self._marks.closing if self._marks is not None else "")
        self._marks = None
        self.is_budget_spent = True
        return [*arrived[: thoughts[left]], *closing]


def budget_spent(ask: Ask) -> Finish:
    """Return the end of an answer whose budget of thinking is spent."""
    budget = ask.parameters["reasoning"]
    notice = Notice(
        "reasoning_budget",
        f"the model had not begun its answer after {budget} tokens of thinking, its budget",
        {"tokens": budget},
    )
    return Finish("length", None, None, notices=(notice,))


def _opened(ask: Ask, info: EngineInfo) -> Marks | None:
    """Return the marks within which the answer begins, since the prompt opened them."""
    content, parameters = ask.prompt.content, ask.parameters
    if parameters.get("grammar") or parameters.get("reasoning") == "off":
        # A grammar holds from the first token on, and has its marks itself.
        return None
    if isinstance(content, str):
        return opens_in(content)
    # Ollama tells thinking apart itself.
    return None if info.dialect == "ollama" else opens_for(info.model_id)
