"""What one who looks at a prompt of a run was told of its answers, and so what is new."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from server.core.generation import Generation
from server.runs.prompt_events import (
    AnswerComplete,
    AnswerDelta,
    AnswerSnapshot,
    AnswerState,
    PromptEvent,
)
from server.runs.shapes import CellKey, RunAnswer

# A delta of a slow reader stays of a size that any client takes.
_MAX_DELTA_CHARS: Final = 64 * 1024
_KINDS: Final = ("reasoning", "tool_call")


@dataclass
class _Place:
    """How much of an answer under way was told."""

    generation: Generation
    cursor: int
    state: str


@dataclass
class Told:
    """What one reader was told; `complete` has when the answers that are complete ended."""

    complete: dict[CellKey, float] = field(default_factory=dict)
    _places: dict[CellKey, _Place] = field(default_factory=dict)
    _waiting: set[CellKey] = field(default_factory=set)

    def look(
        self,
        asking: Mapping[CellKey, Generation],
        known: Mapping[CellKey, RunAnswer] | None,
        kept: Mapping[CellKey, RunAnswer],
    ) -> list[PromptEvent]:
        """Return what is new.

        `known` are all complete answers but the last, `kept`, or None where that is not known anew.
        """
        return [
            *self._completed({**(known or {}), **kept}),
            *self._asked_again(asking, None if known is None else {*known, *kept}),
            *self._written(asking),
        ]

    def waiting(self, prompt: int, targets: int, repeats: int) -> list[PromptEvent]:
        """Return what nothing was told of yet: a client that knew of it drops what it knew."""
        keys = {(prompt, target, repeat) for target in range(targets) for repeat in range(repeats)}
        new = sorted(keys - self._waiting - self.complete.keys() - self._places.keys())
        self._waiting.update(new)
        return [AnswerSnapshot(target, repeat, "waiting") for _, target, repeat in new]

    def _completed(self, answers: Mapping[CellKey, RunAnswer]) -> Iterator[PromptEvent]:
        for key in sorted(answers):
            answer = answers[key]
            if self.complete.get(key) != answer.ended:
                self.complete[key] = answer.ended
                self._places.pop(key, None)
                self._waiting.discard(key)
                yield AnswerComplete(answer)

    def _asked_again(
        self, asking: Mapping[CellKey, Generation], known: set[CellKey] | None
    ) -> Iterator[PromptEvent]:
        lost = [key for key in self._places if key not in asking]
        if known is not None:
            lost += [key for key in self.complete if key not in known and key not in asking]
        for key in lost:
            self._places.pop(key, None)
            self.complete.pop(key, None)
            self._waiting.add(key)
            yield AnswerSnapshot(key[1], key[2], "waiting")

    def _written(self, asking: Mapping[CellKey, Generation]) -> Iterator[PromptEvent]:
        for key, generation in asking.items():
            place = self._places.get(key)
            if place is None or place.generation is not generation:
                self.complete.pop(key, None)
                self._waiting.discard(key)
                self._places[key] = _Place(generation, generation.seq, generation.state)
                yield _snapshot(key, generation)
                continue
            is_begun = place.state != generation.state
            if is_begun and generation.state != "ended":
                yield AnswerState(key[1], key[2], generation.state)
            yield from _deltas(key, place)
            if is_begun and generation.state == "ended":
                yield AnswerState(key[1], key[2], "ended")
            place.state = generation.state


def _snapshot(key: CellKey, generation: Generation) -> AnswerSnapshot:
    texts: dict[str, list[str]] = {"answer": [], "reasoning": []}
    for part in generation.deltas.runs():
        if not part.label.is_mark and part.label.kind in texts:
            texts[part.label.kind].append(part.text)
    text, reasoning = ("".join(several) for several in texts.values())
    return AnswerSnapshot(key[1], key[2], generation.state, text, reasoning)


def _deltas(key: CellKey, place: _Place) -> Iterator[AnswerDelta]:
    generation = place.generation
    while place.cursor < generation.seq:
        text, place.cursor, label = generation.text_since(
            place.cursor, max_chars=_MAX_DELTA_CHARS, kinds=_KINDS
        )
        # Calls of tools are no part of the answers that are kept.
        if text and label.kind != "tool_call":
            yield AnswerDelta(key[1], key[2], text, label.kind)
