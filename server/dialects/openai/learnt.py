"""Remember by model what a server has refused, and what to do when it refuses.

Rules:

1. A refused parameter that nobody chose, such as one that only asks for more details, is dropped
   without a notice, and is not sent again for that model.
2. The length of an answer has two names. The other one is tried once, and remembered.
3. A name that the server does not know is refused from then on before anything is sent; a value
   that it does not like only where it comes again. A lenient question is asked without either.
4. A text is never asked about without a length: many servers would end the answer after 16 tokens.
"""

import re
from typing import Final, NamedTuple

from server.core.errors import InvalidParameters
from server.core.protocol import Notice
from server.dialects.openai.errors import RefusedParameter
from server.dialects.openai.parameters import Question, left_out

MAX_ASKS: Final = 8
"""How often one question is asked at most, each time without something that was refused."""

_LENGTHS: Final = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
}
_NEEDED: Final = frozenset({"model", "messages", "prompt", "stream"})
# How servers say that they do not know a name, as against a value that they do not take.
_UNKNOWN: Final = re.compile(
    r"un(known|recognized|recognised|expected)|unsupported (parameter|field)|extra (inputs|fields)"
    r"|(parameter|field|argument)\b.{0,80}\bnot (supported|permitted|allowed)|is not supported with"
    r"|no such (parameter|field)",
    re.IGNORECASE | re.DOTALL,
)


class _Refusal(NamedTuple):
    words: str
    value: object
    is_of_name: bool


class Learnt:
    """Keep what one server refused."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._dropped: dict[str, set[str]] = {}
        self._renamed: dict[str, dict[str, str]] = {}
        self._refused: dict[str, dict[str, _Refusal]] = {}

    def apply(self, model: str, question: Question, *, is_lenient: bool) -> None:
        """Change a question by what is known; raises `InvalidParameters` for what was refused."""
        for old, new in self._renamed.get(model, {}).items():
            if old in question.body:
                self._rename(question, old, new)
        for name in self._dropped.get(model, set()) & _ours(question):
            del question.body[name]
        for name, refusal in self._refused.get(model, {}).items():
            is_same = refusal.is_of_name or question.body.get(name) == refusal.value
            if name in question.body and is_same:
                if name in _ours(question):
                    self._drop(model, question, name)
                else:
                    self._leave_out(question, name, refusal.words, is_lenient=is_lenient)

    def take(
        self, model: str, question: Question, refused: RefusedParameter, *, is_lenient: bool
    ) -> None:
        """Learn from a refusal and change the question so that it can be asked again.

        Raises the refusal, or `InvalidParameters`, where it cannot.
        """
        named = [name for name in refused.parameters if name in question.body]
        named = [name for name in named if name in question.names or name in _ours(question)]
        if not named:
            raise refused
        is_of_name = bool(refused.use_instead or _UNKNOWN.search(refused.message))
        for name in named:
            self._take_one(model, question, name, refused.message, is_of_name, is_lenient)

    def _take_one(
        self,
        model: str,
        question: Question,
        name: str,
        message: str,
        is_of_name: bool,
        is_lenient: bool,
    ) -> None:
        if name not in question.body:
            return  # It went with another one that was refused in the same breath.
        other = _LENGTHS.get(name)
        renamed = self._renamed.setdefault(model, {})
        if other is not None and is_of_name and name not in renamed.values():
            renamed[name] = other
            self._rename(question, name, other)
        elif name in _ours(question):
            self._drop(model, question, name)
        else:
            words = f"{_in_our_words(question, name, self._title)}: {message}"
            refusal = _Refusal(words, question.body[name], is_of_name)
            self._refused.setdefault(model, {})[name] = refusal
            self._leave_out(question, name, words, is_lenient=is_lenient)

    def _drop(self, model: str, question: Question, name: str) -> None:
        for own in _beside(question, name) & _ours(question):
            self._dropped.setdefault(model, set()).add(own)
            del question.body[own]

    def _rename(self, question: Question, old: str, new: str) -> None:
        is_ours = old in _ours(question)
        question.body[new] = question.body.pop(old)
        question.names[new] = question.names.pop(old, "")
        if is_ours:
            return
        question.notices.append(
            Notice(
                "parameter_renamed",
                f"{self._title} takes `{new}` where `{old}` was sent",
                {"from": old, "to": new},
            )
        )

    def _leave_out(self, question: Question, name: str, words: str, *, is_lenient: bool) -> None:
        if not is_lenient:
            raise InvalidParameters(words)
        ours = question.names.get(name, name)
        # What belongs to the same parameter goes with it.
        for other in _beside(question, name):
            del question.body[other]
        question.notices.append(left_out(ours, words))


def _ours(question: Question) -> set[str]:
    """Return the names in the body that only we wanted there, and that it can do without."""
    needed = _NEEDED | (_LENGTHS.keys() if "prompt" in question.body else set())
    return {
        name
        for name in question.body.keys() - needed
        if not (of := question.names.get(name)) or of in question.unasked
    }


def _beside(question: Question, name: str) -> set[str]:
    """Return the names that stand for the same parameter as one does, itself among them."""
    of = question.names.get(name)
    same = {other for other, parameter in question.names.items() if of and parameter == of}
    return (same | {name}) & question.body.keys()


def _in_our_words(question: Question, name: str, title: str) -> str:
    ours = question.names.get(name) or name
    called = "" if ours == name else f" (there `{name}`)"
    return f"`{ours}`{called} is refused by {title}"
