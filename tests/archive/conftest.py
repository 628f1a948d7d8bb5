"""An archive for each test, on a file of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.shelf import Shelf, shelf


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the database is."""
    return tmp_path / "kept"


@pytest.fixture
async def kept(file: Path) -> AsyncIterator[Shelf]:
    """Return an open archive."""
    async with shelf(file) as opened:
        yield opened
