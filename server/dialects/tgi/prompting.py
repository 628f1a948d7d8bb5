"""Turn conversations into the text that `/generate_stream` takes.

Whose template renders, in this order:

1. The one that the settings give (`Endpoint.chat_template`).
2. The server's own, by `/chat_tokenize`.
3. The model's `chat_template.jinja`, which TGI does not read, where the cache that the server reads
   is at hand (`Endpoint.hub_cache`).
4. None: a plain transcript. The prompt says so, and names where the answer has to stop, since a
   model that was taught no end goes on with the next role.

A conversation that a template does not take is asked once more with the system's text joined to the
user's, which the prompt says too. If that is refused as well, the template's words are the error.

A rendered prompt may begin with the token that `/generate_stream` puts before every prompt. What it
adds is found out once for each server.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

from server.core.content import pictures_in
from server.core.errors import InvalidCommand
from server.core.protocol import Message, Notice
from server.dialects.base import Endpoint, Prompt
from server.dialects.messages import in_openais_form
from server.dialects.tgi.pictures import check_names, with_names
from server.dialects.tgi.refusals import Refused
from server.dialects.tgi.template_files import find_template, find_tokens
from server.dialects.tgi.templates import Renderer, Template, TemplateBroken, TemplateRefused
from server.dialects.tgi.transcripts import ROLE_STOPS, joined_system, transcript
from server.dialects.tgi.wire import ChatTokens, Info, ServerToken

T = TypeVar("T")

_HELLO: Final = [Message("user", "Hi")]
_SYSTEM_JOINED: Final = Notice(
    "system_joined",
    "the model's chat template takes no system message: its text was put before the user's",
)
_SET_TEMPLATE: Final = "give the model a chat template with `chat_template` in its section"


class Ask(Protocol):
    """Ask the server; raises `Refused` for what it does not take, and other `EngineError`s."""

    async def __call__(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        """Return the answer."""


class _SpecialTokens(NamedTuple):
    """What a server puts before a prompt: a token that is there already, and how many in all."""

    doubled: str
    added_tokens: int


class Prompting:
    """Write the prompts of one server."""

    def __init__(self, endpoint: Endpoint, ask: Ask) -> None:
        self._endpoint = endpoint
        self._ask = ask
        self._renderer: Renderer | None = None
        self._has_searched = False
        self._special: _SpecialTokens | None = None
        # What a server puts before a prompt that is rendered here; None as long as unknown.
        self._doubled: str | None = None

    async def prompt(self, content: Sequence[Message] | str, *, needs_count: bool) -> Prompt:
        """Render a conversation; text is left as it is, and only counted.

        Raises `InvalidCommand` with the template's words where it does not take the conversation,
        `EngineError` where it cannot be rendered at all, or what asking the server raises.
        """
        if isinstance(content, str):
            return Prompt(content, await self.count(content) if needs_count else None)
        pictures = tuple(pictures_in(content))
        prompt = await self._joined(with_names(content), needs_count=needs_count and not pictures)
        if not pictures:
            return prompt
        check_names(str(prompt.content), pictures)
        # The names in their place were counted, if anything.
        return replace(prompt, tokens=None, pictures=pictures)

    async def _joined(self, content: Sequence[Message], *, needs_count: bool) -> Prompt:
        """Render messages of text, with the system's joined to the user's where that helps."""
        try:
            return await self._render(content, needs_count=needs_count)
        except TemplateRefused as refused:
            joined = joined_system(content)
            if joined is None:
                raise _refusal(refused) from None
        try:
            return await self._render(joined, needs_count=needs_count, notices=(_SYSTEM_JOINED,))
        except TemplateRefused as refused:
            raise _refusal(refused) from None

    async def has_template(self) -> bool:
        """Tell whether conversations are rendered by a template, from wherever.

        Raises `EngineError` where the template from the settings cannot be rendered.
        """
        try:
            return not (await self._render(_HELLO, needs_count=False)).stop
        except TemplateRefused:
            return True
        except Refused as refused:
            if refused.error_type == "template_error":
                return True
            raise

    async def count(self, text: str) -> int | None:
        """Return the length of text in tokens, None where the server does not tell."""
        try:
            return len(await self._tokenize(text)) or None
        except Refused as refused:
            if refused.upstream_status == 404:
                return None
            raise

    async def close(self) -> None:
        """End the process that renders, if there is one."""
        if self._renderer is not None:
            await self._renderer.close()

    async def _render(
        self,
        messages: Sequence[Message],
        *,
        needs_count: bool,
        notices: tuple[Notice, ...] = (),
    ) -> Prompt:
        problem: Refused | None = None
        if not self._endpoint.chat_template:
            try:
                return await self._rendered_there(messages, notices)
            except Refused as refused:
                if refused.template_words is not None:
                    raise TemplateRefused(refused.template_words) from None
                if not refused.is_without_template:
                    if refused.error_type != "template_error":
                        raise
                    problem = refused
        renderer = await self._find_renderer()
        if renderer is None and problem is not None:
            problem.hint = _SET_TEMPLATE
            raise problem
        reason = ""
        if renderer is not None:
            try:
                text = await renderer.render(messages)
                return await self._rendered_here(text, notices, needs_count=needs_count)
            except TemplateBroken as broken:
                if self._endpoint.chat_template:
                    broken.hint = "correct `chat_template` in the model's section"
                    raise
                reason = f" (its own cannot be used: {broken.message})"
        text = transcript(messages)
        tokens = await self.count(text) if needs_count else None
        notice = Notice(
            "no_chat_template",
            f"the model has no chat template{reason}: it was asked with a plain transcript, and "
            "its answer ends where it goes on with another's part",
            {"stop": list(ROLE_STOPS)},
        )
        return Prompt(text, tokens, (*notices, notice), ROLE_STOPS)

    async def _rendered_there(
        self, messages: Sequence[Message], notices: tuple[Notice, ...]
    ) -> Prompt:
        rendered = await self._ask(
            "POST", "/chat_tokenize", ChatTokens, {"messages": in_openais_form(messages)}
        )
        if self._special is None:
            self._special = await self._find_special_tokens(rendered)
        text = rendered.templated_text.removeprefix(self._special.doubled)
        tokens = len(rendered.tokenize_response)
        return Prompt(text, tokens + self._special.added_tokens if tokens else None, notices)

    async def _rendered_here(
        self, text: str, notices: tuple[Notice, ...], *, needs_count: bool
    ) -> Prompt:
        if self._doubled is None:
            self._doubled = await self._find_doubled(text)
        text = text.removeprefix(self._doubled)
        return Prompt(text, await self.count(text) if needs_count else None, notices)

    async def _find_renderer(self) -> Renderer | None:
        """Return what renders here, found once."""
        if self._has_searched:
            return self._renderer
        set_text, cache = self._endpoint.chat_template, self._endpoint.hub_cache
        template: Template | None = Template(set_text) if set_text else None
        if cache:
            info = await self._ask("GET", "/info", Info)
            place = (Path(cache), info.model_id, info.model_sha or "")
            if set_text:
                template = Template(set_text, await asyncio.to_thread(find_tokens, *place))
            else:
                template = await asyncio.to_thread(find_template, *place)
        if not self._has_searched:  # Another prompt may have searched meanwhile.
            self._has_searched = True
            self._renderer = Renderer(template) if template else None
        return self._renderer

    async def _tokenize(self, text: str) -> list[ServerToken]:
        return await self._ask("POST", "/tokenize", list[ServerToken], {"inputs": text})

    async def _find_special_tokens(self, rendered: ChatTokens) -> _SpecialTokens:
        """Find out what `/generate_stream` adds to a prompt that the server rendered.

        `/chat_tokenize` adds no special tokens and `/tokenize`, like `/generate_stream`,
        does: a token is doubled if the latter's list has one more of it at the front.
        """
        without = rendered.tokenize_response
        added = await self._tokenize(rendered.templated_text)
        is_doubled = (
            len(without) > 0
            and len(added) > len(without)
            and added[0].id == added[1].id == without[0].id
        )
        return _SpecialTokens(
            without[0].text if is_doubled else "",
            len(added) - len(without) - is_doubled,
        )

    async def _find_doubled(self, text: str) -> str:
        """Return the token at the front of a prompt that the server puts there once more.

        The one that it puts there has no place in the text.
        """
        try:
            added = await self._tokenize(text)
        except Refused as refused:
            if refused.upstream_status == 404:
                return ""
            raise
        if len(added) < 2 or added[0].id != added[1].id or added[0].stop > added[0].start:
            return ""
        doubled = added[1].text
        return doubled if text.startswith(doubled) else ""


def _refusal(refused: TemplateRefused) -> InvalidCommand:
    return InvalidCommand(f"the model's chat template does not take this conversation: {refused}")
