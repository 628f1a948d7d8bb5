"""Ask a dialect as the relay does, and keep all that comes of it."""

from typing import Any

from server.core.protocol import Message, Notice, TokenInfo
from server.dialects.base import Ask, Finish, Prompt, Upstream

CHAT = (Message("user", "Why is the sky blue?"),)


def ask(content: Any = CHAT, *, is_lenient: bool = False, **parameters: Any) -> Ask:
    """Return a question with parameters that somebody chose."""
    chosen = frozenset(parameters)
    return Ask(Prompt(content), parameters, chosen=chosen, is_lenient=is_lenient)


class Answer:
    """What an answer has brought."""

    def __init__(self) -> None:
        self.tokens: list[TokenInfo] = []
        self.waits: list[Notice | None] = []
        self.finish: Finish | None = None

    @property
    def text(self) -> str:
        """Return what readers see."""
        return "".join(token.text for token in self.tokens)

    @property
    def codes(self) -> list[str]:
        """Return the codes of the end's notices."""
        assert self.finish is not None
        return [notice.code for notice in self.finish.notices]


async def answered(upstream: Upstream, question: Ask) -> Answer:
    """Ask, and return all that came."""
    answer = Answer()
    answer.finish = await upstream.generate(question, answer.tokens.extend, answer.waits.append)
    return answer
