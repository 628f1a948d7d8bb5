"""The most characters that a prompt may have: `max_prompt_chars` in the settings.

Text is counted as soon as a command or request is read, before anything is looked up for it. Text
files count as soon as they are found, tools together with those of the model's settings.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from server.chat.prompt_attachments import PromptAttachments
from server.core.content import text_of
from server.core.errors import PromptTooLong
from server.core.protocol import Message
from server.core.token_bounds import calls_in


class PromptLimit:
    """Refuse prompts with more characters than may be; every method raises `PromptTooLong`."""

    def __init__(self, most: int) -> None:
        self._most = most

    def check_text(self, content: Sequence[Message] | str) -> None:
        """Check the text of a prompt, and its calls of tools."""
        self._check(_text_chars(content))

    def check(
        self,
        content: Sequence[Message] | str,
        attachments: PromptAttachments,
        tools: Sequence[Any] = (),
    ) -> None:
        """Check a prompt with its text files and with the tools that are offered."""
        chars = _text_chars(content)
        if not isinstance(content, str):
            chars += attachments.file_chars(content)
            if tools:
                chars += len(msgspec.json.encode(tools).decode())
        self._check(chars)

    def _check(self, chars: int) -> None:
        if chars > self._most:
            raise PromptTooLong(f"the prompt has {chars} characters; {self._most} are taken")


def _text_chars(content: Sequence[Message] | str) -> int:
    if isinstance(content, str):
        return len(content)
    return sum(len(text_of(one.content)) + len(calls_in(one)) for one in content)
