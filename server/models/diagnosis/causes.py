"""Explain why a model server ended, from its exit and its last log lines.

The first of these rules that applies gives the cause:

1. The container engine reports that memory ran out, or that somebody stopped the server.
2. The server's log says that it was asked to stop, and nothing had failed before.
3. A signal ended the server or, according to its log, a part of it.
4. The last exception of the phase that failed; else the last error of that phase, which is called
   only likely; else the last line.

A recognised cause has a message, a code in `details["cause"]`, and a hint what to do. For an
unknown cause the line of the exception is shown. The details have the last log lines.
"""

import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from server.core.errors import ModelFailed
from server.engines.cause import BAD_ARGUMENT, Cause
from server.models.diagnosis.evidence import Evidence, Kind, gather, signal_told
from server.models.diagnosis.known_causes import causes_of, ends
from server.models.diagnosis.log_entries import read_entries
from server.models.runners.base import Condition, Observation, PlaceLost

# The exit code of a launcher with invalid arguments.
_USAGE_ERROR: Final = 2
# People do not read more; the details have the whole text.
_MAX_QUOTED_CHARS: Final = 300
# Enough log lines for a traceback and the lines before it. As JSON they may be twelve times as
# long, and common WebSocket clients refuse a megabyte.
_MAX_TOLD_CHARS: Final = 32_000
_MAX_TOLD_LINES: Final = 100
# Parsing blocks the event loop: for this much up to a tenth of a second.
_MAX_READ_CHARS: Final = 1_000_000

# Shown before an error that may not be the cause.
_LIKELY: Final = "most likely because of its last error: "
_WRAPPED: Final = "and its log says no more than: "
_WORDS: Final = "the last it wrote is: "


class StoppedBySomebody(ModelFailed):
    """Somebody else stopped the server through the container engine; it stays stopped."""


@dataclass(frozen=True)
class _Finding:
    cause: Cause | None
    said: str = ""
    how_sure: str = ""


def explain_exit(observation: Observation, engine: str = "") -> ModelFailed:
    """Return why a model server of that engine is not running; the details have its last lines."""
    told = observation.tail[-_MAX_TOLD_LINES:]
    details: dict[str, Any] = {"log": last_words(line.text for line in told)}
    if observation.condition is not Condition.EXITED:
        if observation.cause is not None:
            return failure_of(observation.cause, details)
        details["cause"] = "gone"
        return ModelFailed(
            "the model server is gone: somebody else removed it",
            hint="start it again",
            details=details,
        )
    found = _find(observation, engine)
    cause = found.cause
    details |= {"cause": cause.code if cause else "unknown", "exit_code": observation.exit_code}
    message = cause.message if cause else f"the model server {_ending(observation)}"
    if found.how_sure:
        message = f"{message}, {found.how_sure}{found.said}"
    elif found.said:
        message = f"{message}: {found.said}"
    kind = StoppedBySomebody if observation.was_told_to_stop else _kind_of(cause)
    return kind(message, hint=cause.hint if cause else None, details=details)


def failure_of(cause: Cause, details: dict[str, Any]) -> ModelFailed:
    """Return the error for a cause that is known without the log."""
    kind = _kind_of(cause)
    return kind(cause.message, hint=cause.hint, details=details | {"cause": cause.code})


def last_words(lines: Iterable[str], room: int = _MAX_TOLD_CHARS) -> list[str]:
    """Return as many of the last lines as fit into `room` characters; a line too long is cut."""
    told: list[str] = []
    for line in reversed(list(lines)):
        told.insert(0, line[-room:])
        room -= len(line)
        if room <= 0:
            break
    return told


def _kind_of(cause: Cause | None) -> type[ModelFailed]:
    return PlaceLost if cause is not None and cause.loses_place else ModelFailed


def _find(observation: Observation, engine: str) -> _Finding:
    if observation.cause is not None:
        return _Finding(observation.cause)
    if observation.was_out_of_memory:
        return _Finding(ends.OUT_OF_MEMORY)
    if observation.was_told_to_stop or observation.ended_by == signal.SIGTERM:
        return _Finding(ends.STOPPED)
    if signal.SIGKILL in observation.sent_signals and observation.ended_by == signal.SIGKILL:
        return _Finding(ends.KILLED_BY_SOMEBODY)
    if observation.exit_code == 0:
        return _Finding(ends.WENT_AWAY if observation.left_behind else ends.ENDED)
    lines = last_words((line.text for line in observation.tail), _MAX_READ_CHARS)
    evidence = gather(read_entries(lines))
    if _was_stopped(evidence):
        return _Finding(ends.STOPPED)
    if observation.ended_by == signal.SIGKILL:
        return _Finding(ends.KILLED)
    return _by_evidence(evidence, observation.exit_code, engine)


def _was_stopped(evidence: Sequence[Evidence]) -> bool:
    """Tell whether the log says that the server was asked to stop, and nothing had failed before.

    TGI also stops its router when a shard is lost, and logs the loss only later.
    """
    for one in evidence:
        if one.kind is Kind.STOP:
            return not any(
                later.kind is Kind.SIGNAL or (later.is_wrapper and later.kind is Kind.RAISED)
                for later in evidence
            )
        if one.kind in {Kind.RAISED, Kind.SIGNAL, Kind.USAGE}:
            return False
    return False


def _by_evidence(evidence: Sequence[Evidence], exit_code: int | None, engine: str) -> _Finding:
    telling = [one for one in evidence if not one.is_wrapper]
    usage = [one for one in telling if one.kind is Kind.USAGE]
    # An unknown program's exit codes may mean anything.
    if usage or (exit_code == _USAGE_ERROR and (engine or not telling)):
        words = usage or [one for one in telling if one.kind in {Kind.RAISED, Kind.ERROR}]
        return _Finding(BAD_ARGUMENT, _shortened(words[-1].line if words else ""))
    for one in telling:
        if one.kind is Kind.SIGNAL:
            return _by_signal(one)
        if one.kind is Kind.RAISED:
            break
    raised = [one for one in telling if one.kind is Kind.RAISED]
    if raised:
        return _by_exception(raised[-1], telling, engine)
    errors = [one for one in telling if one.kind is Kind.ERROR]
    if errors:
        found = _recognised(errors[-1], engine)
        return found or _Finding(None, _shortened(errors[-1].line), _LIKELY)
    wrappers = [one for one in evidence if one.is_wrapper]
    if wrappers:
        return _Finding(None, _shortened(wrappers[-1].line), _WRAPPED)
    lines = [one for one in telling if one.kind is Kind.LINE]
    if lines:
        found = _recognised(lines[-1], engine)
        return found or _Finding(None, _shortened(lines[-1].line), _WORDS)
    return _Finding(None)


def _by_signal(told: Evidence) -> _Finding:
    number = signal_told(told)
    if number == signal.SIGBUS:
        return _Finding(ends.MISSING_SHM, _shortened(told.line))
    if number == signal.SIGKILL:
        return _Finding(ends.KILLED, _shortened(told.line))
    return _Finding(None, _shortened(told.line))


def _by_exception(last: Evidence, telling: Sequence[Evidence], engine: str) -> _Finding:
    for one in (*last.led_to_by, last):
        if found := _recognised(one, engine):
            return _with_plainer_words(found, last, telling, engine)
    if last.phase == "serving":
        return _Finding(ends.CRASHED_WHILE_SERVING, _shortened(last.line))
    return _Finding(None, _shortened(last.line))


def _with_plainer_words(
    found: _Finding, last: Evidence, telling: Sequence[Evidence], engine: str
) -> _Finding:
    """Prefer an error line with the same cause if the last evidence is a printed Rust structure."""
    if not last.text.startswith("Error: "):
        return found
    for one in reversed(telling):
        if one.kind is Kind.ERROR and (again := _recognised(one, engine)):
            return again if again.cause is found.cause else found
    return found


def _recognised(one: Evidence, engine: str) -> _Finding | None:
    for cause in () if one.is_unsure else causes_of(engine):
        if seen := cause.find(one.text, one.phase):
            said = cause.said.format(**seen.groupdict()) if cause.said else one.line
            return _Finding(cause, _shortened(said))
    return None


def _ending(observation: Observation) -> str:
    if observation.exit_code is None:
        return "has ended"
    if observation.ended_by is not None:
        try:
            return f"was ended by {signal.Signals(observation.ended_by).name}"
        except ValueError:
            pass
    return f"ended with exit code {observation.exit_code}"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MAX_QUOTED_CHARS else text[: _MAX_QUOTED_CHARS - 1] + "…"
