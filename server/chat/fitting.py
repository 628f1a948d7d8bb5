"""Fit a prompt and its answer into the context of a model.

Rules:

1. A prompt is measured by its server's own tokenizer, and only where its bytes do not show already
   that there is room: a measurement is a round trip before the first token.
2. A length that nobody chose is what the context leaves. A chosen one is the server's to take or to
   refuse, unless turns may be left out: then it is shortened as well.
3. Nothing is asked where not even a handful of tokens is left for the answer.
4. Where turns may be left out, the fewest are that leave room for the answer: for the length that
   was chosen, at most half of the context, or a quarter of it where nobody chose one.
5. Where a server has no tokenizer, the number of turns is estimated. A refusal costs no computation
   and tells more: the server is asked a few times more, each time with less. The refusal of a
   length that nobody chose is heeded in the same way.
"""

from dataclasses import replace
from typing import Any, Final

from server.chat.context_limits import ContextLimits, refused, too_long
from server.chat.request import GenerationRequest
from server.core.errors import PromptTooLong
from server.core.generation import Generation
from server.core.protocol import Message, Notice
from server.core.token_bounds import PromptContent, estimated_tokens, most_tokens
from server.core.trimming import TrimSearch, Turns
from server.dialects.base import Ask, EngineInfo, Finish, Prompt, Upstream

HANDFUL: Final = 16
"""The fewest tokens that there has to be room for, unless the answer is to be shorter.

With fewer, what comes is a word or two that look like a whole answer.
"""
MAX_REFUSALS: Final = 4
"""How often one question is asked again, with less, after its server found it too long."""


class Fitting:
    """Fit one request into the context that its model has now.

    `prompt` and `ask` say what is sent, `take_refusal` whether to send less after a refusal.
    """

    def __init__(self, request: GenerationRequest, info: EngineInfo) -> None:
        content = request.content
        self._request = request
        self._info = info
        self._turns: Turns[Message] | None = None
        if request.trims and not isinstance(content, str):
            self._turns = Turns.of(content)
        self._is_flexible = self._turns is not None or not request.has_chosen_length
        self._wanted = request.length(info)
        self._length = self._wanted
        self._refusals = 0
        # What the server counts beside the messages, such as tools, as far as a refusal has told.
        self._beside = 0
        self._is_counted = False
        self.limits = ContextLimits(request.model.context_tokens(info), info.max_input_tokens)
        self.prompt_tokens: int | None = None
        """The length of the prompt, as far as it is known."""
        self.turns_left_out = 0
        self.was_measured = False
        """Whether the server was asked for the length, and need not be asked again."""

    # --- before the answer ------------------------------------------------------------------

    async def prompt(self, upstream: Upstream) -> Prompt:
        """Return the prompt, without the turns for which there is no room if those may be left out.

        Raises `PromptTooLong`, and what `Upstream.prompt` does.
        """
        prompt = await self._measured(upstream)
        if self._turns is not None:
            if self._is_counted and not self._has_room(self._wanted_room):
                prompt = await self._trimmed(upstream, prompt, self._turns)
            elif not self._is_counted and self.was_measured and not self._refusals:
                prompt = await self._guessed(upstream, prompt, self._turns)
        if self.prompt_tokens is not None and not self._has_room(self._least_room):
            raise too_long(
                self._request,
                self._info,
                self.limits,
                prompt_tokens=self.prompt_tokens,
                room=self._least_room,
                turns_left_out=self.turns_left_out,
            )
        return prompt

    def ask(self, prompt: Prompt, *, wants_tokens: bool) -> Ask:
        """Return what is sent to the model's server."""
        length, tokens = self._length, self.prompt_tokens
        if tokens is None and self._info.cuts_for_length:
            tokens = estimated_tokens(prompt.content)
        room = self.limits.room_beside(tokens)
        if self._is_flexible and length is not None and room is not None:
            length = min(length, max(room, self._least_room))
        return self._request.ask(prompt, length=length, wants_tokens=wants_tokens)

    def notices(self) -> list[Notice]:
        """Return what there is to say about the prompt."""
        turns = self.turns_left_out
        if not turns:
            return []
        words = "the oldest turn was" if turns == 1 else f"the {turns:,} oldest turns were"
        details: dict[str, Any] = {"turns": turns}
        if not self._is_counted:
            details["estimated"] = True
        message = f"{words} left out: the model's context does not hold the whole conversation"
        return [Notice("turns_left_out", message, details)]

    # --- after a refusal --------------------------------------------------------------------

    def take_refusal(self, refusal: PromptTooLong) -> bool:
        """Learn from the server's refusal; tell whether to ask again, with less."""
        told = refusal.details or {}
        tokens = _number(told.get("n_prompt_tokens"))
        if tokens is not None and self._is_counted and self.prompt_tokens is not None:
            self._beside += max(tokens - self.prompt_tokens, 0)
        self.prompt_tokens = tokens or self.prompt_tokens
        context = _number(told.get("n_ctx")) or self.limits.context_tokens
        self.limits = replace(self.limits, context_tokens=context)
        self._refusals += 1
        return self._refusals <= MAX_REFUSALS and (self._leaves_more_out() or self._shortens())

    def explained(self, refusal: PromptTooLong) -> PromptTooLong:
        """Return the server's refusal with what else is known, and what helps."""
        is_length = not self._is_flexible and self._has_room(self._least_room)
        return refused(
            refusal,
            self._request,
            self._info,
            self.limits,
            prompt_tokens=self.prompt_tokens,
            room=self._length if is_length and self._length else self._least_room,
            is_length=is_length,
        )

    # --- after the answer -------------------------------------------------------------------

    def take_context(self, tokens: int | None) -> None:
        """Take the context of a model that the server had not loaded before it answered."""
        if self.limits.context_tokens is None:
            self.limits = replace(self.limits, context_tokens=tokens)

    def ending(self, finish: Finish, generation: Generation) -> Finish:
        """Return an answer's end, with a notice if it is where the context is full."""
        prompt, answer = finish.prompt_tokens, finish.completion_tokens
        is_full = finish.reason == "length" and self._is_full(
            generation.prompt_tokens if prompt is None else prompt,
            generation.seq if answer is None else answer,
        )
        if not is_full:
            return finish
        notice = Notice(
            "context_full",
            "the answer ended because the model's context is full",
            {"context_tokens": self.limits.context_tokens},
        )
        return replace(finish, notices=(*finish.notices, notice))

    def _is_full(self, prompt_tokens: int | None, answered: int) -> bool:
        room, most = self.limits.room_beside(prompt_tokens), self.limits.max_input_tokens
        if room is None or prompt_tokens is None:
            return False
        if self._wanted is not None and answered >= self._wanted:
            return self._wanted >= room
        # TGI goes on in pieces, each with all that came before as its prompt.
        is_too_long = most is not None and prompt_tokens + answered > most
        # Servers do not count alike to the last token.
        return answered >= room - HANDFUL or is_too_long

    # --- measuring --------------------------------------------------------------------------

    async def _measured(self, upstream: Upstream, *, is_needed: bool = False) -> Prompt:
        content = self._content()
        self.was_measured = is_needed or self._needs_measuring(content)
        prompt = await self._written(upstream, content, needs_count=self.was_measured)
        self._is_counted = prompt.tokens is not None
        if prompt.tokens is not None:
            self.prompt_tokens = self._read(prompt.tokens) + self._beside
        return prompt

    def _needs_measuring(self, content: PromptContent) -> bool:
        room = self._least_room
        if self._is_flexible:
            room = max(self._wanted_room, self._length or 0)
        most = self.limits.most_prompt_tokens(room)
        is_unsure = most is not None and self._read(most_tokens(content)) > most
        return is_unsure or (most is not None and self._refusals > 0)

    async def _trimmed(self, upstream: Upstream, prompt: Prompt, turns: Turns[Message]) -> Prompt:
        """Leave out turns until a measurement shows that there is room, or one turn is left."""
        before, tokens = self.turns_left_out, self.prompt_tokens or 0
        most = self.limits.most_prompt_tokens(self._wanted_room) or 0
        search = TrimSearch(turns.weights()[before:], tokens, most_tokens=most)
        measured = {0: (prompt, self.prompt_tokens)}
        while (more := search.guess) is not None:
            self._leave_out(before + more)
            prompt = await self._measured(upstream, is_needed=True)
            measured[more] = (prompt, self.prompt_tokens)
            search.take(more, self.prompt_tokens or estimated_tokens(self._content()))
        best = max(measured) if search.found is None else search.found
        self._leave_out(before + best)
        prompt, self.prompt_tokens = measured[best]
        return prompt

    async def _guessed(self, upstream: Upstream, prompt: Prompt, turns: Turns[Message]) -> Prompt:
        """Leave out the turns that are too many if bytes tell."""
        most = self.limits.most_prompt_tokens(self._wanted_room)
        if most is None:
            return prompt
        while estimated_tokens(self._content()) > most and self.turns_left_out < turns.most:
            self._leave_out(self.turns_left_out + 1)
        if not self.turns_left_out:
            return prompt
        return await self._written(upstream, self._content(), needs_count=False)

    async def _written(
        self, upstream: Upstream, content: PromptContent, *, needs_count: bool
    ) -> Prompt:
        model = self._request.model.served_as
        return await upstream.prompt(content, model=model, needs_count=needs_count)

    def _read(self, tokens: int) -> int:
        """Return how many tokens of a prompt the server reads, which may be told to cut it."""
        cut: int = self._request.parameters.get("truncate", tokens)
        return min(tokens, cut)

    # --- sending less -----------------------------------------------------------------------

    def _leaves_more_out(self) -> bool:
        turns, before = self._turns, self.turns_left_out
        if turns is None or before == turns.most:
            return False
        most, tokens = self.limits.most_prompt_tokens(self._wanted_room), self.prompt_tokens
        if most is None or tokens is None:
            # Nobody tells by how much: half of what is left, and in the end all.
            rest = turns.most - before
            self._leave_out(before + (rest if self._refusals == MAX_REFUSALS else (rest + 1) // 2))
            return True
        if tokens <= most:
            return False
        weights = turns.weights()
        most_bytes = weights[before] * most / tokens
        fitting = (k for k in range(before + 1, turns.most) if weights[k] <= most_bytes)
        self._leave_out(next(fitting, turns.most))
        return True

    def _shortens(self) -> bool:
        """Ask for a shorter answer than was refused, if nobody chose that; tell whether it is."""
        length, room = self._length, self.limits.room_beside(self.prompt_tokens)
        if length is None or not self._is_flexible:
            return False
        if room is not None:
            # `ask` goes by it.
            return self._least_room <= room < length
        if not isinstance(self._request.content, str):
            self._length = None
            return True
        # A text has no end of its own that every model would know: it always has a length.
        self._length = length // 4
        return self._length >= self._least_room

    def _leave_out(self, turns: int) -> None:
        if turns != self.turns_left_out:
            self.turns_left_out, self.prompt_tokens = turns, None

    # --- what is known ----------------------------------------------------------------------

    def _content(self) -> PromptContent:
        if self._turns is None or not self.turns_left_out:
            return self._request.content
        return self._turns.without(self.turns_left_out)

    @property
    def _least_room(self) -> int:
        return HANDFUL if self._wanted is None else min(self._wanted, HANDFUL)

    @property
    def _wanted_room(self) -> int:
        """Return how much room turns give way for."""
        context = self.limits.context_tokens or 0
        share = context // 2 if self._request.has_chosen_length else context // 4
        return max(self._least_room, share if self._wanted is None else min(self._wanted, share))

    def _has_room(self, room: int) -> bool:
        return self.limits.has_room(self.prompt_tokens, room)


def _number(told: object) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) else None
