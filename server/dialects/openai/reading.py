"""Read an answer in OpenAI's form as it comes, whatever the server's habits.

Rules:

1. An error is looked for before anything else: as an event, as a field, as bare JSON or a page in
   place of one. Words that came before it are handed on before it is raised.
2. Only a finish reason is an end. `[DONE]` or the end of the connection without one is a failure;
   after one, usage is waited for, but nothing can spoil the answer any more.
3. The text of a chunk is taken before its finish reason.
4. What is no object is skipped, and so are answers other than the first.
5. Tool calls are pieces of their own kind (`tool_calls.py`), and stand in the end's details, too.
6. The common chunk, which brings one piece of text, is decoded once into just what is needed of
   it. Whatever else a chunk has makes it one for the general way; so is the first of an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.core.errors import EngineError, EngineLost, SidestreamError
from server.core.protocol import TokenInfo
from server.core.sse import ServerSentEvent, SSEParser, StreamError, lone_data
from server.dialects.base import Finish, Meter, OnTokens, OnWait
from server.dialects.openai.choices import Choice, first_choices, read_choice
from server.dialects.openai.common_chunk import CommonChunks
from server.dialects.openai.ending import Ending
from server.dialects.openai.errors import failure_in_stream
from server.dialects.openai.tokens import read_tokens
from server.dialects.openai.told import is_error
from server.dialects.openai.tolerant_json import decode, decode_object
from server.dialects.openai.unseen import Unseen
from server.dialects.openai.waiting import Waiting
from server.dialects.stopping import StopCutter
from server.dialects.thinking import Thinking
from server.dialects.tool_calls import ToolCalls
from server.dialects.words import as_words


@dataclass(frozen=True)
class Reading:
    """What has to be known of a server to read its answers; the defaults fit an unknown one.

    `done_alone_is_end`: `[DONE]` without a finish reason ends an answer of which something came, as
    TGI ends tool calls. `loading_as_reasoning`: reasoning in chunks that name no answer, before the
    first one that does, is about a model being loaded, as llama-swap has it.
    """

    done_alone_is_end: bool = False
    loading_as_reasoning: bool = True


class AnswerReader:
    """Read the chunks of one answer and hand its tokens on as they come.

    `stop` has texts at which we end the answer ourselves; `shows_stop` leaves them in. `beginning`
    is what the answer goes on with, which some servers repeat. `most_tokens` is its longest length.
    """

    __slots__ = (
        "_beginning",
        "_calls",
        "_common",
        "_cuts",
        "_ending",
        "_engine",
        "_failure",
        "_has_infos",
        "_has_words",
        "_is_done",
        "_is_plain",
        "_meter",
        "_on_tokens",
        "_parser",
        "_reading",
        "_stop",
        "_thinking",
        "_tokens",
        "_unseen",
        "_waiting",
    )

    def __init__(
        self,
        on_tokens: OnTokens,
        on_wait: OnWait,
        meter: Meter,
        reading: Reading,
        *,
        is_chat: bool,
        stop: Sequence[str] = (),
        shows_stop: bool = False,
        beginning: str = "",
        most_tokens: int | None = None,
        engine: str = "the model server",
    ) -> None:
        self._parser = SSEParser()
        self._on_tokens = on_tokens
        self._meter = meter
        self._reading = reading
        self._engine = engine
        self._common = CommonChunks(is_chat=is_chat)
        self._stop = StopCutter(stop, shows_stop=shows_stop)
        self._cuts = any(stop)
        self._beginning = beginning
        self._thinking = Thinking()
        self._calls = ToolCalls()
        self._waiting = Waiting(on_wait, takes_loading=reading.loading_as_reasoning)
        self._ending = Ending(engine)
        self._unseen = Unseen(most_tokens)
        self._failure: SidestreamError | None = None
        self._tokens: list[TokenInfo] = []
        self._has_words = False
        # Whether the server tells ids or probabilities, which the common chunk has not.
        self._has_infos = False
        self._is_done = False
        # Whether the next read may be one common chunk and nothing else.
        self._is_plain = False

    def feed(self, chunk: bytes) -> bool:
        """Hand on what `chunk` completes, and tell whether that was all: once per token.

        What came with the end, or before an error in the same read, is left to `finish`.
        """
        tokens = self._common.tokens(chunk) if self._is_plain else None
        if tokens is None:
            return self._feed_any(chunk)
        if not tokens:
            return False
        self._has_words = True
        if self._cuts:
            self._tokens = self._stop.feed(tokens)
            if self._stop.stopped_at is not None:
                return True
            self._hand_on()
            return False
        self._meter.heard += 1
        self._on_tokens(tokens)
        return False

    def finish(self, broken: SidestreamError | None = None) -> Finish:
        """Hand on the last tokens and return how the answer ended, or raise why it did not.

        Both in one step of the loop, so that nobody sees the one without the other. `broken` is
        what the connection failed with; it does no harm to an answer that has ended.
        """
        if not self._is_over:
            self._read_rest()
        self._close()
        self._ending.tool_calls = self._calls.told()
        if self._stop.stopped_at is None and self._ending.reason:
            self._tokens += self._unseen.rest(
                self._ending.completion_tokens, is_ended_by_model=self._ending.reason == "stop"
            )
        self._waiting.end()
        self._hand_on()
        if self._stop.stopped_at is not None:
            return self._ending.cut_at(self._stop.stopped_at)
        if self._ending.reason:
            return self._ending.finish(has_words=self._has_words)
        if self._failure is not None:
            raise self._failure
        if broken is not None:
            raise broken
        if not self._is_done:
            raise EngineLost(f"{self._engine} broke off in the middle of its answer")
        has_come = self._has_words or self._ending.tool_calls
        if self._reading.done_alone_is_end and has_come:
            return self._ending.finish_as("stop")
        raise EngineError(f"{self._engine} ended its answer without saying why")

    def leave(self) -> None:
        """Hand on what is held back, and close what is open: nothing more is read."""
        self._close()
        self._hand_on()

    @property
    def _is_over(self) -> bool:
        return self._is_done or self._failure is not None or self._stop.stopped_at is not None

    def _close(self) -> None:
        self._tokens += [*self._stop.finish(), *self._thinking.close(), *self._calls.close()]

    def _feed_any(self, chunk: bytes) -> bool:
        """Hand on what has come, in whatever state."""
        stray_bytes = len(self._parser.stray)
        broken = None
        data = lone_data(chunk) if self._parser.is_between_events else None
        try:
            if data is not None and data.isascii():
                events = [ServerSentEvent(data.decode())]
            else:
                events = self._parser.feed(chunk)
        except StreamError as error:
            events = list(error.events)
            broken = EngineError(f"{self._engine} sent an unreadable answer: {error}")
        for event in events:
            self._read_event(event)
            if self._is_over:
                break
        self._failure = self._failure or broken
        if len(self._parser.stray) > stray_bytes:
            self._read_stray()
        self._is_plain = (
            self._parser.is_between_events
            and self._waiting.is_over
            and not (self._has_infos or self._thinking.is_open or self._calls.is_open)
            and not self._ending.reason
            and not self._beginning
        )
        if self._is_over:
            return True
        # The token that ends an answer comes with its end, which follows at once.
        if not (self._tokens and (self._tokens[-1].special or self._unseen.is_all)):
            self._hand_on()
        return False

    def _hand_on(self) -> None:
        if self._tokens:
            tokens, self._tokens = self._tokens, []
            self._meter.heard += 1
            self._on_tokens(tokens)

    def _read_rest(self) -> None:
        """Read what lacks only its end where the stream ends: what was cut is no event."""
        try:
            event = self._parser.close()
        except StreamError:
            event = None
        if event is not None and (event.data == "[DONE]" or decode_object(event.data) is not None):
            self._read_event(event)
        self._read_stray()
        stray = self._parser.stray
        if stray and not self._is_over and not self._ending.reason:
            answer = decode_object(stray)
            if answer is not None and first_choices(answer):
                self._read_chunk(answer)
            elif words := as_words(stray.decode(errors="replace")):
                self._failure = EngineError(f"{self._engine} reports: {words}")

    def _read_stray(self) -> None:
        """Look for an error that came as bare JSON."""
        item = decode_object(self._parser.stray)
        if item is not None and is_error(item):
            self._fail(item)

    def _read_event(self, event: ServerSentEvent) -> None:
        data = event.data.strip()
        if data == "[DONE]":
            self._is_done = True
        elif event.event.lower() == "error":
            self._fail(data)
        elif data:
            try:
                item = decode(data)
            except ValueError:
                # Events with names of their own, such as `ping`, are not ours to understand.
                if event.event in ("", "message"):
                    words = as_words(data)
                    self._failure = EngineError(f"{self._engine} sent a malformed event: {words}")
                return
            if isinstance(item, dict):
                self._read_chunk(item)

    def _fail(self, error: object) -> None:
        self._failure = self._failure or failure_in_stream(error, engine=self._engine)

    def _read_chunk(self, chunk: Mapping[str, Any]) -> None:
        choices = first_choices(chunk)
        error = chunk if is_error(chunk) else next(filter(is_error, choices), None)
        self._ending.take_chunk(chunk, choices)
        # With usage in every chunk, none is a common one.
        self._has_infos = self._has_infos or (
            bool(choices) and "usage" in chunk and chunk["usage"] is not None
        )
        if not choices:
            self._waiting.take_progress(chunk)
        for choice in choices:
            self._read_choice(read_choice(choice), chunk, is_bad=error is not None)
        if error is not None:
            self._fail(error)

    def _read_choice(self, choice: Choice, chunk: Mapping[str, Any], *, is_bad: bool) -> None:
        """Take a chunk's reasoning and text, and its reason after them."""
        if self._waiting.takes(choice, chunk):
            return
        if thought := self._waiting.end(chunk):
            self._ending.has_thinking = True
            self._tokens += self._thinking.think(read_tokens(thought, None, None))
        self._take_words(choice, self._unseen.before(chunk, choice.logprobs))
        if choice.tool_calls and (calls := self._calls.take(choice.tool_calls)):
            self._tokens += [*self._stop.finish(), *self._thinking.close(), *calls]
        if not is_bad:
            self._ending.take_choice(choice)

    def _take_words(self, choice: Choice, unseen: int | None) -> None:
        text, logprobs, ids = choice.text, choice.logprobs, choice.token_ids
        if text and self._beginning:
            text, self._beginning = text.removeprefix(self._beginning), ""
        self._has_infos = self._has_infos or logprobs is not None or ids is not None
        if choice.reasoning and text:
            # Which of the probabilities belong to which of the two is not told.
            logprobs = ids = None
        if choice.reasoning:
            self._tokens += [*self._stop.finish(), *self._calls.close()]
            tokens = read_tokens(choice.reasoning, logprobs, ids, unseen=unseen)
            self._tokens += self._thinking.think(tokens)
            logprobs = ids = None
        is_end = choice.reason == "stop" and not isinstance(choice.stopped_by, str)
        tokens = read_tokens(text, logprobs, ids, is_end=is_end, unseen=unseen)
        if tokens:
            if text:
                self._tokens += [*self._thinking.close(), *self._calls.close()]
            self._tokens += self._stop.feed(tokens)
        self._has_words = self._has_words or bool(tokens or choice.reasoning)
