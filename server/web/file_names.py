"""Names of files to save, made of names that people gave: safe on every system."""

import re
from typing import Final

_MOST_CHARS: Final = 80
# What a system, a shell or a header takes for something else; control characters of all kinds,
# and those that turn the direction of what is read.
_UNSAFE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    r"|[<>:\"/\\|?*]+"
)
# Windows opens a device by these, whatever their ending.
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def file_name(name: str, other: str, ending: str) -> str:
    """Return a name for a file, with its ending; `other` stands where nothing is left of `name`."""
    tidy = " ".join(_UNSAFE.sub(" ", name).split())[:_MOST_CHARS].strip(" .")
    if not tidy or _DEVICES.fullmatch(tidy):
        tidy = other
    return f"{tidy}.{ending}"
