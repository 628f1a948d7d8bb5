"""Numbers of bytes as people read them: decimal units, as downloads are commonly given."""

from typing import Final

_MEGABYTE: Final = 1_000_000
_GIGABYTE: Final = 1_000_000_000


def readable(size_bytes: int) -> str:
    """Write a size in MB, or in GB where there is one."""
    if size_bytes >= _GIGABYTE:
        return f"{size_bytes / _GIGABYTE:.1f} GB"
    return f"{size_bytes / _MEGABYTE:.0f} MB"
