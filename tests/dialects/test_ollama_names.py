"""Names of Ollama's models: the tag `latest` may be left out."""

import pytest

from server.dialects.ollama.listing import served_model
from server.dialects.ollama.wire import ListedModel


@pytest.mark.parametrize(
    ("name", "aliases"),
    [
        ("smollm2:latest", ("smollm2",)),
        ("registry:5000/me/smollm2:latest", ("registry:5000/me/smollm2",)),
        ("smollm2:360m", ()),
        ("smollm2", ()),
        ("latest", ()),
        (":latest", ()),
    ],
)
def test_the_default_tag_may_be_left_out(name: str, aliases: tuple[str, ...]) -> None:
    assert served_model(ListedModel(name), None).aliases == aliases
