"""The text of a file, in the encodings that people's programs write."""

import codecs
from typing import Final

from server.evaluation.problems import Problem, invalid

# UTF-32's mark begins with UTF-16's.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),  # Decoded as UTF-8: places in errors would leave out the mark.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
ENCODINGS: Final = ("utf-8", "utf-16", "utf-32", "cp1252")
"""The encodings that files are read in."""


def decode(data: bytes) -> tuple[str, str]:
    """Return a file's text and encoding: what its mark says, else UTF-8, else Windows-1252.

    Raises `InvalidPromptSet`.
    """
    marked = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", "cp1252"):
        try:
            text = data.decode(encoding.removesuffix("-sig")).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            wrong = error
        else:
            # In a text of letters, UTF-16 has a null byte beside each.
            if not marked and data.count(0) * 4 > len(data):
                message = "the file seems to be UTF-16 without its mark: save it as UTF-8"
                raise invalid([Problem(message)])
            return text, encoding
    row = data[: wrong.start].count(b"\n") + 1
    if marked:
        raise invalid([Problem(f"the file is no correct {marked.removesuffix('-sig')}", row)])
    byte = f"0x{data[wrong.start]:02x}"
    message = f"the byte {byte} is neither UTF-8 nor Windows-1252: save the file as UTF-8"
    raise invalid([Problem(message, row)])
