"""Make sure that a model's image is on the engine's machine; pull it if it is not."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from server.core.protocol import Progress
from server.models.runners.base import Report
from server.models.runners.containers.client import CALL_SECONDS, DockerEngine
from server.models.runners.containers.errors import NOT_FOUND, DockerRefused, calling, refusal
from server.models.runners.docker.pull import PullProgress

# Messages of a pull are much shorter; a proxy may answer with anything.
_MAX_MESSAGE_BYTES: Final = 1 << 20


class Images:
    """Look up and pull images."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine

    async def ensure(self, image: str, report: Report) -> None:
        """Pull the image unless it is there; raises the errors in `errors`.

        If cancelled, the engine gives up the pull.
        """
        if not await self._is_there(image):
            await self._pull(image, report)

    async def _is_there(self, image: str) -> bool:
        try:
            async with calling("show an image", within_seconds=CALL_SECONDS):
                await (await self._engine.docker()).images.inspect(image)
        except DockerRefused as refused:
            if refused.docker_status == NOT_FOUND:
                return False
            raise
        return True

    async def _pull(self, image: str, report: Report) -> None:
        report(Progress("pulling", None, f"asking for {image}"))
        progress = PullProgress(image)
        what = f"pull {image}"
        async with self._engine.stream(what, "POST", "images/create", _reference(image)) as chunks:
            async for message in _messages(chunks):
                if "error" in message or "errorDetail" in message:
                    # The status is 200 although the pull fails.
                    detail = message.get("errorDetail") or {}
                    said = detail.get("message") or message.get("error") or "no reason given"
                    raise refusal(what, 0, str(said))
                advanced = progress.feed(message, time.monotonic())
                if advanced is not None:
                    report(advanced)
        if not await self._is_there(image):
            raise refusal(what, 0, "the engine broke off")


def _reference(image: str) -> dict[str, str]:
    """Split an image's name into the engine's parameters; without a tag it would pull all tags."""
    name, _, digest = image.partition("@")
    head, slash, last = name.rpartition("/")
    path, _, tag = last.partition(":")
    return {"fromImage": f"{head}{slash}{path}", "tag": digest or tag or "latest"}


async def _messages(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Split the engine's answer into its messages, one JSON object on each line."""
    buffer = b""
    async for chunk in chunks:
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield _message(line)
        if len(buffer) > _MAX_MESSAGE_BYTES:
            raise refusal("pull an image", 0, "it sent a message without an end")
    if buffer.strip():
        yield _message(buffer)


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise refusal("pull an image", 0, "it sent a message that cannot be read")
    return message
