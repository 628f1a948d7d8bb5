"""Guess a model's number of parameters and its quantization from its names.

Names such as `Qwen2.5-7B-Instruct-AWQ`, `llama3.1:8b` and `OWNER/REPO/model-Q4_K_M.gguf` follow
conventions, not a standard: other names give nothing.
"""

import re
from typing import Final

from server.hub.variants import quantization_of

# `8B`, `1.5b`, `135M`, `8x7B`; not the `A3B` of active parameters, nor a context such as `128k`.
_SIZE: Final = re.compile(r"(?<![A-Za-z0-9.])((?:\d+x)?\d+(?:\.\d+)?)([bBmM])(?![A-Za-z0-9])")
# Quantizations of weights other than GGUF files.
_QUANTIZATION: Final = re.compile(
    r"(?<![A-Za-z0-9])(AWQ|GPTQ|EXL2|FP8|INT[48]|[348]-?bit|BNB|NF4)(?![A-Za-z0-9])", re.IGNORECASE
)


def named_details(*names: str, quantization: str = "") -> dict[str, str]:
    """Return `parameters` and `quantization`, each from the first name that has it.

    `quantization` is the one in the settings, which goes before all names.
    """
    sizes = (f"{found[1]}{found[2].upper()}" for name in names for found in _SIZE.finditer(name))
    found = {
        "parameters": next(sizes, ""),
        "quantization": quantization or next(filter(None, map(_quantization, names)), ""),
    }
    return {name: text for name, text in found.items() if text}


def _quantization(name: str) -> str:
    found = _QUANTIZATION.search(name)
    return quantization_of(name) or (found[1].upper() if found else "")
