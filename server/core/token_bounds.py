"""What is known of a prompt's length in tokens without its tokenizer."""

from collections.abc import Sequence
from typing import Final, Protocol

from server.core.content import attachment_parts, pictures_in, text_of
from server.core.protocol import Content, ImagePart, Message

# Around each message, and around the whole: some templates have a system prompt of their own.
_MESSAGE_TOKENS: Final = 16
_TEMPLATE_TOKENS: Final = 1024
# English has four to five bytes a token, code three; a letter of Chinese is three bytes and at
# most one token with most tokenizers.
_BYTES_A_TOKEN: Final = 3
# Models make some hundred tokens of a picture, Qwen's up to several thousand of a large one.
_PICTURE_TOKENS: Final = 4096

PromptContent = Sequence[Message] | str


class Called(Protocol):
    """A call of a tool."""

    @property
    def id(self) -> str:
        """Return the id by which an answer names the call."""

    @property
    def name(self) -> str:
        """Return the tool's name."""

    @property
    def arguments(self) -> str:
        """Return the arguments as JSON text."""


class Spoken(Protocol):
    """Anything that has a role and a content, such as a message."""

    @property
    def role(self) -> str:
        """Return `system`, `user`, `assistant` or `tool`."""

    @property
    def content(self) -> Content:
        """Return the text, or the parts."""

    @property
    def tool_calls(self) -> Sequence[Called]:
        """Return the calls of tools."""

    @property
    def tool_call_id(self) -> str:
        """Return the id of the call that is answered; empty if none is."""


def most_tokens(content: PromptContent) -> int:
    """Return a number of tokens that a prompt will not exceed: no token has less than a byte.

    The tools that a request offers are not in it, as they are not in what servers count.
    """
    template = 0 if isinstance(content, str) else _TEMPLATE_TOKENS
    return _bytes(content) + _around(content) + template + _picture_tokens(content)


def estimated_tokens(content: PromptContent) -> int:
    """Return roughly how many tokens a prompt has, rather too many than too few."""
    return _bytes(content) // _BYTES_A_TOKEN + _around(content) + _picture_tokens(content)


def bytes_of(message: Spoken) -> int:
    """Return how many bytes a message has, with its calls of tools and without pictures."""
    return len((text_of(message.content) + calls_in(message)).encode(errors="replace"))


def calls_in(message: Spoken) -> str:
    """Return what a message says of calls of tools: ids, names and arguments."""
    calls = (f"{call.id}{call.name}{call.arguments}" for call in message.tool_calls)
    return "".join([message.tool_call_id, *calls])


def weight_of(message: Spoken) -> int:
    """Return roughly how many bytes of text would be as many tokens as a message."""
    pictures = sum(isinstance(part, ImagePart) for part in attachment_parts(message.content))
    return bytes_of(message) + (_MESSAGE_TOKENS + pictures * _PICTURE_TOKENS) * _BYTES_A_TOKEN


def _bytes(content: PromptContent) -> int:
    if isinstance(content, str):
        return len(content.encode(errors="replace"))
    return sum(map(bytes_of, content))


def _picture_tokens(content: PromptContent) -> int:
    return _PICTURE_TOKENS * len(pictures_in(content))


def _around(content: PromptContent) -> int:
    return _MESSAGE_TOKENS * (1 if isinstance(content, str) else len(content))
