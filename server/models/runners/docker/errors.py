"""aiodocker's and aiohttp's errors become ours: here, and nowhere else.

ModelFailed
├── DockerUnreachable   the engine does not answer: nothing is known, nothing is lost
└── DockerRefused       the engine answered, and said no
    └── PortTaken       because of the port: another one may do
"""

import asyncio
import errno
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from server.core.errors import ModelFailed

NOT_FOUND: Final = 404
CONFLICT: Final = 409
_FORBIDDEN: Final = 403
# aiodocker's own, for a connection that could not be made.
_NO_CONNECTION: Final = 900


class DockerUnreachable(ModelFailed):
    """The Docker engine does not answer."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(
            f"the Docker engine cannot be reached: {reason}",
            hint=hint,
            details={"cause": "engine_unreachable"},
        )
        self.reason = reason


class DockerRefused(ModelFailed):
    """The Docker engine did not do what it was asked; `docker_status` is its HTTP status."""

    def __init__(self, message: str, cause: str, hint: str | None, docker_status: int) -> None:
        super().__init__(message, hint=hint, details={"cause": cause})
        self.docker_status = docker_status


class PortTaken(DockerRefused):
    """Somebody else listens on the port that was to be published."""


# What the engine says, the cause it means, what that is in words, and the mend.
_REFUSALS: Final = tuple(
    (cause, re.compile(pattern, re.IGNORECASE), meaning, hint)
    for cause, pattern, meaning, hint in (
        (
            "port_taken",
            r"port is already allocated|address already in use|ports are not available",
            "the port is taken",
            "stop what listens there, or widen `ports` in [engines]",
        ),
        (
            "no_gpu",
            r"could not select device driver|nvidia-container|unknown or invalid runtime"
            r"|no cuda-capable device|libnvidia|unresolvable CDI devices"
            r"|gathering device information while adding custom device",
            "the Docker engine cannot give the container a GPU",
            "install the NVIDIA container toolkit (or the AMD or Intel driver) on the engine's "
            "machine, or set `gpus = none` for the CPU",
        ),
        (
            "disk_full",
            r"no space left on device|disk quota exceeded|not enough space",
            "the disk of the Docker engine is full",
            "make room: `docker system df` shows what takes it; an image for GPUs needs about 25 "
            "GB while it is unpacked",
        ),
        (
            "registry_refused",
            r"toomanyrequests|pull rate limit",
            "the registry asks to wait: too many downloads",
            "try again later, or log in to it with `docker login` and pull the image by hand",
        ),
        (
            "image_missing",
            r"manifest unknown|no such image|manifest for .* not found|not found: manifest"
            r"|repository does not exist|pull access denied|no matching manifest"
            r"|name unknown|denied: ",
            "there is no such image, or it is not public",
            "correct `image`, or pull or build it by hand",
        ),
        (
            "no_network",
            r"dial tcp|lookup .* (no such host|i/o timeout|server misbehaving)|tls handshake"
            r"|client\.timeout exceeded|network is unreachable|request canceled while waiting"
            r"|connection refused|unexpected eof",
            "the Docker engine cannot reach the registry",
            "check the network and the proxy of the engine's machine",
        ),
        (
            "image_unusable",
            r"exec: .*(no such file|not found|permission denied)|exec format error"
            r"|executable file not found|no command specified",
            "the image's program cannot be executed",
            "take an image of the engine for this kind of machine",
        ),
        (
            "cache_missing",
            r"bind source path does not exist|mount source .* not exist|mounts denied",
            "the folder for weights cannot be mounted",
            "make the folder on the engine's machine, or correct `hf_cache` (for Ollama "
            "`ollama_models`) in [docker]",
        ),
    )
)


@asynccontextmanager
async def calling(what: str, *, within_seconds: float | None) -> AsyncIterator[None]:
    """Have every error in the block become `DockerUnreachable` or `DockerRefused`.

    `what` completes "cannot …". A block that takes longer than `within_seconds` counts as
    an engine that does not answer.
    """
    from aiodocker import DockerError

    try:
        async with asyncio.timeout(within_seconds):
            yield
    except DockerError as error:
        if error.status == _NO_CONNECTION:
            raise _unreachable(error.__context__ or error) from None
        raise refusal(what, error.status, error.message) from None
    except TimeoutError:
        raise DockerUnreachable(
            f"no answer within {within_seconds:g} s" if within_seconds else "no answer in time",
            "see whether `docker ps` answers; restart the engine if it does not",
        ) from None
    except (aiohttp.ClientError, OSError, EOFError) as error:
        raise _unreachable(error) from None
    except (ValueError, KeyError, TypeError) as error:
        if within_seconds is None:
            raise
        # aiodocker takes every answer for one of an engine's; a proxy's may be of any form.
        raise refusal(what, 0, f"it answered what cannot be read ({error})") from None


def refusal(what: str, status: int, said: str) -> DockerRefused:
    """Return the error for what the engine said, with its meaning where it is known."""
    said = " ".join(said.split())
    for cause, pattern, meaning, hint in _REFUSALS:
        if pattern.search(said):
            kind = PortTaken if cause == "port_taken" else DockerRefused
            return kind(f"{meaning}: {said}", cause, hint, status)
    proxy_hint = "allow it in the socket proxy; `run.py doctor` prints what Sidestream needs"
    return DockerRefused(
        f"the Docker engine cannot {what}: {said}",
        "engine_refused",
        proxy_hint if status == _FORBIDDEN else None,
        status,
    )


def _unreachable(error: BaseException) -> DockerUnreachable:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    # OpenSSL has error numbers of its own, of which 1 is anything.
    number = None if isinstance(cause, ssl.SSLError) or cause is None else cause.errno
    if number == errno.ENOENT:
        return DockerUnreachable("there is no socket", "install Docker, or start it")
    if number in {errno.EACCES, errno.EPERM}:
        return DockerUnreachable(
            "no right to use its socket",
            "join its group (sudo usermod -aG docker $USER) and log in again",
        )
    if number == errno.ECONNREFUSED:
        return DockerUnreachable("nobody listens", "start it: sudo systemctl start docker")
    return DockerUnreachable(
        str(error) or type(error).__name__, "see whether `docker ps` answers; check `DOCKER_HOST`"
    )
