"""Files of prompts on the command line: what their names say, and what is told of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_FORMS: Final = {
    ".txt": "lines",
    ".md": "lines",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_SHOWN: Final = {"\t": "tabs"}
_NO_CHECKS: Final = "no checks: nothing passes or fails"


def form_of(path: Path) -> str:
    """Return what the ending of a file says that it is, else `auto`."""
    return _FORMS.get(path.suffix.lower(), "auto")


def look_words(look: Mapping[str, Any]) -> str:
    """Return what was found in a file: "2 prompts, one a line; no checks: …"."""
    count = look["prompts"]
    words = f"{count:,} prompt{'' if count == 1 else 's'}"
    delimiter = look["delimiter"]
    if look.get("form") == "lines":
        words += ", one a line"
    elif delimiter is not None:
        words += f", a table with columns between {_SHOWN.get(delimiter, delimiter)}"
    return words if look["checks"] else f"{words}; {_NO_CHECKS}"


def is_unchecked(targets: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether there are results and none of them is of a check."""
    figures = [target["figures"] for target in targets]
    return any(one["count"] for one in figures) and not any(one["answers"] for one in figures)
