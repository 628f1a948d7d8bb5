"""Make the id and the title of a model in a server's list from the server's name of it.

An id appears in URLs, settings and logs. It is stable and unique, and equals the server's name of
the model if that can be part of a URL.
"""

import hashlib
import re
from typing import Final
from urllib.parse import quote

# The characters of an id beside letters and digits; others are percent-encoded.
_ID_CHARS: Final = "._-:@+/"
# A model's name that is the path of a file, on any operating system.
_FILE: Final = re.compile(r".*[/\\]([^/\\]+\.gguf)", re.DOTALL)
# Longer names are shortened, because ids appear in URLs and in logs.
_MAX_SERVED_ID: Final = 160
_MAX_SHOWN: Final = 160


def served_id(server: str, name: str) -> str:
    """Return the id of a server's model: stable, unique, and fit for a URL.

    Characters that a URL cannot have are percent-encoded, the percent sign included, so that two
    names never have the same id. If the name is too long, or has folders that cannot be part of a
    URL, a part of it is used, followed by a hash of the whole name.
    """
    shown = name if _is_path(name) else without_folders(name)
    text = quote(shown, safe=_ID_CHARS, errors="surrogatepass")
    if not _is_path(text):
        text = text.replace(".", "%2E").replace("/", "%2F")
    if shown != name or len(text) > _MAX_SERVED_ID:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
        # Do not leave half of an encoded character.
        text = re.sub("%.?$", "", text[: _MAX_SERVED_ID - 13]) + f"-{digest}"
    return f"{server}/{text}"


def readable(text: str) -> str:
    """Return a name from a server as one printable line of limited length."""
    line = "".join(char if char.isprintable() else "\ufffd" for char in text[: _MAX_SHOWN + 1])
    return line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 1]}…"


def without_folders(name: str) -> str:
    """Return the path of a file without its folders; any other name unchanged."""
    file = _FILE.fullmatch(name)
    return name if file is None else file[1]


def _is_path(name: str) -> bool:
    """Tell whether a name can be part of a URL unchanged."""
    return "\\" not in name and {"", ".", ".."}.isdisjoint(name.split("/"))
