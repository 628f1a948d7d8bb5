"""The real model's weights, fetched as a user's are."""

from pathlib import Path

import pytest

from tests.support.real_servers import small_model


@pytest.fixture(scope="session")
def weights() -> Path:
    """Return the real model's file, fetched once into the user's own cache."""
    return small_model()
