"""What a swarm refuses, and where it cannot be asked, beside what any engine does.

no_node          no node of the swarm can take the model
node_lost        the node that the model ran on is away
instance_taken   another gateway of the same instance controls the services
swarm_not_ready  the engine is no manager, or the managers are no majority
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from server.core.errors import ModelFailed
from server.engines.cause import Cause
from server.models.runners.containers.errors import (
    DockerRefused,
    DockerUnreachable,
    calling,
    refusal,
)

_NO_NODE: Final = re.compile(r"no suitable node", re.IGNORECASE)
_NOT_READY: Final = re.compile(
    r"not a swarm manager|not part of a swarm|code = (deadlineexceeded|unavailable)"
    r"|does not have a leader|swarm is encrypted",
    re.IGNORECASE,
)
# Engines from 23 on have other words for a bind mount's missing source.
_NO_FOLDER: Final = re.compile(r"invalid bind mount source|source path (does not exist|not found)")

NODE_LOST: Final = Cause(
    "node_lost",
    "the node that the model server ran on is away",
    "see whether the machine is on and its Docker engine runs; the model is started elsewhere",
    loses_place=True,
)
NODE_RESTARTED: Final = Cause(
    "node_lost",
    "the model server ended with exit code 255, as all do whose machine was restarted",
    "start it again",
    loses_place=True,
)
NODE_DRAINED: Final = Cause(
    "node_lost",
    "the node that the model server ran on was drained",
    "nothing: the model is started on another node",
    loses_place=True,
)
KILLED: Final = Cause(
    "killed",
    "the model server was killed (signal 9)",
    "Swarm does not say whether memory ran out: `docker inspect` on the node does, or `dmesg`; "
    "raise `memory` in the model's section, or take a smaller model",
)
REPLACED: Final = Cause(
    "gone",
    "somebody else changed the model's service, and Swarm ended the model server for that",
    "start it again",
)


class SwarmNotReady(DockerUnreachable):
    """The engine answers, and the swarm does not: it is no manager, or there is no majority."""

    def __init__(self, said: str) -> None:
        super().__init__(
            said,
            "name managers in `host` of [swarm]; `docker node ls` there shows whether most of "
            "them are reachable",
            ("the swarm cannot be asked", "swarm_not_ready"),
        )


class LockedOut(ModelFailed):
    """Another gateway of the same instance controls the services."""

    def __init__(self, instance: str, host: str) -> None:
        super().__init__(
            f"another gateway of the instance {instance!r}, on {host or 'an unknown machine'}, "
            "controls the services of the swarm",
            hint="end the other one, or give one of them another name with `instance` in [server]",
            details={"cause": "instance_taken"},
        )


@asynccontextmanager
async def asking(what: str, *, within_seconds: float | None) -> AsyncIterator[None]:
    """Translate every error in the block, as `calling` does, and tell a swarm that is not ready."""
    try:
        async with calling(what, within_seconds=within_seconds):
            yield
    except DockerRefused as refused:
        if _NOT_READY.search(refused.message):
            raise SwarmNotReady(
                refused.message.partition(": ")[2].rpartition("desc = ")[2]
            ) from None
        raise


def task_refusal(said: str) -> ModelFailed:
    """Return the error for what Swarm says of a task that could not be started."""
    if _NO_FOLDER.search(said):
        return DockerRefused(
            f"the folder for weights cannot be mounted: {said}",
            "cache_missing",
            "make the folder on every node that the model may run on, or correct `hf_cache` (for "
            "Ollama `ollama_models`) in [swarm], or set `hf_volume`",
            0,
        )
    refused = refusal("start the container", 0, said)
    cause = (refused.details or {}).get("cause")
    if cause == "image_missing":
        refused.hint = (
            "correct `image`, or load the image on every node that the model may run on; see "
            "`constraints` for how to name those"
        )
    return refused


def no_node(said: str) -> ModelFailed:
    """Return the error for a task that no node takes."""
    return ModelFailed(
        f"no node of the swarm can take the model: {said}",
        hint="see `docker node ls`; free GPUs or memory, or correct `constraints`, `gpus` or "
        "`memory` in the model's section",
        details={"cause": "no_node"},
    )
