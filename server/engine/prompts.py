"""`/tokenize` and `/chat_tokenize`: what a prompt becomes before it is computed.

The chat template is rendered by llama.cpp, in C++; a template out of a downloaded file is
a program, and never runs in this interpreter.
"""

from typing import Any

import msgspec

from server.engine.bodies import ChatRequest
from server.engine.errors import GenerationFailed, TemplateFailed, ToolsRefused, ValidationFailed
from server.engine.gguf import ModelFile
from server.engine.llama import LlamaClient, LlamaRefused


class SimpleToken(msgspec.Struct, frozen=True):
    """A token and where it stands in the input, in bytes of UTF-8."""

    id: int
    text: str
    start: int
    stop: int


class Prompts:
    """Turn text and messages into prompts and tokens."""

    def __init__(self, llama: LlamaClient, model: ModelFile) -> None:
        self._llama = llama
        self._model = model

    async def tokenize(self, inputs: str, truncate: int | None) -> list[SimpleToken]:
        """Return the tokens of a prompt, special ones included, the last `truncate` of them.

        Raises `ValidationFailed` when it is empty.
        """
        if not inputs:
            raise ValidationFailed("`inputs` cannot be empty")
        tokens = await self._locate(inputs, add_special=True)
        return tokens[-truncate:] if truncate else tokens

    async def chat_tokenize(self, request: ChatRequest) -> dict[str, Any]:
        """Return the messages as a prompt and its tokens, without special ones added.

        Raises `TemplateFailed` when the model has no chat template (llama.cpp would take
        one of its own) or the template refuses these messages, `ToolsRefused`.
        """
        if request.tools:
            raise ToolsRefused("tools are not supported by the embedded engine")
        if self._model.chat_template is None:
            raise TemplateFailed("template not found")
        try:
            prompt = await self._llama.apply_template(request.messages)
        except LlamaRefused as error:
            raise TemplateFailed(str(error)) from error
        tokens = await self._locate(prompt, add_special=False)
        return {"tokenize_response": tokens, "templated_text": prompt}

    async def _locate(self, text: str, *, add_special: bool) -> list[SimpleToken]:
        try:
            pieces = await self._llama.pieces(text, add_special=add_special)
        except LlamaRefused as error:
            raise GenerationFailed(str(error)) from error
        return _locate(text.encode(), pieces)


def _locate(text: bytes, pieces: list[tuple[int, bytes]]) -> list[SimpleToken]:
    tokens = []
    at = 0
    for token_id, whole in pieces:
        # Some tokenizers put a space before the first word that the text does not have.
        piece = whole if text.startswith(whole, at) else whole.removeprefix(b" ")
        if not text.startswith(piece, at):
            tokens.append(SimpleToken(token_id, "", 0, 0))
            continue
        stop = at + len(piece)
        tokens.append(SimpleToken(token_id, text[at:stop].decode(errors="replace"), at, stop))
        at = stop
    return tokens
