"""What a server's dialect needs from this machine in order to render conversations."""

import asyncio
from pathlib import Path

from server.core.errors import ModelFailed


async def read_template(path: str) -> str:
    """Return the text of a chat template's file, nothing for no file.

    Raises `ModelFailed` for one that cannot be read any more: it was looked at when the settings
    were read.
    """
    if not path:
        return ""
    try:
        return await asyncio.to_thread(Path(path).read_text, "utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ModelFailed(
            f"the chat template {path} cannot be read: {reason}",
            hint="correct `chat_template` in the model's section",
        ) from None
