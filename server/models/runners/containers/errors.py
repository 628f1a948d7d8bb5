"""Translate aiodocker's and aiohttp's errors into ours, here only.

ModelFailed
├── DockerUnreachable   the engine does not answer; its containers may run on
└── DockerRefused       the engine answered with an error
    └── PortTaken       the port is taken; another one may work
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
# The status that aiodocker sets if it cannot connect.
_NO_CONNECTION: Final = 900


class DockerUnreachable(ModelFailed):
    """The Docker engine does not answer; `about` says so of something else, with its code."""

    def __init__(self, reason: str, hint: str, about: tuple[str, str] | None = None) -> None:
        cause = {"cause": "engine_unreachable"}
        what = "the Docker engine cannot be reached"
        if about is not None:
            what, cause["cause"] = about
        super().__init__(f"{what}: {reason}", hint=hint, details=cause)
        self.reason = reason


class DockerRefused(ModelFailed):
    """The Docker engine refused a request; `docker_status` is its HTTP status."""

    def __init__(self, message: str, cause: str, hint: str | None, docker_status: int) -> None:
        super().__init__(message, hint=hint, details={"cause": cause})
        self.docker_status = docker_status


class PortTaken(DockerRefused):
    """The port to publish is taken."""


# A pattern of the engine's message, the code of the cause, its message, and the hint.
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
    """Translate every error in the block into `DockerUnreachable` or `DockerRefused`.

    `what` completes "cannot …". If the block takes longer than `within_seconds`, the engine counts
    as not answering.
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
        # aiodocker expects the form of an engine's answer; a proxy's answer may have any form.
        raise refusal(what, 0, f"it answered what cannot be read ({error})") from None


def refusal(what: str, status: int, said: str) -> DockerRefused:
    """Return the error for the engine's message, with cause and hint if it is a known one."""
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
    # OpenSSL has its own error numbers; 1 may mean anything.
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
    if isinstance(error, aiohttp.ClientPayloadError):
        # aiohttp's own words are about the encoding of what did not come.
        return DockerUnreachable("the answer broke off", "see whether the engine runs")
    return DockerUnreachable(
        str(error) or type(error).__name__, "see whether `docker ps` answers; check `DOCKER_HOST`"
    )
