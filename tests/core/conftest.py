"""What the tests of this floor share."""

from collections.abc import Callable
from pathlib import Path

import pytest

import tests.support.properties  # noqa: F401

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a settings file and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "settings.ini"
        path.write_text(text, encoding="utf-8")
        return path

    return write
