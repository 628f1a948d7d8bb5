"""Which files of a repository can be run: its GGUF files, each quantization once.

Rules:

1. A model in several files (`-00001-of-00003.gguf`) is one, and only when all of them are there.
2. Files that accompany a model are no variants: image projectors (`mmproj`), importance matrices.
3. The default is Q4_K_M, else the nearest in quality that fits.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from server.hub.naming import is_file_of_repo
from server.weights.shards import parts_of, shard_of

_BESIDE: Final = re.compile(
    r"mmproj|imatrix|(^|[/._-])(draft|lora|adapter)([/._-]|$)", re.IGNORECASE
)
_QUANTIZATION: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:UD-)?"
    r"(IQ[1-4]_(?:XXS|XS|NL|S|M)|Q[2-8]_K(?:_(?:XXL|XL|XS|S|M|L))?|Q[2-8]_[01](?:_\d+)*"
    r"|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|F16|FP16|F32|FP32)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
# From the coarsest to the finest; what is not among them is compared by its size.
_BY_QUALITY: Final = (
    *("IQ1_S", "TQ1_0", "IQ1_M", "TQ2_0", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "Q2_K_S"),
    *("Q2_K", "Q2_K_L", "Q2_K_XL", "IQ3_XXS", "IQ3_XS", "Q3_K_S", "IQ3_S", "IQ3_M", "Q3_K_M"),
    *("Q3_K", "Q3_K_L", "Q3_K_XL", "IQ4_XS", "IQ4_NL", "Q4_0", "MXFP4", "MXFP4_MOE", "NVFP4"),
    *("Q4_1", "Q4_K_S", "Q4_K", "Q4_K_M", "Q4_K_L", "Q4_K_XL", "Q5_0", "Q5_K_S", "Q5_K"),
    *("Q5_K_M", "Q5_1", "Q5_K_L", "Q5_K_XL", "Q6_K", "Q6_K_L", "Q6_K_XL", "Q8_0", "Q8_K_XL"),
    *("BF16", "F16", "F32"),
)
PREFERRED: Final = "Q4_K_M"


@dataclass(frozen=True)
class RepoFile:
    """One file of a repository; `sha256` is empty where the hub does not say it."""

    name: str
    size_bytes: int
    sha256: str = ""


@dataclass(frozen=True)
class Variant:
    """A model that can be run: its files, the first of which names it."""

    files: tuple[RepoFile, ...]
    quantization: str

    @property
    def file(self) -> str:
        """Return the file that stands for it."""
        return self.files[0].name

    @property
    def size_bytes(self) -> int:
        """Return what its files have together."""
        return sum(file.size_bytes for file in self.files)


def find_variants(files: Iterable[RepoFile]) -> list[Variant]:
    """Return what can be run of these files, the smallest first."""
    whole: list[Variant] = []
    shards: dict[str, list[RepoFile]] = {}
    for file in files:
        if not is_file_of_repo(file.name) or _BESIDE.search(file.name) or file.size_bytes <= 0:
            continue
        if shard_of(file.name) is None:
            whole.append(Variant((file,), quantization_of(file.name)))
        else:
            shards.setdefault(parts_of(file.name)[0], []).append(file)
    for first, parts in shards.items():
        together = tuple(sorted(parts, key=lambda part: part.name))
        if [part.name for part in together] == parts_of(first):
            whole.append(Variant(together, quantization_of(first)))
    return sorted(whole, key=lambda one: (one.size_bytes, one.file))


def quantization_of(name: str) -> str:
    """Return the quantization that a file's name says, empty if it says none.

    What stands in the name of the file goes before the name of its folder.
    """
    found = _QUANTIZATION.findall(name.rpartition("/")[2]) or _QUANTIZATION.findall(name)
    return found[-1].upper().replace("FP16", "F16").replace("FP32", "F32") if found else ""


def choose(variants: Sequence[Variant], fits: Callable[[Variant], bool]) -> Variant:
    """Return the default of several; one that fits if there is any."""
    possible = [one for one in variants if fits(one)] or list(variants[:1])
    wanted = _rank(PREFERRED)
    named = [one for one in possible if one.quantization in _BY_QUALITY]

    def distance(one: Variant) -> tuple[int, int]:
        # Of two that are as far away, the finer one.
        return abs(_rank(one.quantization) - wanted), -one.size_bytes

    return min(named, key=distance) if named else possible[-1]


def _rank(quantization: str) -> int:
    return _BY_QUALITY.index(quantization)
