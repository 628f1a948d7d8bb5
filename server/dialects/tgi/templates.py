"""Render conversations by a chat template that TGI does not have, and find a model's own.

A template comes from the settings, or with the model's files. Either is a program that we did not
write: it is never run in this process. One worker process for each template renders
(`render_worker.py`), one conversation at a time; a thread could not be stopped, and a process for
each prompt would cost a tenth of a second. A worker that says nothing in time, dies or is cancelled
is killed and replaced; one without work leaves after a while.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from server.core.content import text_of
from server.core.errors import EngineError
from server.core.protocol import Message
from server.dialects.messages import with_objects
from server.dialects.tgi import render_worker
from server.workers.process import WorkerProcess

_WORKER: Final = render_worker.__name__
# The worker ends itself before; this is for one that cannot, and for its start.
_PATIENCE_SECONDS: Final = render_worker.RENDER_SECONDS + 5.0
_IDLE_SECONDS: Final = 60.0
# Each character as JSON's `\uXXXX\uXXXX`, which is the most it can take.
_MAX_FRAME_BYTES: Final = render_worker.MAX_PROMPT_CHARACTERS * 12 + 1024


@dataclass(frozen=True)
class Template:
    """A chat template, and the special tokens that it may name, such as `bos_token`."""

    text: str
    tokens: Mapping[str, str] = field(default_factory=dict)


class TemplateRefused(Exception):
    """The template does not take this conversation; its words are the message."""


class TemplateBroken(EngineError):
    """The template cannot be rendered, whatever the conversation."""


class _Answer(msgspec.Struct):
    prompt: str | None = None
    refused: str | None = None
    broken: str = "it answered nothing"


class Renderer:
    """Render conversations by one template."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._worker: WorkerProcess | None = None
        self._turn = asyncio.Lock()
        self._leaving: asyncio.TimerHandle | None = None

    async def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt; raises `TemplateRefused` or `TemplateBroken`.

        Cancelling ends the worker.
        """
        variables = {
            **self._template.tokens,
            "messages": with_objects(messages),
            "tools": None,
            "documents": None,
            "add_generation_prompt": True,
        }
        request = msgspec.json.encode({"template": self._template.text, "variables": variables})
        async with self._turn:
            self._stay()
            answer = await self._ask(request)
            self._leaving = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._leave)
        if answer.refused is not None:
            raise TemplateRefused(answer.refused)
        if answer.prompt is None:
            raise TemplateBroken(f"the chat template cannot be rendered: {answer.broken}")
        return _continued(answer.prompt, messages)

    async def close(self) -> None:
        """End the worker, if there is one."""
        async with self._turn:
            self._stay()
            await self._end()

    async def _ask(self, request: bytes) -> _Answer:
        is_done = False
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                answer = await self._exchange(request)
            is_done = True
        except (TimeoutError, asyncio.IncompleteReadError):
            return _Answer(
                broken=f"it takes more than {render_worker.RENDER_SECONDS:g} s, or too much memory"
            )
        except OSError as error:
            raise EngineError(f"a chat template's process cannot be run: {error}") from None
        finally:
            # What a worker says later would be taken for the answer to the next request.
            if not is_done:
                await self._end()
        return answer

    async def _exchange(self, request: bytes) -> _Answer:
        self._worker = self._worker or await WorkerProcess.start(_WORKER)
        answer = await self._worker.ask(request, max_bytes=_MAX_FRAME_BYTES)
        try:
            return msgspec.json.decode(answer, type=_Answer)
        except msgspec.DecodeError:
            return _Answer(broken="it writes what is no text")

    def _stay(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def _leave(self) -> None:
        """Let a worker without work go."""
        if self._worker is not None:
            self._worker.leave()
            self._worker = None

    async def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.end()


def _continued(prompt: str, messages: Sequence[Message]) -> str:
    """Let the model go on with a last message of its own, as TGI does."""
    last = messages[-1] if messages else None
    text = text_of(last.content) if last is not None and last.role == "assistant" else ""
    start = prompt.rfind(text) if text else -1
    return prompt if start < 0 else prompt[: start + len(text)].rstrip()
