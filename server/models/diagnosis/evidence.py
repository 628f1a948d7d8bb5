"""Collect the evidence of why a server ended from its log: errors, exceptions, signals.

Rules:

1. Only entries of the last phase count: the server survived errors of earlier phases.
2. Warnings and their texts are no evidence. A traceback that may belong to a warning counts only if
   there is nothing else, and only as an error.
3. Wrappers, which say only that something else failed, are marked: they count only if there is
   no other evidence.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from server.models.diagnosis.log_entries import Entry
from server.models.diagnosis.tracebacks import Raised, read_exceptions


class Kind(IntEnum):
    """The kind of a piece of evidence."""

    LINE = 0
    """A bare line."""
    ERROR = 1
    """A line of level ERROR, or a line that begins with `error:`."""
    RAISED = 2
    """An exception, a panic, or the error that a Rust program ended with."""
    USAGE = 3
    """A program's refusal of its arguments."""
    SIGNAL = 4
    """The server says that a signal ended a part of it."""
    STOP = 5
    """The server says that it was asked to stop."""


@dataclass(frozen=True)
class Evidence:
    """One thing that may be why a server ended.

    Causes are searched in `text`; people see `line`. Unsure evidence may belong to a warning.
    `led_to_by` are the exceptions that led to this one, the nearest first.
    """

    kind: Kind
    text: str
    line: str
    phase: str
    is_wrapper: bool = False
    is_unsure: bool = False
    led_to_by: tuple["Evidence", ...] = ()


# Characters of an exception's message, which may quote a whole answer.
_MAX_SEARCHED_CHARS: Final = 8_000

# Lines of all engines that say only that something else failed.
_WRAPPERS: Final = re.compile(
    # TGI's launcher and router
    r"^(?:Error: )?(?:DownloadError|ShardCannotStart|ShardDisconnected|ShardFailed"
    r"|WebserverFailed|WebserverCannotStart)$"
    r"|^(?:Shard complete standard error output|Download encountered an error"
    r"|Error when initializing model):?\s*$|^Shard \d+ (?:failed to start|crashed)"
    r"|^Webserver Crashed|^Shutting down shards|^Terminating webserver"
    # vLLM and SGLang
    r"|see (?:root cause|the error|stack trace) above|see stack trace for (?:the )?root cause"
    r"|check the stack trace above|failed to start\.$|Engine process failed to start"
    r"|died unexpectedly|Engine core (?:proc|initialization)|EngineDeadError"
    r"|Rank \d+ scheduler died"
    # llama.cpp: only the first of several lines tells the cause
    r"|[Ff]ailed to load (?:model|draft model|multimodal model|(?:the )?CLIP model|lora adapter)\b"
    r"|failed to create[_ ]context|exiting due to|failed to apply lora adapter"
    r"|failed to allocate (?:CPU )?buffer of size|trying to fit params"
    r"|failed to initialize chat template|disabling jinja|failed to apply template"
    r"|failed to get memory usage of"
    # Python's and Rust's
    r"|^(?:SystemExit|KeyboardInterrupt)\b|^subprocess\.CalledProcessError|ChildFailedError"
    r"|ProcessRaisedException|note: (?:run with|Some details)|^stack backtrace:",
)
# Exceptions that say less than the exceptions that caused them.
_SEEN_THROUGH: Final = re.compile(
    r"is not a local folder and is not a valid model identifier|couldn't connect to"
    r"|Can't load (?:the )?(?:configuration|tokenizer|config)|weights found for model"
    r"|LocalEntryNotFoundError"
)
_VARIANT: Final = re.compile(r"Error: (?P<what>[A-Z]\w*(?:\(.*\)| \{.*\})?)$")
_QUOTED_IN_VARIANT: Final = re.compile(r'"((?:[^"\\]|\\.)+)"')
_ERROR: Final = re.compile(
    r"(?:[\w./-]+: )?(?:fatal|error|FATAL|ERROR)\b(?: while\b.*?)?: ?.+|error "
)
_USAGE: Final = re.compile(
    r"(?:[\w./-]+: )?error: (?:unexpected argument|unrecognized arguments?|expected "
    r"|invalid (?:value|argument)|unknown argument|argument \S+|one of the arguments"
    r"|the following (?:required )?arguments|the argument|a value is required"
    r"|ambiguous option)|error while handling argument"
)
_SIGNALLED: Final = re.compile(r"was signaled to shutdown with signal (\d+)")
_STOP_ASKED: Final = re.compile(
    r"received signal=SIG(?:TERM|INT)|signal received, starting graceful shutdown"
    r"|API server: shutdown triggered|Received SIGTERM|^Terminating webserver"
)


def gather(entries: Sequence[Entry]) -> list[Evidence]:
    """Return the evidence in a log, in its order."""
    phase = entries[-1].phase if entries else ""
    found = [
        (entry.is_doubtful, one)
        for entry in entries
        if entry.phase == phase
        for one in _of_entry(entry)
    ]
    sure = [one for is_doubtful, one in found if not is_doubtful]
    if any(one.kind is not Kind.LINE for one in sure):
        return sure
    return sure + [
        replace(one, kind=Kind.ERROR, is_unsure=True) for is_doubtful, one in found if is_doubtful
    ]


def signal_told(evidence: Evidence) -> int:
    """Return the number of the signal that a server's message names."""
    told = _SIGNALLED.search(evidence.text)
    return int(told[1]) if told else 0


def _of_entry(entry: Entry) -> list[Evidence]:
    first = entry.lines[0] if entry.lines else ""
    if _STOP_ASKED.search(first):
        return [Evidence(Kind.STOP, first, first, entry.phase)]
    if entry.is_harmless:
        return []
    chains, rest = read_exceptions(entry.lines)
    found = [one for line in rest if line.strip() and (one := _of_line(line, entry)) is not None]
    return found + [_of_chain(chain, entry.phase) for chain in chains]


def _of_chain(chain: Sequence[Raised], phase: str) -> Evidence:
    """Return the last exception of a chain, with those that led to it."""
    said = [_of_exception(raised, phase) for raised in chain]
    # A wrapper that other exceptions led to is not the cause.
    telling = [one for one in said if not one.is_wrapper] or said
    *before, last = telling
    if _SEEN_THROUGH.search(last.text):
        return replace(last, led_to_by=tuple(reversed(before)))
    return last


def _of_exception(raised: Raised, phase: str) -> Evidence:
    is_wrapper = bool(_WRAPPERS.search(raised.line))
    text = f"{raised.type}: {raised.message}"[:_MAX_SEARCHED_CHARS]
    return Evidence(Kind.RAISED, text, raised.line, phase, is_wrapper)


def _of_line(line: str, entry: Entry) -> Evidence | None:
    """Return the evidence in a line outside of tracebacks; None for a continuation line."""
    is_bare = not entry.level
    line = line.rstrip()
    kind = Kind.LINE if is_bare else Kind.ERROR
    said = line.strip()
    if told := _SIGNALLED.search(line):
        return Evidence(Kind.SIGNAL, told[0], said, entry.phase)
    if is_bare and (variant := _VARIANT.match(line)):
        return _of_variant(variant["what"], entry.phase)
    if is_bare and _USAGE.match(line):
        kind = Kind.USAGE
    elif is_bare and _ERROR.match(line):
        kind = Kind.ERROR
    elif line[:1].isspace():
        return None
    return Evidence(kind, said, said, entry.phase, bool(_WRAPPERS.search(said)))


def _of_variant(what: str, phase: str) -> Evidence:
    """Return the error that a Rust program ended with; `line` is the text that it quotes."""
    quoted = _QUOTED_IN_VARIANT.search(what)
    line = what
    if quoted:
        line = quoted[1].replace('\\"', '"')
    return Evidence(Kind.RAISED, f"Error: {what}", line, phase, bool(_WRAPPERS.search(what)))
