"""Tell a model's thinking from its answer where its server does not: by the marks in the text.

Rules:

1. Marks count only before the first text of the answer. What was handed on as answer cannot be
   called back, and a mark in it is text, as in code about such marks.
2. Thinking ends at the first closing mark, even if opening marks stand inside it: a model that
   writes about a mark would never answer otherwise. It may begin again until the answer has begun.
3. White space around marks belongs to the marks, except for that at the end of the thinking.
4. Held back is only what may still become a mark. The pieces depend on the text alone and not on
   how it is divided.
5. A caller that knows the prompt says whether it ended with an opening mark. Without one a closing
   mark is text.
6. Nothing is lost: pieces joined are the text, marks included.
7. gpt-oss ends with a token that some servers hand on as text. At the very end of an answer that
   began with its marks, it is a special token, which nobody is shown.
"""

from typing import Final, NamedTuple

import msgspec

from server.core.protocol import TokenInfo
from server.dialects.base import NO_TOKEN_ID


class Marks(NamedTuple):
    """What models write around their thinking."""

    opening: str
    closing: str


_CHANNEL_END: Final = "<|end|>"
THINK: Final = Marks("<think>", "</think>")
"""DeepSeek, Qwen, and most others."""
MARKS: Final = (
    THINK,
    # Early Qwen and Claude-like fine-tunes, ByteDance's Seed.
    Marks("<thinking>", "</thinking>"),
    Marks("<thought>", "</thought>"),
    Marks("<seed:think>", "</seed:think>"),
    # Magistral.
    Marks("[THINK]", "[/THINK]"),
    # gpt-oss: its channels of analysis and commentary.
    Marks("<|channel|>analysis<|message|>", _CHANNEL_END),
    Marks("<|channel|>commentary<|message|>", _CHANNEL_END),
    # Gemma 4.
    Marks("<|channel>thought", "<channel|>"),
)
# gpt-oss: what stands before a message that is the answer, or before the next channel.
_HEADERS: Final = ("<|start|>assistant", "<|channel|>final<|message|>")
_RETURN: Final = "<|return|>"
_OPENINGS: Final = tuple(marks.opening for marks in MARKS)
_ALL: Final = "\n".join((*_OPENINGS, *(marks.closing for marks in MARKS), *_HEADERS))
# Models whose chat template ends with the opening mark, by a part of their names. None of them can
# answer without thinking.
_OPENED_IN_PROMPT: Final = ("deepseek-r1", "qwq-", "-thinking-2507", "deepseek_r1")


def opens_in(prompt: str) -> Marks | None:
    """Return the marks whose opening ends a rendered prompt."""
    end = prompt.rstrip()
    return next((marks for marks in MARKS if end.endswith(marks.opening)), None)


def opens_for(model: str) -> Marks | None:
    """Return the marks whose opening ends every prompt of a model, told by its name."""
    name = model.lower()
    return THINK if any(part in name for part in _OPENED_IN_PROMPT) else None


class MarkReader:
    """Label one answer's tokens; `opened` are marks whose opening stood in the prompt."""

    __slots__ = (
        "_closing",
        "_had_mark",
        "_has_channels",
        "_held",
        "_is_answer",
        "_is_fresh",
        "_text",
        "is_settled",
    )

    def __init__(self, opened: Marks | None = None) -> None:
        self._held: list[TokenInfo] = []
        # The text of `_held`.
        self._text = ""
        self._closing = opened.closing if opened else ""
        self._is_fresh = opened is not None
        self._had_mark = opened is not None
        # Whether gpt-oss writes, and whether it has begun its answer, whose end is looked for.
        self._has_channels = False
        self._is_answer = False
        self.is_settled = False
        """Whether no more marks can come, so that tokens are no longer looked at."""

    @property
    def closing(self) -> str:
        """Return the mark that ends the thinking under way, empty outside of it."""
        return self._closing

    def feed(self, tokens: list[TokenInfo]) -> list[TokenInfo]:
        """Return what can be handed on now, labelled."""
        if self.is_settled:
            return tokens
        if any(token.kind != "answer" for token in tokens):
            # The server tells them apart itself.
            return [*self.finish(), *tokens]
        self._held += tokens
        self._text += "".join([_seen(token) for token in tokens])
        if self._is_answer:
            return self._before_end()
        labelled: list[TokenInfo] = []
        while self._text:
            following = self._next()
            if following is None and self._has_channels:
                self._is_answer = True
                return [*labelled, *self._before_end()]
            if following is None:
                return [*labelled, *self.finish()]
            count, is_mark = following
            if not count:
                break
            labelled += [_labelled(token, is_mark=is_mark) for token in self._take(count)]
        return labelled

    def finish(self) -> list[TokenInfo]:
        """Return what is still held back, when the answer has ended."""
        self.is_settled = True
        tokens, self._held, text, self._text = self._held, [], self._text, ""
        if self._is_answer and text == _RETURN:
            return [msgspec.structs.replace(token, special=True) for token in tokens]
        if self._closing:
            return [_labelled(token, is_mark=False) for token in tokens]
        return tokens

    def _before_end(self) -> list[TokenInfo]:
        """Hand on an answer as far as it cannot be the token that ends it."""
        if not self._text.endswith(_RETURN):
            return self._take(len(self._text) - _begun(self._text, _RETURN))
        return self._take(len(self._text) - len(_RETURN))

    def _next(self) -> tuple[int, bool] | None:
        """Return how many characters are thinking, or a mark, and which; None if they are answer.

        There are none where it depends on what comes.
        """
        return self._next_inside() if self._closing else self._next_outside()

    def _next_outside(self) -> tuple[int, bool] | None:
        stripped = self._text.lstrip()
        space = len(self._text) - len(stripped)
        if not stripped:
            return (space if self._had_mark else 0), True
        for marks in MARKS:
            if stripped.startswith(marks.opening):
                self._closing, self._is_fresh, self._had_mark = marks.closing, True, True
                self._has_channels = marks.closing == _CHANNEL_END
                return space + len(marks.opening), True
        for header in _HEADERS:
            if stripped.startswith(header):
                self._had_mark = self._has_channels = True
                return space + len(header), True
        if any(mark.startswith(stripped) for mark in (*_OPENINGS, *_HEADERS)):
            return 0, False
        return (space, True) if self._had_mark and space else None

    def _next_inside(self) -> tuple[int, bool]:
        if self._is_fresh:
            stripped = self._text.lstrip()
            self._is_fresh = not stripped
            if space := len(self._text) - len(stripped):
                return space, True
        place = self._text.find(self._closing)
        if place == 0:
            length = len(self._closing)
            self._closing = ""
            return length, True
        if place < 0:
            place = len(self._text) - _begun(self._text, self._closing)
        return place, False

    def _take(self, count: int) -> list[TokenInfo]:
        """Take the tokens of so many characters, and those without any that stand among them."""
        self._text = self._text[count:]
        taken: list[TokenInfo] = []
        place = 0
        while count:
            token = self._held[place]
            length = len(_seen(token))
            if length > count:
                # The id and probability go with the first part.
                taken.append(msgspec.structs.replace(token, text=token.text[:count]))
                self._held[place] = TokenInfo(NO_TOKEN_ID, token.text[count:], None, token.special)
                break
            taken.append(token)
            count -= length
            place += 1
        del self._held[:place]
        return taken


def _seen(token: TokenInfo) -> str:
    """Return a token's text as far as it may be of a mark; other special tokens have none."""
    return "" if token.special and token.text not in _ALL else token.text


def _labelled(token: TokenInfo, *, is_mark: bool) -> TokenInfo:
    return msgspec.structs.replace(token, kind="reasoning", mark=is_mark)


def _begun(text: str, mark: str) -> int:
    """Return how many characters of a mark stand at the end of a text, all but its last at most."""
    longest = min(len(text), len(mark) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(mark[:n])), 0)
