"""Turn llama.cpp's steps into TGI's token events: no I/O, no clock.

Rules:

1. Every token has an event, also one that does not complete a character: its text is ""
   and the next one's holds the whole character, as TGI does it. llama.cpp keeps such
   tokens to itself; their ids follow from the bytes that are missing and the vocabulary.
   Where more than one reading is possible the tokens share one event; `generated_tokens`
   is true in every case.
2. The last event carries the answer, so the last token must be known when it comes: by
   its number, by a stop sequence, or, for a token that ends the sequence, by llama.cpp's
   next step. Therefore special tokens, which nobody waits to see, are held back for one
   step.
3. Ends are looked for in TGI's order: length, end of sequence, stop sequence. A stop
   sequence must end where a token ends, and stays in the text.
4. The text of the answer is the events' texts joined, without the special ones.
"""

from typing import Literal

import msgspec

from server.engine.errors import IncompleteGeneration
from server.engine.gguf import ModelFile
from server.engine.llama import Step

FinishReason = Literal["length", "eos_token", "stop_sequence"]

UNSEEN_TOKENS_MOST = 3
"""How many tokens may follow before a UTF-8 character of at most 4 bytes is complete."""


class Token(msgspec.Struct, frozen=True):
    """One token as TGI writes it."""

    id: int
    text: str
    logprob: float | None
    special: bool


class StreamDetails(msgspec.Struct, frozen=True):
    """How a stream ended."""

    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    input_length: int


class StreamEvent(msgspec.Struct):
    """One event of `/generate_stream`; `generated_text` is there on the last one only."""

    index: int
    token: Token
    top_tokens: list[Token] | msgspec.UnsetType = msgspec.UNSET
    generated_text: str | None = None
    details: StreamDetails | None = None


class Decoder:
    """Decode one answer, step by step."""

    def __init__(
        self,
        model: ModelFile,
        *,
        max_new_tokens: int,
        stop: list[str],
        top_n_tokens: int,
        seed: int | None,
        input_length: int,
    ) -> None:
        self._model = model
        self._max_new_tokens = max_new_tokens
        self._stop = stop
        self._stop_window = max((len(sequence) for sequence in stop), default=0) + 1
        self._top_n_tokens = top_n_tokens
        self._seed = seed
        self._input_length = input_length
        self._generated_tokens = 0
        self._index = 0
        self._texts: list[str] = []
        self._tail = ""
        self._held: StreamEvent | None = None
        self.details: StreamDetails | None = None

    def is_finished(self) -> bool:
        """Tell whether the last event is out."""
        return self.details is not None

    def feed(self, step: Step) -> list[StreamEvent]:
        """Return the events that `step` brings; `details` is set once the last is among them.

        Raises `IncompleteGeneration` when llama.cpp stopped before the answer had an end.
        """
        events: list[StreamEvent] = []
        if step.stop:
            self._end(step, events)
            return events
        self._release(events)
        # Below zero: no token, but word of how far the prompt is.
        unseen = step.tokens_predicted - self._generated_tokens - 1
        if self.is_finished() or not step.tokens or unseen < 0:
            return events
        for token_id in self._unseen_ids(step, unseen):
            self._add(Token(token_id, "", None, False), [], events)
            if self.is_finished():
                return events
        self._generated_tokens = min(step.tokens_predicted, self._max_new_tokens) - 1
        self._add(self._shown_token(step), self._top_tokens(step), events)
        return events

    def _shown_token(self, step: Step) -> Token:
        token_id = step.tokens[-1]
        probabilities = step.completion_probabilities
        logprob = probabilities[-1].logprob if probabilities else None
        # A character that tokens beyond the last one have completed is not in the answer.
        text = step.content if step.tokens_predicted <= self._max_new_tokens else ""
        return Token(token_id, text, logprob, token_id in self._model.special_ids)

    def _top_tokens(self, step: Step) -> list[Token]:
        if not self._top_n_tokens or not step.completion_probabilities:
            return []
        special = self._model.special_ids
        return [
            Token(top.id, top.token, top.logprob, top.id in special)
            for top in step.completion_probabilities[-1].top_logprobs[: self._top_n_tokens]
        ]

    def _add(self, token: Token, top_tokens: list[Token], events: list[StreamEvent]) -> None:
        self._generated_tokens += 1
        self._index += 1
        event = StreamEvent(self._index, token, top_tokens or msgspec.UNSET)
        if self._generated_tokens >= self._max_new_tokens:
            self._take(event, events)
            self._finish("length", events)
        elif token.special:
            self._held = event
        else:
            self._take(event, events)
            self._look_for_stop(events)

    def _release(self, events: list[StreamEvent]) -> None:
        if self._held is not None:
            self._take(self._held, events)
            self._held = None
            self._look_for_stop(events)

    def _take(self, event: StreamEvent, events: list[StreamEvent]) -> None:
        events.append(event)
        if not event.token.special:
            self._texts.append(event.token.text)
        if self._stop:
            self._tail = (self._tail + event.token.text)[-self._stop_window :]

    def _look_for_stop(self, events: list[StreamEvent]) -> None:
        # TGI matches `stop$`, and `$` also matches before a final line feed.
        if any(
            self._tail.removesuffix("\n").endswith(s) or self._tail.endswith(s) for s in self._stop
        ):
            self._finish("stop_sequence", events)

    def _end(self, step: Step, events: list[StreamEvent]) -> None:
        if self._held is None:
            # A token that ends the sequence but is not marked as special in the file.
            if step.stop_type != "eos":
                raise IncompleteGeneration
            end = Token(self._model.eos_id, "", None, True)
            self._held = StreamEvent(self._index + 1, end)
        self._take(self._held, events)
        self._finish("eos_token" if step.stop_type == "eos" else "length", events)

    def _finish(self, reason: FinishReason, events: list[StreamEvent]) -> None:
        self.details = StreamDetails(reason, self._generated_tokens, self._seed, self._input_length)
        events[-1].generated_text = "".join(self._texts)
        events[-1].details = self.details

    def _unseen_ids(self, step: Step, count: int) -> list[int]:
        if count == 0:
            return []
        ids_by_bytes = self._model.ids_by_bytes
        last_bytes = self._model.bytes_by_id.get(step.tokens[-1])
        content = step.content.encode()
        if last_bytes is None or not content.endswith(last_bytes):
            return []
        readings = _splits(content[: len(content) - len(last_bytes)], count, ids_by_bytes)
        return readings[0] if len(readings) == 1 else []


def _splits(text: bytes, count: int, ids_by_bytes: dict[bytes, int]) -> list[list[int]]:
    """Return the ways to write `text` with exactly `count` tokens of the vocabulary."""
    if count == 1:
        return [[ids_by_bytes[text]]] if text in ids_by_bytes else []
    return [
        [ids_by_bytes[text[:cut]], *rest]
        for cut in range(1, len(text))
        if text[:cut] in ids_by_bytes
        for rest in _splits(text[cut:], count - 1, ids_by_bytes)
    ]
