"""The causes that are recognised, as data: one table per engine, and those that all share.

An engine's own are looked for first, then what the libraries and the machine say to all of
them, and then the other engines': a command or an image may start any of them.
"""

from collections.abc import Iterator
from typing import Final

from server.models.known_causes import embedded, hub, llama_cpp, machine, tgi, vllm
from server.models.known_causes.cause import Cause

# By the name of an engine as models have it, in lower case.
OF_ENGINE: Final[dict[str, tuple[Cause, ...]]] = {
    "tgi": tgi.CAUSES,
    "vllm": vllm.CAUSES,
    # The embedded engine goes by the name of what is in it.
    "llama.cpp": (*embedded.CAUSES, *llama_cpp.CAUSES),
}
OF_ALL: Final = (*hub.CAUSES, *machine.CAUSES)


def causes_of(engine: str) -> Iterator[Cause]:
    """Yield the causes to look for in a log of that engine, the likelier ones first."""
    own = OF_ENGINE.get(engine.lower(), ())
    yield from own
    yield from OF_ALL
    for name, others in OF_ENGINE.items():
        if name != engine.lower():
            yield from others
