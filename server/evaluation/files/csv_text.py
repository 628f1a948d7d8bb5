"""Cells that a spreadsheet would take for a formula, defused by an apostrophe before them.

As OWASP advises against CSV injection. A cell that begins with an apostrophe gets one more, so that
each cell can be restored.
"""

from typing import Final

# Also in the full width, which some spreadsheets fold.
_DANGEROUS: Final = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_GUARDED: Final = _DANGEROUS | {"'"}


def defused(cell: str) -> str:
    """Return a cell that no spreadsheet computes."""
    return f"'{cell}" if cell[:1] in _GUARDED else cell


def restored(cell: str) -> str:
    """Return the cell that was defused; others stay as they are."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _GUARDED else cell
