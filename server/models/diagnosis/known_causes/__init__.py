"""The known causes, as data: those of each engine, and those that all engines share.

An engine's own causes are searched first, then those of libraries and of the machine, and then
those of other engines, because a command or an image may start any engine.
"""

from collections.abc import Iterator
from typing import Final

from server.engines.cause import Cause
from server.engines.known import ENGINES
from server.engines.llama_cpp import LLAMA_CPP
from server.models.diagnosis.known_causes import embedded, hub, machine

# By an engine's name in lower case.
OF_ENGINE: Final[dict[str, tuple[Cause, ...]]] = {
    **{name: engine.causes for name, engine in ENGINES.items()},
    # The embedded engine is llama.cpp with a launcher of our own.
    LLAMA_CPP.name: (*embedded.CAUSES, *LLAMA_CPP.causes),
}
OF_ALL: Final = (*hub.CAUSES, *machine.CAUSES)


def causes_of(engine: str) -> Iterator[Cause]:
    """Yield the causes to search for in a log of that engine, likelier ones first."""
    own = OF_ENGINE.get(engine.lower(), ())
    yield from own
    yield from OF_ALL
    for name, others in OF_ENGINE.items():
        if name != engine.lower():
            yield from others
