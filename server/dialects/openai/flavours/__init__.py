"""The servers that are known, each one value; see `flavour` for what the fields mean.

Servers are recognised in this order: one that imitates others comes before them. The facts about a
server were observed on a running one, or are from its documentation.
"""

from collections.abc import Mapping
from typing import Final

from server.dialects.openai.flavour import Flavour
from server.dialects.openai.flavours.engines import (
    LLAMA_CPP,
    LMDEPLOY,
    SGLANG,
    TGI_OPENAI,
    TRANSFORMERS,
    VLLM,
)
from server.dialects.openai.flavours.managers import DOCKER, KOBOLDCPP, LLAMA_SWAP, LM_STUDIO
from server.dialects.openai.flavours.providers import LITELLM, OPENAI, OPENROUTER, PLAIN

__all__ = ["FLAVOURS", "PLAIN", "TGI_OPENAI"]

FLAVOURS: Final[Mapping[str, Flavour]] = {
    flavour.name: flavour
    for flavour in (
        OPENROUTER,
        OPENAI,
        LITELLM,
        LLAMA_SWAP,
        DOCKER,
        KOBOLDCPP,
        LM_STUDIO,
        VLLM,
        SGLANG,
        LMDEPLOY,
        LLAMA_CPP,
        TGI_OPENAI,
        TRANSFORMERS,
        PLAIN,
    )
}
