"""The servers that are known, each one value; see `flavour` for what the fields mean.

The order is that in which they are looked for: who imitates others comes before them. What is
said of a server was seen on one that ran, or stands in its own documentation.
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
