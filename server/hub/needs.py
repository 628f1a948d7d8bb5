"""How much memory a model takes, by what its GGUF file says: pure functions.

The estimate is what llama.cpp sets aside: the weights, the keys and values of every token that the
context holds (16 bits each), and what it computes with. Where the file's head cannot be read it is
the weights and a fifth.
"""

from collections.abc import Mapping
from typing import Any, Final

from server.engines.llama_options import BATCH_TOKENS

_BYTES_PER_VALUE: Final = 2
# What a process of it takes before any weights, and the buffers of one batch.
_BASE_BYTES: Final = 100_000_000
_BYTES_PER_LOGIT: Final = 4
_UNKNOWN_FACTOR: Final = 1.2
# Larger than in any model; a file may say anything.
_MOST_LAYERS: Final = 4096
_MOST_WIDTH: Final = 1 << 20


def kv_bytes_per_token(metadata: Mapping[str, Any]) -> int | None:
    """Return what the keys and values of one token take; None where the file does not say it."""
    architecture = metadata.get("general.architecture")

    def number(key: str, most: int) -> int | None:
        value = metadata.get(f"{architecture}.{key}")
        return value if isinstance(value, int) and 0 < value <= most else None

    layers = number("block_count", _MOST_LAYERS)
    width = number("embedding_length", _MOST_WIDTH)
    heads = _heads(metadata, f"{architecture}.attention.head_count", layers)
    if layers is None or not heads:
        return None
    kv_heads = _heads(metadata, f"{architecture}.attention.head_count_kv", layers) or heads
    usual = None if width is None else width // max(heads)
    key = number("attention.key_length", _MOST_WIDTH) or usual
    value = number("attention.value_length", _MOST_WIDTH) or usual
    if key is None or value is None:
        return None
    return sum(kv_heads) * (key + value) * _BYTES_PER_VALUE


def memory_bytes(
    weights_bytes: int, metadata: Mapping[str, Any] | None, *, tokens: int
) -> tuple[int, bool]:
    """Return what a model takes in memory, and whether that was computed rather than guessed.

    `tokens` are those that all answers at once may hold together.
    """
    per_token = None if metadata is None else kv_bytes_per_token(metadata)
    if metadata is None or per_token is None:
        return int(weights_bytes * _UNKNOWN_FACTOR) + _BASE_BYTES, False
    vocabulary = metadata.get(f"{metadata.get('general.architecture')}.vocab_size")
    logits = vocabulary if isinstance(vocabulary, int) and 0 < vocabulary < 1 << 24 else 1 << 17
    batch = logits * BATCH_TOKENS * _BYTES_PER_LOGIT
    return weights_bytes + per_token * tokens + batch + _BASE_BYTES, True


def _heads(metadata: Mapping[str, Any], key: str, layers: int | None) -> list[int] | None:
    """Return the number of heads of each layer; models may have another one in each."""
    value = metadata.get(key)
    if layers is None:
        return None
    several = [value] * layers if isinstance(value, int) else list(value or ())[:layers]
    is_sane = len(several) == layers and all(
        isinstance(one, int) and 0 <= one <= _MOST_WIDTH for one in several
    )
    return several if is_sane and any(several) else None
