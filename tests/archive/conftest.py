"""An archive on a temporary file for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.stored_conversations import StoredConversations, stored_conversations


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of the database."""
    return tmp_path / "kept"


@pytest.fixture
async def stored(file: Path) -> AsyncIterator[StoredConversations]:
    """Return an open archive."""
    async with stored_conversations(file) as opened:
        yield opened
