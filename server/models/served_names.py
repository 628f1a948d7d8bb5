"""What a model in a server's list is called here: its id, and what people read.

An id stands in addresses, settings and logs. It is stable and the model's own, and it reads as the
server's name of the model where that can be part of an address.
"""

import hashlib
import re
from typing import Final
from urllib.parse import quote

# What a model's id may have beside letters and digits; others are percent-encoded.
_ID_CHARS: Final = "._-:@+/"
# What servers call a model that they were given as a file, on whatever system.
_FILE: Final = re.compile(r".*[/\\]([^/\\]+\.gguf)", re.DOTALL)
# Longer names exist only to do harm; ids stand in addresses and in logs.
_MAX_SERVED_ID: Final = 160
_MAX_SHOWN: Final = 160


def served_id(server: str, name: str) -> str:
    """Return the id of a server's model: stable, unique, and fit for an address.

    What ids cannot have is percent-encoded, the percent sign included, so that two names never
    meet in one id. Where only a part of the name is there, because it is too long or a file's with
    folders that are no part of an address, a hash of the whole stands behind it.
    """
    shown = name if _is_path(name) else without_folders(name)
    text = quote(shown, safe=_ID_CHARS, errors="surrogatepass")
    if not _is_path(text):
        text = text.replace(".", "%2E").replace("/", "%2F")
    if shown != name or len(text) > _MAX_SERVED_ID:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
        # Half of an encoded character would be none.
        text = re.sub("%.?$", "", text[: _MAX_SERVED_ID - 13]) + f"-{digest}"
    return f"{server}/{text}"


def readable(text: str) -> str:
    """Return a name of somebody else's as one line that can be shown, not too long."""
    line = "".join(char if char.isprintable() else "\ufffd" for char in text[: _MAX_SHOWN + 1])
    return line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 1]}…"


def without_folders(name: str) -> str:
    """Return the name of a file without the folders before it; any other name as it is."""
    file = _FILE.fullmatch(name)
    return name if file is None else file[1]


def _is_path(name: str) -> bool:
    """Tell whether a name can be a part of an address as it is written."""
    return "\\" not in name and {"", ".", ".."}.isdisjoint(name.split("/"))
