"""Prometheus texts of several servers, as one text that tells them apart by labels.

Rules:

1. A family (its TYPE and all its samples) has to be contiguous and declared once, or
   Prometheus refuses the whole text. So lines are sorted by family, and the first declaration of a
   family gives its type.
2. Each line is checked: an invalid line of one server is dropped, and the rest stays. Comments,
   time stamps and duplicates are left out.
3. A server's own label with the name of ours is renamed to `exported_NAME`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_NAME: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL: Final = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE: Final = re.compile(
    rf"({_NAME})(?:\{{[ \t]*((?:{_LABEL}[ \t]*(?:,[ \t]*)?)*)\}})?[ \t]+"
    r"([+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|Inf|NaN|inf|nan))(?:[ \t]+-?\d+)?"
)
_TYPE: Final = re.compile(
    rf"#[ \t]+TYPE[ \t]+({_NAME})[ \t]+(counter|gauge|histogram|summary|untyped)"
)
_LABELS: Final = re.compile(_LABEL)
# What the samples of these types are called beside the family's own name.
_SUFFIXES: Final = {
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("_sum", "_count"),
}


def merge_expositions(
    texts: Mapping[tuple[str, ...], str], *, labels: Sequence[str], reserved: Iterable[str] = ()
) -> str:
    """Return one text of all, each sample with `labels` set to the key of the text it is from.

    An empty part of a key sets no label. Families whose names begin with one of `reserved` are
    left out.
    """
    ours = tuple(reserved)
    types: dict[str, str] = {}
    families: dict[str, dict[str, str]] = {}
    for key, text in texts.items():
        own = {label: part for label, part in zip(labels, key, strict=True) if part}
        declared: dict[str, str] = {}
        # As Prometheus takes lines: a label may hold what else Python would call the end of one.
        for line in text.split("\n"):
            kind = _TYPE.fullmatch(line.strip())
            if kind is not None:
                types.setdefault(kind[1], kind[2])
                declared[kind[1]] = kind[2]
                continue
            sample = _SAMPLE.fullmatch(line.strip())
            if sample is None or sample[1].startswith(ours):
                continue
            series = sample[1] + _labels(sample[2] or "", own)
            family = _family(sample[1], declared)
            families.setdefault(family, {}).setdefault(series, sample[3])
    lines: list[str] = []
    for family, samples in sorted(families.items()):
        lines.append(f"# TYPE {family} {types.get(family, 'untyped')}")
        lines += [f"{series} {value}" for series, value in samples.items()]
    return "\n".join([*lines, ""]) if lines else ""


def _labels(given: str, ours: Mapping[str, str]) -> str:
    pairs = [f'{label}="{_escaped(value)}"' for label, value in ours.items()]
    pairs += [
        f"exported_{pair}" if pair.partition("=")[0] in ours else pair
        for pair in _LABELS.findall(given)
    ]
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _family(name: str, declared: Mapping[str, str]) -> str:
    if name in declared:
        return name
    for kind, suffixes in _SUFFIXES.items():
        for suffix in suffixes:
            family = name.removesuffix(suffix)
            if family != name and declared.get(family) == kind:
                return family
    return name
