"""The engines that are known, and how a command is recognised as one of them."""

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Final

from server.engines.engine import Engine
from server.engines.llama_cpp import LLAMA_CPP
from server.engines.ollama import OLLAMA
from server.engines.sglang import SGLANG
from server.engines.tgi import TGI
from server.engines.vllm import VLLM

ENGINES: Final[Mapping[str, Engine]] = {
    engine.name: engine for engine in (TGI, VLLM, SGLANG, LLAMA_CPP, OLLAMA)
}
NAMES: Final = tuple(ENGINES)
DEFAULT: Final = TGI.name
"""The default engine of a container."""
QUANTIZATIONS: Final = tuple(
    sorted(frozenset().union(*(engine.quantizations for engine in ENGINES.values())))
)
"""What any of the engines can load weights as."""

_PYTHON: Final = re.compile(r"(python|python3|pypy3?)(\.\d+)*(\.exe)?")


def started_by(words: Sequence[str]) -> str:
    """Return the name of the engine that a command starts, nothing where that is not known.

    A program may stand behind others, such as `numactl`, `uv run` or a path to it.
    """
    plain = [posixpath.basename(word) for word in words]
    for place in range(len(words)):
        for engine in ENGINES.values():
            for program in engine.programs:
                if _begins_with(words, plain, place, program):
                    return engine.name
    return ""


def _begins_with(
    words: Sequence[str], plain: Sequence[str], place: int, program: Sequence[str]
) -> bool:
    if program[0] == "-m":
        is_python = place > 0 and bool(_PYTHON.fullmatch(plain[place - 1]))
        return is_python and list(words[place : place + len(program)]) == list(program)
    first, *rest = program
    found = plain[place].removesuffix(".exe") == first
    return found and list(words[place + 1 : place + len(program)]) == rest
