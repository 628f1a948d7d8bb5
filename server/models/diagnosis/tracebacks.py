"""Find exceptions in a text: the type and message of each traceback, chained with their causes.

Rules:

1. Stack frames and their code are skipped in all forms: Python's own, rich's boxes, exception
   groups. The content of a box that is cut off is lost.
2. After a traceback's frames any name is an exception; elsewhere only a name with a typical ending.
3. Exceptions that caused one another form a chain, in the order in which they were raised.
4. Rich wraps messages at 80 columns, so the lines of a boxed message's first paragraph are joined.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PANIC: Final = "panic"
"""The type of a Rust program's panic."""

_BOX: Final = re.compile(r"\s*[\u2500-\u257f]|\+-+ Traceback .*-\+$|\| .*\|$|\+-{3,}\+$")
_HEADING: Final = re.compile(r".*\bTraceback \(most recent call last\):$")
_FRAME: Final = re.compile(r'>?\s+File ".*", line \d+')
_LINK: Final = re.compile(
    r"The above exception was the direct cause of|During handling of the above exception"
)
_GROUP: Final = "Exception Group Traceback (most recent call last):"
_GROUP_MARGIN: Final = re.compile(r"^\s*(?:[|+]\s?)+|^\s+\+-+ \d+ -+$")
_NAMED: Final = re.compile(r"(?P<type>[A-Za-z_][\w.<>]*)(?::(?: (?P<message>.*))?)?$")
_SOUNDS_RAISED: Final = re.compile(
    r"(?P<type>(?:[a-z_]\w*\.)*_?[A-Z]\w*(?:Error|Exception|Interrupt|Failure|Exit))"
    r"(?:: (?P<message>.*))?$"
)
# The problem in pydantic's report, on the line below the field.
_INVALID: Final = re.compile(r"\s+(?:Value error, |Assertion failed, )?(?P<what>.+?) \[type=\w+")
_INVALID_HEADING: Final = re.compile(r"\d+ validation errors? for ")
# How many lines are searched backwards for the beginning of a message.
_LONGEST_MESSAGE: Final = 20
_THROWN: Final = re.compile(r"terminate called after throwing an instance of '(?P<type>[^']+)'")
_WHAT: Final = re.compile(r"\s*what\(\):\s*")
_THREAD_PANICKED: Final = re.compile(
    r"thread '.*?'(?: \(\d+\))? panicked at (?:'(?P<message>.*)', )?\S+"
)


@dataclass(frozen=True)
class Raised:
    """An exception: its type as written, its whole message, and one line with both."""

    type: str
    message: str
    line: str


@dataclass
class _Reading:
    type: str
    lines: list[str]
    is_wrapped: bool
    is_complete: bool = False

    def go_on(self, line: str) -> None:
        # An empty line ends a panic's message.
        if self.type == PANIC and not line.strip():
            self.is_complete = True
        if not self.is_complete:
            self.lines.append(line)

    def done(self) -> Raised:
        text = "\n".join(self.lines).strip()
        first, *rest = text.split("\n")
        if _INVALID_HEADING.match(first) and (what := _what_is_invalid(rest)):
            first = what
        elif self.is_wrapped:
            first = " ".join(" ".join(text.split("\n\n")[0].split("\n")).split())
        elif first.endswith(":") and rest:
            first = f"{first} {rest[0].strip()}"
        first = _WHAT.sub("", first, count=1)
        name = self.type if self.type != PANIC else ""
        line = ": ".join(part for part in (name, first.strip()) if part)
        return Raised(self.type, " ".join(text.split()), line)


def read_exceptions(lines: Sequence[str]) -> tuple[list[list[Raised]], list[str]]:
    """Return the chains of exceptions, and the lines outside of them."""
    if any(line.strip().endswith(_GROUP) for line in lines):
        lines = [_GROUP_MARGIN.sub("", line) for line in lines]
    reader = _Reader()
    for line in lines:
        reader.feed(line)
    reader.end()
    return reader.chains, reader.rest


class _Reader:
    def __init__(self) -> None:
        self.chains: list[list[Raised]] = []
        self.rest: list[str] = []
        self._reading: _Reading | None = None
        self._is_in_frames = self._is_boxed = self._is_sure = self._is_linked = False

    def feed(self, line: str) -> None:
        if _BOX.match(line):
            # Tables are boxes too.
            self._begin_frames(is_boxed=True, is_sure="Traceback" in line or self._is_sure)
        elif _HEADING.match(line) or _FRAME.match(line):
            self._begin_frames(is_boxed=False, is_sure=True)
        elif _LINK.match(line):
            if self._reading is None:
                self._take_back()
            self.end()
            self._is_linked = True
        elif panicked := _THREAD_PANICKED.match(line):
            self._begin(PANIC, panicked["message"] or "", is_wrapped=False)
        elif thrown := _THROWN.match(line):
            self._begin(thrown["type"], "", is_wrapped=False)
        elif self._is_in_frames:
            self._after_frames(line)
        elif raised := _SOUNDS_RAISED.match(line):
            self._begin(raised["type"], raised["message"] or "", is_wrapped=False)
        elif self._reading is not None:
            self._reading.go_on(line)
        else:
            self.rest.append(line)

    def end(self) -> None:
        """Complete the exception that is being read."""
        if self._reading is None:
            return
        raised, self._reading = self._reading.done(), None
        if self._is_linked and self.chains:
            self.chains[-1].append(raised)
        else:
            self.chains.append([raised])
        self._is_linked = False

    def _take_back(self) -> None:
        """Parse the last lines as an exception without a traceback, because it was never raised."""
        for number in range(len(self.rest) - 1, max(len(self.rest) - _LONGEST_MESSAGE, 0) - 1, -1):
            named = _NAMED.match(self.rest[number])
            if named and named["message"] and named["type"].rpartition(".")[2][:1].isupper():
                self._begin(named["type"], named["message"], is_wrapped=False)
                for line in self.rest[number + 1 :]:
                    self.feed(line)
                del self.rest[number:]
                return

    def _begin_frames(self, *, is_boxed: bool, is_sure: bool) -> None:
        self.end()
        self._is_in_frames = True
        self._is_boxed, self._is_sure = is_boxed, is_sure

    def _after_frames(self, line: str) -> None:
        if not line.strip() or line[0] in " \t>":
            return
        self._is_in_frames = False
        if raised := (_NAMED if self._is_sure else _SOUNDS_RAISED).match(line):
            self._begin(raised["type"], raised["message"] or "", is_wrapped=self._is_boxed)
        else:
            self.rest.append(line)

    def _begin(self, kind: str, message: str, *, is_wrapped: bool) -> None:
        self.end()
        self._is_in_frames = self._is_sure = False
        self._reading = _Reading(kind, [message], is_wrapped)


def _what_is_invalid(lines: Sequence[str]) -> str:
    for number, line in enumerate(lines):
        if found := _INVALID.match(line):
            before = lines[number - 1].strip() if number else ""
            return f"{before}: {found['what']}" if before else found["what"]
    return ""
