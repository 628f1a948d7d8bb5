"""The prompt that is sent if a chat template is missing or takes no system message.

A model that was taught no template gets a plain transcript, and was taught no end either: it goes
on with the next role's part. So the answer ends where a line begins with a role's name. A blank
line before it, as the transcript itself has, belongs to the stop text, or it would stay behind.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from server.core.content import text_of
from server.core.protocol import Message
from server.dialects.messages import as_text

_NAMES: Final = {"user": "User", "assistant": "Assistant"}
ROLE_STOPS: Final = tuple(f"{lines}{name}:" for lines in ("\n\n", "\n") for name in _NAMES.values())
"""Where an answer to a transcript ends; where several are complete at once, at the longest."""


def transcript(messages: Sequence[Message]) -> str:
    """Write a conversation as plain text, for a model that was never taught a template."""
    turns = [
        f"{_NAMES[message.role]}: {as_text(message)}"
        if message.role in _NAMES
        else text_of(message.content)
        for message in messages
    ]
    return "\n\n".join([*turns, "Assistant:"])


def joined_system(messages: Sequence[Message]) -> list[Message] | None:
    """Return the conversation with each system text before the next user's, after a blank line.

    What follows the last user's message is put behind it. None where nothing can be joined.
    """
    joined: list[Message] = []
    waiting: list[str] = []
    last_user = -1
    for message in messages:
        if message.role == "system":
            waiting.append(text_of(message.content))
            continue
        if message.role == "user":
            last_user = len(joined)
            message = _with_text(message, [*waiting, text_of(message.content)])  # noqa: PLW2901
            waiting = []
        joined.append(message)
    if last_user < 0 or len(joined) == len(messages):
        return None
    joined[last_user] = _with_text(
        joined[last_user], [text_of(joined[last_user].content), *waiting]
    )
    return joined


def stops_for_server(asked: Sequence[str], roles: Sequence[str], *, at_most: int) -> list[str]:
    """Return the stop texts that a server gets: what was asked for, then roles as room is left.

    A role's text that ends with another's is not needed there: the other stops it too.
    """
    needed = [
        role
        for role in roles
        if role not in asked and not any(other != role and role.endswith(other) for other in roles)
    ]
    return [*asked, *needed[: max(at_most - len(asked), 0)]]


def _with_text(message: Message, texts: Sequence[str]) -> Message:
    return msgspec.structs.replace(message, content="\n\n".join(filter(None, texts)))
